"""``referrals log``: who ordered what, when and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import console, options

if TYPE_CHECKING:
    from worker.model.orders import Order


def log(
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", help="Only orders given since then: 90m, 24h, or a time.", show_default=False
        ),
    ] = None,
    shop: Annotated[
        str | None,
        typer.Option("--shop", help="Only orders about this shop, or about every shop.", show_default=False),
    ] = None,
    campaign: Annotated[
        str | None, typer.Option("--campaign", help="Only orders about this campaign.", show_default=False)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show who paused, resumed, limited, cancelled, replayed or dropped what, when, and why.

    The newest order is last. The workers' store remembers the last 1,000 orders for a year. Workers write each as a
    line `operator_order` to their log, and the metric `referral_operator_order_timestamp_seconds` marks it on
    dashboards.

    Example: `referrals log --since 24h`
    """
    from worker.cli.settings import load
    from worker.cli.store import shared_store
    from worker.cli.times import ago
    from worker.instants import from_datetime
    from worker.model.controls import EVERY_SHOP
    from worker.model.names import canonical

    earliest = from_datetime(ago(since, "--since", datetime.now(UTC))) if since is not None else 0
    name = canonical(campaign)
    with shared_store(load(), "log") as store:
        orders = [
            order
            for order in reversed(store.orders())
            if order.at >= earliest
            and (shop is None or order.shop in {shop, EVERY_SHOP})
            and (campaign is None or order.campaign == name)
        ]
    if as_json:
        console.print_json({"orders": [_data(order) for order in orders]})
        return
    if orders:
        print_orders(orders)
    else:
        console.say("no order is remembered" if since is shop is campaign is None else "no order matches")


def _data(order: Order) -> dict[str, Any]:
    from worker.instants import rfc3339

    return {
        "at": rfc3339(order.at),
        "by": order.by,
        "action": order.action,
        # "*" stands for every shop.
        "shop": order.shop or None,
        "campaign": order.campaign or None,
        "reason": order.reason or None,
        "detail": order.detail or None,
    }


def print_orders(orders: list[Order]) -> None:
    """Print the orders as a table."""
    from worker.cli.tables import Row
    from worker.instants import utc_text
    from worker.model.controls import EVERY_SHOP

    rows = []
    for order in orders:
        shop = "every shop" if order.shop == EVERY_SHOP else order.shop
        why = "; ".join(filter(None, (order.detail, order.reason)))
        rows.append(Row([utc_text(order.at), order.by, order.action, shop, order.campaign, why]))
    console.table(["at", "by", "action", "shop", "campaign", "detail and reason"], rows, texts=6)
