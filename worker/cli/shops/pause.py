"""``referrals shops pause`` and ``resume``: an operator stops a shop's calls and lets them go on."""

from typing import Annotated

import typer

from worker.cli import console, options, orders
from worker.errors import UsageError
from worker.model.controls import EVERY_SHOP, Controls
from worker.model.names import SLUG

ShopArgument = Annotated[str | None, typer.Argument(help="Slug of the shop.", show_default=False)]
EveryShop = Annotated[bool, typer.Option("--all", help="Every shop.")]


def pause(
    reason: Annotated[
        str, typer.Option("--reason", help="Why. Shown to everybody who lists the shops.", show_default=False)
    ],
    shop: ShopArgument = None,
    every_shop: EveryShop = False,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Stop a shop's calls in every worker, until the shop is resumed.

    Every worker obeys within a second, and still does after a restart. Calls under way finish; jobs stay queued. Jobs
    that have expired or are cancelled end meanwhile. A pause of all shops includes shops that are added later. This
    works even while the shops file is broken, and begins orders anew that can't be read (docs/runbook.md).

    Example: `referrals shops pause acme --reason "wrong texts, ask Kim"`
    """
    from worker.cli.settings import load
    from worker.cli.shop_lookup import require_shop
    from worker.cli.store import shared_store
    from worker.shops.file import readable_shops

    given = orders.origin(author, reason)
    loaded = load()
    name = _named(shop, every_shop=every_shop)
    if name != EVERY_SHOP:
        require_shop(name, readable_shops(loaded.shops), loaded)
    # Through the store and not through RabbitMQ: every worker reads it once a second, also after a restart.
    with shared_store(loaded, "shops pause") as store:
        controls = store.pause(name, given)
    _report(controls, f"{_called(name)} paused", as_json=as_json)
    if controls.latest and controls.latest[0].detail:
        console.say(
            f"what could not be read of the orders is {controls.latest[0].detail}; give again what `referrals log` "
            "shows of it, then `referrals shops resume --all`"
        )


def resume(
    shop: ShopArgument = None,
    every_shop: EveryShop = False,
    reason: orders.Reason = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Lift a pause. The pause of all shops and the pauses of single shops are lifted separately.

    Example: `referrals shops resume acme`
    """
    from worker.cli.settings import load
    from worker.cli.shop_lookup import no_such_shop
    from worker.cli.store import shared_store
    from worker.shops.file import readable_shops

    given = orders.origin(author, reason)
    loaded = load()
    name = _named(shop, every_shop=every_shop)
    with shared_store(loaded, "shops resume") as store:
        was_paused = name in store.controls().pauses
        controls = store.resume(name, given)
    _report(controls, f"{_called(name)} {'resumed' if was_paused else 'was not paused'}", as_json=as_json)
    known = readable_shops(loaded.shops)
    if not was_paused and name != EVERY_SHOP and name not in known and not known.problems:
        # A shop may have left the file while it was paused, so an unknown name is no error here.
        console.say(str(no_such_shop(name, known.shops, loaded)))
    if name != EVERY_SHOP and EVERY_SHOP in controls.pauses:
        console.say("all shops are still paused; `referrals shops resume --all` lifts that")
    elif name == EVERY_SHOP and controls.pauses:
        console.say(f"still paused, each for its own reason: {', '.join(sorted(controls.pauses))}")


def _named(shop: str | None, *, every_shop: bool) -> str:
    if (shop is None) != every_shop:
        raise UsageError("name one shop, or give --all")
    if shop is not None and not SLUG.fullmatch(shop):
        # `*` stands for every shop in the store, so it must never pass for a shop's name.
        raise UsageError(f"{shop!r}: is not a shop's slug")
    return shop or EVERY_SHOP


def _called(name: str) -> str:
    return "every shop" if name == EVERY_SHOP else f"shop {name}"


def _report(controls: Controls, text: str, *, as_json: bool) -> None:
    from worker.instants import rfc3339

    pauses = {name: {"reason": pause.reason, "since": rfc3339(pause.since)} for name, pause in controls.pauses.items()}
    if as_json:
        console.print_json({"pauses": pauses})
    else:
        console.show(text)
