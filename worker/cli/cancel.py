"""``referrals cancel``: a campaign's jobs end without a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import console, options, orders
from worker.cli.campaign_lookup import closest, named, uncounted, where
from worker.errors import ConfigurationError, StoreError, UsageError
from worker.model.controls import EVERY_SHOP, Controls

if TYPE_CHECKING:
    from worker.shops.file import ReadableShops
    from worker.store.protocol import CountersStore


def cancel(
    campaign: Annotated[str, typer.Argument(help="Name of the campaign, as given to `publish`.", show_default=False)],
    shop: Annotated[
        str | None, typer.Option("--shop", help="Only this shop's jobs. [default: every shop's]", show_default=False)
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Lift the cancellation: its jobs may be called again.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Cancel it even if no job of that name has been counted.")] = False,
    reason: orders.Reason = None,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Cancel a campaign: jobs that have not started end with the result `cancelled`, without a call.

    Every worker obeys within a second; calls under way finish normally. A job ends when a worker gets it: from a delay
    queue within the hour, from a shop's queue when its turn comes. Jobs that are published later under the same name
    are cancelled too: the name is remembered for a year, or until --undo. A pause, a held rest and a pace of the
    campaign end with it, and --undo doesn't bring them back. A job that has ended as cancelled stays so:
    after --undo it is called only if it is published again. How many jobs are still to end can't be counted by
    campaign; their results show it.

    If no job of that name has been counted, the name may be a mistake. It is refused (exit code 2) unless --yes is
    given, for a campaign that is not published yet or whose producer doesn't count its jobs. --undo of a campaign that
    is not cancelled is refused too. This works even while the shops file is broken.

    Example: `referrals cancel spring --shop acme`
    """
    from worker.cli.settings import load
    from worker.cli.shop_lookup import require_shop
    from worker.cli.store import shared_store
    from worker.shops.file import readable_shops

    campaign = named(campaign)
    given = orders.origin(author, reason)
    loaded = load()
    shops = readable_shops(loaded.shops)
    if shop is not None:
        require_shop(shop, shops, loaded)
    of = shop or EVERY_SHOP
    with shared_store(loaded, "cancel") as store:
        # A slip of the pen in a name would stop nothing while people believe that it did. So the name is checked first.
        before = store.controls()
        if undo:
            _refuse_nothing_to_undo(before, campaign, shop)
        else:
            _refuse_too_many(before, campaign, of)
            if not yes and (campaign, of) not in before.cancelled:
                _refuse_unknown(store, campaign, shops, shop)
        controls = store.restore(campaign, of, given) if undo else store.cancel(campaign, of, given)
    data = {
        "campaign": campaign,
        "shop": shop,
        "cancelled": not undo,
        # "*" stands for every shop.
        "cancelled_for": sorted(of for name, of in controls.cancelled if name == campaign),
    }
    known = (campaign, of) in before.cancelled or (campaign, EVERY_SHOP) in before.cancelled
    change = "no longer cancelled" if undo else "was already cancelled" if known else "cancelled"
    console.summary([("campaign", campaign), (change, where(shop))], data, as_json=as_json)
    if undo and shop is not None and (campaign, EVERY_SHOP) in controls.cancelled:
        console.say(f"campaign {campaign} stays cancelled in every shop; use --undo without --shop")
    elif undo:
        console.say("jobs that already ended as cancelled are called only if they are published again")


def _refuse_nothing_to_undo(controls: Controls, campaign: str, shop: str | None) -> None:
    """Check that the campaign is cancelled where the cancellation is to be lifted.

    Raises:
      UsageError: it isn't; the error says where it is, or which campaign may be meant.
    """
    from worker.cli.store import some_of

    shops = {of for name, of in controls.cancelled if name == campaign}
    if shops and (shop is None or shop in shops):
        return
    if EVERY_SHOP in shops:
        raise UsageError(
            f"campaign {campaign} stays cancelled in every shop, so nothing was undone; use --undo without --shop"
        )
    nowhere = "was cancelled in no shop" if shop is None else f"was not cancelled in shop {shop}"
    remedy = f"it is cancelled in {some_of(sorted(shops))}" if shops else _cancelled(campaign, controls)
    raise UsageError(f"campaign {campaign} {nowhere}, so nothing was undone; {remedy}")


def _refuse_too_many(controls: Controls, campaign: str, of: str) -> None:
    """Refuse one more cancelled campaign than workers can read each second."""
    from worker.store.protocol import MOST_CANCELLED

    if len(controls.cancelled) >= MOST_CANCELLED and (campaign, of) not in controls.cancelled:
        raise UsageError(
            f"{MOST_CANCELLED:,} campaigns are already cancelled, and every worker reads them once a second; "
            "--undo one that has ended"
        )


def _refuse_unknown(store: CountersStore, campaign: str, shops: ReadableShops, shop: str | None) -> None:
    """Check that a job of the campaign has been counted.

    Raises:
      UsageError: none has, and every shop could be asked.
    """
    try:
        problem = uncounted(store, campaign, shops, shop)
    except (StoreError, ConfigurationError) as error:
        # Stopping calls matters more than being sure of the name.
        console.say(f"could not check whether there is a campaign {campaign}: {error}")
        return
    if problem is not None:
        raise UsageError(
            f"{problem.replace('; ', ', so nothing was done; ', 1)} --yes cancels it anyway, for a campaign that is "
            "not published yet or whose producer doesn't count its jobs"
        )


def _cancelled(campaign: str, controls: Controls) -> str:
    from worker.cli.store import some_of

    others = sorted({name for name, _ in controls.cancelled})
    if meant := closest(campaign, others):
        return f"did you mean {meant}?"
    return f"cancelled campaigns: {some_of(others)}" if others else "no campaign is cancelled"
