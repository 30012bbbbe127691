"""``referrals campaigns list`` and ``show``: what is ordered about campaigns."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from worker.cli import console, options

LATEST = 10
"""Orders about a campaign that are shown with it."""

OfShop = Annotated[str | None, typer.Option("--shop", help="Only what holds in this shop.", show_default=False)]


def list_campaigns(shop: OfShop = None, as_json: options.Json = False) -> None:
    """List the campaigns that are held, paced, cancelled, or would be stopped by a brake.

    Other campaigns go at the pace of their shops; `referrals status` shows the progress of all.

    Example: `referrals campaigns list`
    """
    from worker.cli.campaigns.view import ordered
    from worker.cli.settings import load
    from worker.cli.store import shared_store
    from worker.clock import SystemClock

    with shared_store(load(), "campaigns list") as store:
        found = list(ordered(store.controls(), None, shop, SystemClock().now()))
    if as_json:
        console.print_json({"campaigns": found})
    elif found:
        _print(found)
    else:
        console.say("nothing is ordered about any campaign" if shop is None else f"nothing is ordered in shop {shop}")


def show(
    campaign: Annotated[str, typer.Argument(help="Name of the campaign, as given to `publish`.", show_default=False)],
    shop: OfShop = None,
    as_json: options.Json = False,
) -> None:
    """Show what is ordered about a campaign, its counts at each shop, and who gave the last orders about it.

    Example: `referrals campaigns show spring`
    """
    from worker.campaigns.progress import Progress
    from worker.cli.campaign_lookup import doubt, named
    from worker.cli.campaigns.view import ordered
    from worker.cli.log import print_orders
    from worker.cli.settings import load
    from worker.cli.store import ask_each, shared_store
    from worker.clock import SystemClock
    from worker.model.names import canonical
    from worker.shops.file import readable_shops

    campaign = named(campaign)
    loaded = load()
    shops = readable_shops(loaded.shops)
    asked = [shop] if shop else [*shops.shops, *shops.others]
    with shared_store(loaded, "campaigns show") as store:
        found = list(ordered(store.controls(), campaign, shop, SystemClock().now()))
        counts = [
            Progress.of(name, slug, counters)
            for slug, tallies in zip(asked, ask_each(store.tallies, asked), strict=True)
            for name, counters in sorted(tallies.items())
            if canonical(name) == campaign
        ]
        latest = [order for order in store.orders() if order.campaign == campaign][:LATEST]
        unknown = doubt(store, campaign, shops, shop) if not (found or counts) else None
    if as_json:
        jobs = [
            {"shop": each.shop, "published": each.published, "results": each.results, "left": each.left}
            for each in counts
        ]
        console.print_json({"campaign": campaign, "orders": found, "jobs": jobs})
        return
    if found:
        _print(found)
    else:
        console.show(f"nothing is ordered about campaign {campaign}")
    for each in counts:
        console.show(
            f"shop {each.shop}: {each.published:,} published, {each.results:,} ended, {max(0, each.left):,} left"
        )
    if latest:
        console.show("")
        print_orders(latest[::-1])
    if unknown is not None:
        console.say(unknown)


def _print(found: list[dict[str, Any]]) -> None:
    from worker.cli.campaigns.view import hold_notes, pace_of
    from worker.cli.tables import Row
    from worker.model.controls import EVERY_SHOP

    held_everywhere = {data["campaign"] for data in found if data["shop"] == EVERY_SHOP and data["held"]}
    rows = []
    for data in found:
        notes = hold_notes(data, data["campaign"], data["shop"])
        held = data["held"] or data["campaign"] in held_everywhere
        state = "held" if held else "rest held" if data["rest"] else "goes on"
        state = "cancelled" if data["cancelled"] else state
        where = "every shop" if data["shop"] == EVERY_SHOP else data["shop"]
        rows.append(Row([data["campaign"], where, state, pace_of(data), data["brake"] or ""], notes))
    console.table(["campaign", "shop", "state", "pace", "brake"], rows, texts=5)
