"""``referrals campaigns pause``, ``resume``, ``pace`` and ``release``, which every worker obeys within a second."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import console, options, orders
from worker.cli.campaign_lookup import named, where
from worker.errors import UsageError
from worker.instants import SECOND
from worker.model.controls import EVERY_SHOP, Controls

if TYPE_CHECKING:
    from worker.model.campaign_orders import CampaignOrder
    from worker.model.orders import Origin
    from worker.store.protocol import Store

SLOWEST = 0.001
"""Calls a second: one in 17 minutes. To stop a campaign, an operator pauses it."""

FASTEST = 1_000.0
"""Above what any shop is called at."""

CampaignArgument = Annotated[
    str, typer.Argument(help="Name of the campaign, as given to `publish`.", show_default=False)
]
OfShop = Annotated[
    str | None, typer.Option("--shop", help="Only at this shop. [default: at every shop]", show_default=False)
]


def pause(
    campaign: CampaignArgument,
    reason: Annotated[
        str, typer.Option("--reason", help="Why. Shown to everybody who looks at the campaign.", show_default=False)
    ],
    shop: OfShop = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Hold a campaign: no call of it starts until it is resumed. The shop's other campaigns go on.

    Every worker obeys within a second, and still does after a restart. Calls under way finish; jobs stay queued, also
    those that are published meanwhile. Jobs that have expired or are cancelled end all the same. This works even while
    the shops file is broken.

    Example: `referrals campaigns pause spring --reason "wrong texts, ask Kim"`
    """
    given = orders.origin(author, reason)
    with _desk(campaign, shop, "campaigns pause") as (store, name, of):
        controls = store.pause_campaign(name, of, given)
    again = f"`referrals campaigns resume {name}{_option(shop)}` lets them go on"
    _report(controls, name, shop, f"campaign {name} paused {where(shop)}: its jobs wait; {again}", as_json=as_json)


