"""``referrals shops limit``: an operator slows a shop down for a while."""

import math
from datetime import UTC, datetime
from typing import Annotated

import typer

from worker.cli import console, options, orders
from worker.cli.times import after
from worker.errors import UsageError
from worker.instants import SECOND, from_datetime

SLOWEST = 0.001
"""Calls a second: one in 17 minutes. To go slower than that, an operator pauses the shop."""


def limit(
    shop: Annotated[str, typer.Argument(help="Slug of the shop.", show_default=False)],
    per_second: Annotated[
        float | None,
        typer.Option("--per-second", help="Calls a second; must be below the shops file's rate.", show_default=False),
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            help="Why. Shown to everybody who lists the shops; with --clear only by `referrals log`.",
            show_default=False,
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="How long the limit lasts: 30m, 2h, 3d.", show_default=False),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Lift the limit: back to the shops file's rate.")] = False,
    author: orders.As = None,
    as_json: options.Json = False,
) -> None:
    """Lower a shop's rate in all workers for a time, and its burst in proportion.

    Every worker obeys within a second, and still does after a restart. Calls under way finish. A limit can only lower
    the rate; to raise it, change the shops file. When the limit ends, or with --clear, the file's rate is in force
    again. To stop a shop, pause it.

    Example: `referrals shops limit acme --per-second 5 --reason "their site is slow" --for 2h`
    """
    from worker.cli.settings import load
    from worker.cli.shop_lookup import require_shop
    from worker.cli.shop_view import limit_data, limit_line
    from worker.cli.store import shared_store
    from worker.clock import SystemClock
    from worker.shops.file import readable_shops

    needed = {"--per-second": per_second, "--reason": reason, "--for": duration}
    missing = [option for option, value in needed.items() if value is None]
    if clear and not {"--per-second", "--for"} <= set(missing):
        raise UsageError("--clear: lifts the limit; leave out --per-second and --for, or --clear")
    if missing and not clear:
        raise UsageError(f"{', '.join(missing)}: missing; a limit needs --per-second, --reason and --for, or --clear")
    given = orders.origin(author, reason)
    loaded = load()
    shops = readable_shops(loaded.shops)
    require_shop(shop, shops, loaded)
    clock = SystemClock()
    was_limited = False
    if clear or per_second is None or reason is None or duration is None:
        with shared_store(loaded, "shops limit") as store:
            was_limited = store.controls().limit_of(shop, clock.now()) is not None
            controls = store.unlimit(shop, given)
    else:
        if shop not in shops.shops:
            # The table can't be read, so it is unknown whether this would lower the rate.
            raise shops.problems[0]
        config = shops.shops[shop]
        if not SLOWEST <= per_second < config.per_second:
            raise UsageError(
                f"--per-second {per_second:g}: must be from {SLOWEST:g} to below {config.per_second:g}, which "
                f"{loaded.shops} gives; raise it there, and use `referrals shops pause` to stop the shop"
            )
        # Every limit has an end: a forgotten one would slow a shop down for good.
        until = from_datetime(after(duration, "--for", datetime.now(UTC)))
        with shared_store(loaded, "shops limit") as store:
            # Rounded up to whole microseconds between calls, so that the rate is never above the one asked for.
            controls = store.limit(shop, math.ceil(SECOND / per_second), until, given)
    limit = limit_data(shop, controls, clock.now())
    if as_json:
        console.print_json({"shop": shop, "limit": limit})
    else:
        cleared = f"the limit of shop {shop} is lifted" if was_limited else f"shop {shop} was not limited"
        console.show(limit_line(shop, limit) if limit else cleared)
