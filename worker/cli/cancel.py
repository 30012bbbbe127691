"""``referrals cancel``: a campaign is called off."""

from collections.abc import Iterable
from typing import Annotated

import typer

from worker.cli import console, options
from worker.cli.controls import shared_store, shop_of
from worker.cli.environment import load
from worker.controls import EVERY_SHOP, Controls
from worker.errors import StoreError, UsageError
from worker.jobs import canonical
from worker.shops import listed_shops
from worker.store.base import MOST_CANCELLED, Store

LONGEST_CAMPAIGN = 200


def cancel(
    campaign: Annotated[str, typer.Argument(help="Name of the campaign, as it was published.", show_default=False)],
    shop: Annotated[
        str | None, typer.Option("--shop", help="Only this shop's jobs. [default: every shop's]", show_default=False)
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Let its jobs be called again.")] = False,
    as_json: options.Json = False,
) -> None:
    """Call a campaign off: its jobs that have not started end with the result `cancelled`, without a call.

    Every worker knows within a second; a call that is under way ends as it ends. A job ends when a worker meets it:
    one in a delay queue within the hour, one that waits behind others when its turn comes. Jobs that are published
    later under the same name are cancelled too: the name is remembered for a year, or until --undo. What has ended
    by then is called when it is published again. How many jobs wait nobody counts by campaign; their results do.

    Example: `referrals cancel spring --shop acme`
    """
    if not 0 < len(campaign.strip()) <= LONGEST_CAMPAIGN:
        raise UsageError(f"{campaign!r}: is no campaign's name, which has 1 to {LONGEST_CAMPAIGN} characters")
    campaign = canonical(campaign) or ""
    loaded = load()
    shops = listed_shops(loaded.shops)
    if shop is not None:
        shop_of(shop, shops, loaded)
    of = shop or EVERY_SHOP
    with shared_store(loaded, "cancel") as store:
        if not undo:
            _refuse_too_many(store.controls(), campaign, of)
        controls = store.restore(campaign, of) if undo else store.cancel(campaign, of)
        known = undo or _is_known(store, campaign, [shop] if shop else shops)
    everywhere = (campaign, EVERY_SHOP) in controls.cancelled
    data = {
        "campaign": campaign,
        "shop": shop,
        "cancelled": not undo,
        # "*" is every shop.
        "cancelled_for": sorted(of for name, of in controls.cancelled if name == campaign),
    }
    where = f"in shop {shop}" if shop else "in every shop"
    rows = [("campaign", campaign), ("cancelled" if not undo else "no longer cancelled", where)]
    console.summary(rows, data, as_json=as_json)
    if not known:
        console.say(f"no job of a campaign {campaign} has been counted {where} so far; is that its name?")
    if undo and shop is not None and everywhere:
        console.say(f"campaign {campaign} stays cancelled in every shop; use --undo without --shop")


def _refuse_too_many(controls: Controls, campaign: str, of: str) -> None:
    if len(controls.cancelled) >= MOST_CANCELLED and (campaign, of) not in controls.cancelled:
        raise UsageError(
            f"{MOST_CANCELLED:,} campaigns are cancelled already, and every worker reads them once a second; "
            "--undo one that is over"
        )


def _is_known(store: Store, campaign: str, shops: Iterable[str]) -> bool:
    try:
        return any(canonical(name) == campaign for slug in shops for name in store.tallies(slug))
    except StoreError:
        # What was ordered stands, whatever becomes of the question.
        return True