def resume(
    campaign: CampaignArgument,
    shop: OfShop = None,
    reason: orders.Reason = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Lift a pause, or what a campaign's brake has stopped. Its brake then counts from nothing.

    Without --shop the pauses of single shops are lifted too. What `publish --first` or `--not-before` holds back stays
    held until it is released.

    Example: `referrals campaigns resume spring`
    """

    def held(order: CampaignOrder) -> bool:
        return order.hold is not None

    text = "resumed {where}: its jobs go on, those that waited first"
    _lift(campaign, shop, orders.origin(author, reason), "resume", held, "held", text, as_json=as_json)


def release(
    campaign: CampaignArgument,
    shop: OfShop = None,
    reason: orders.Reason = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Let the rest of a campaign go: what `publish --first` or `publish --not-before` holds back.

    Example: `referrals campaigns release spring`
    """

    def held(order: CampaignOrder) -> bool:
        return order.rest is not None

    text = "released {where}: the rest of its jobs goes on"
    _lift(campaign, shop, orders.origin(author, reason), "release", held, "held back", text, as_json=as_json)


def pace(
    campaign: CampaignArgument,
    per_second: Annotated[
        float | None, typer.Option("--per-second", help="Calls a second at each shop.", show_default=False)
    ] = None,
    per_day: Annotated[
        int | None,
        typer.Option("--per-day", min=1, max=10**9, help="Calls a day at each shop.", show_default=False),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Lift the pace: as fast as the shop allows.")] = False,
    shop: OfShop = None,
    reason: orders.Reason = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Bound a campaign's calls, beside the shop's own limits, exactly and in all workers together.

    Every worker obeys within a second. The bounds are those of each shop, and its day begins when the shop's quota
    does. A new pace takes the place of the earlier one; what isn't named in it is not bounded, or at --shop as the pace
    of every shop bounds it. The shop's other campaigns are not slowed down.

    Example: `referrals campaigns pace spring --per-second 10 --per-day 5000`
    """
    from worker.model.campaign_orders import CampaignOrder
    from worker.model.orders import pace_text

    nothing = CampaignOrder()
    if clear == (per_second is not None or per_day is not None):
        raise UsageError("give --per-second, --per-day or both, or --clear")
    if per_second is not None and not SLOWEST <= per_second <= FASTEST:
        raise UsageError(
            f"--per-second {per_second:g}: must be from {SLOWEST:g} to {FASTEST:,.0f}; "
            "`referrals campaigns pause` stops a campaign"
        )
    given = orders.origin(author, reason)
    # Rounded up to whole microseconds between calls, so that the pace is never above the one asked for.
    interval = math.ceil(SECOND / per_second) if per_second is not None else 0
    with _desk(campaign, shop, "campaigns pace") as (store, name, of):
        _refuse_too_many(store, name, of)
        before = store.controls().campaigns
        is_general = before.get((name, EVERY_SHOP), nothing).paced
        if clear and shop is not None and is_general and not before.get((name, of), nothing).paced:
            raise UsageError(
                f"campaign {name} has a pace in every shop, so nothing was done; use `campaigns pace` without --shop"
            )
        controls = store.pace_campaign(name, of, interval, per_day or 0, given)
    own = controls.campaigns.get((name, of), nothing)
    general = controls.campaigns.get((name, EVERY_SHOP), nothing)
    now = own.over(general)
    at = f"at shop {shop}" if shop else "at each shop"
    bounds = f"gets at most {pace_text(now.interval, now.per_day)}" if now.paced else "goes as fast as the shop allows"
    _report(controls, name, shop, f"campaign {name} {bounds} {at}", as_json=as_json)
    if (now.interval, now.per_day) != (own.interval, own.per_day):
        every = pace_text(general.interval, general.per_day)
        console.say(f"what --shop leaves open is that of every shop: {every}")


def _lift(
    campaign: str,
    shop: str | None,
    given: Origin,
    action: str,
    is_held: Callable[[CampaignOrder], bool],
    word: str,
    text: str,
    *,
    as_json: bool,
) -> None:
    with _desk(campaign, shop, f"campaigns {action}", check=False) as (store, name, of):
        before = store.controls()
        shops = sorted(of for (held, of), order in before.campaigns.items() if held == name and is_held(order))
        if shop is not None and shop not in shops and EVERY_SHOP in shops:
            raise UsageError(
                f"campaign {name} is {word} in every shop, so nothing was done; use `campaigns {action}` without --shop"
            )
        if not shops or (shop is not None and shop not in shops):
            also = f"; it is {word} in shop {', '.join(shops)}" if shops else ""
            nowhere = f"not {word} in shop {shop}" if shop else f"{word} in no shop"
            raise UsageError(f"campaign {name} is {nowhere}, so nothing was done{also}")
        order = store.resume_campaign if action == "resume" else store.release_campaign
        controls = order(name, of, given)
    told = f"campaign {name} {text.format(where=where(shop))}"
    brakes = {
        str(order.brake)
        for (braked, at), order in controls.campaigns.items()
        if braked == name and order.brake is not None and order.brake.trips and (shop is None or at in {of, EVERY_SHOP})
    }
    if action == "resume" and brakes:
        told += f"; its brake ({', '.join(sorted(brakes))}) counts from nothing"
    _report(controls, name, shop, told, as_json=as_json)
    left = controls.campaigns.get((name, EVERY_SHOP))
    if shop is not None and left is not None and is_held(left):
        console.say(f"it stays {word} in every shop; use `campaigns {action}` without --shop")
    still = [data for data in _ordered(controls, name, shop) if data["held" if action == "release" else "rest"]]
    if still:
        option = "" if still[0]["shop"] == EVERY_SHOP else _option(still[0]["shop"])
        console.say(
            f"it is held all the same; `referrals campaigns resume {name}{option}` lets it go on"
            if action == "release"
            else f"its rest stays held back; `referrals campaigns release {name}{option}` lets it go"
        )


@contextmanager
def _desk(campaign: str, shop: str | None, command: str, *, check: bool = True) -> Iterator[tuple[Store, str, str]]:
    """The workers' store, the campaign's name as jobs carry it, and the shop that is meant.

    A name of which no job has been counted is obeyed all the same, and a line says so: the campaign may be published
    only now, or by a producer that doesn't count.
    """
    from worker.cli.campaign_lookup import doubt
    from worker.cli.settings import load
    from worker.cli.shop_lookup import require_shop
    from worker.cli.store import shared_store
    from worker.shops.file import readable_shops

    name = named(campaign)
    loaded = load()
    shops = readable_shops(loaded.shops)
    if shop is not None:
        require_shop(shop, shops, loaded)
    with shared_store(loaded, command) as store:
        yield store, name, shop or EVERY_SHOP
        if check and (problem := doubt(store, name, shops, shop)):
            console.say(f"{problem} The order stands for jobs that are still to come.")


def _refuse_too_many(store: Store, campaign: str, of: str) -> None:
    from worker.model.campaign_orders import MOST_CAMPAIGNS_ORDERED

    campaigns = store.controls().campaigns
    firm = sum(order.hold is not None or order.rest is not None or order.paced for order in campaigns.values())
    if firm >= MOST_CAMPAIGNS_ORDERED and (campaign, of) not in campaigns:
        raise UsageError(
            f"{firm:,} campaigns are held or paced, and every worker reads them once a second; lift an order first"
        )


def _option(shop: str | None) -> str:
    return f" --shop {shop}" if shop else ""


def _report(controls: Controls, campaign: str, shop: str | None, text: str, *, as_json: bool) -> None:
    if as_json:
        console.print_json({"orders": _ordered(controls, campaign, shop)})
    else:
        console.show(text)


def _ordered(controls: Controls, campaign: str, shop: str | None) -> list[dict[str, Any]]:
    from worker.cli.campaigns.view import ordered
    from worker.clock import SystemClock

    return list(ordered(controls, campaign, shop, SystemClock().now()))
