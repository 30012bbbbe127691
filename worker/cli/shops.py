"""``referrals shops``: what may be called, and how it is going."""

import json
from collections.abc import Sequence
from typing import Any

import typer

from worker import logs, settings
from worker.app import build_store
from worker.cli import console, options
from worker.clock import SECOND, SystemClock, to_datetime
from worker.limits import next_reset
from worker.settings import Settings
from worker.shops import ShopConfig, ShopRegistry
from worker.store.base import ShopState

_HEADINGS = ("shop", "gate", "until", "calls/s now", "of", "calls today", "left today", "weight")

shops = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="The shops of the shops file: their limits, and what has become of them.",
)


@shops.callback()
def group() -> None:
    """The shops of the shops file: their limits, and what has become of them."""


@shops.command("list")
def list_shops(as_json: options.Json = False) -> None:
    """Show each shop's gate, why it is closed and until when, its rates, and what is left of its day.

    What workers share is read from the store, so `REFERRALS_REDIS_URL` must be theirs. A single worker without it keeps
    all of that in its memory; then only the limits of the shops file are shown.

    Example: `referrals shops list --json`
    """
    loaded = settings.load()
    logs.configure("WARNING" if loaded.log_level == "INFO" else loaded.log_level, "console")
    registry = ShopRegistry.load(loaded.shops)
    configs = [config for config in map(registry.get, registry.slugs()) if config is not None]
    rows = [_row(config, state) for config, state in zip(configs, _states(loaded, configs), strict=True)]
    if as_json:
        print(json.dumps(rows))  # noqa: T201 - data for another program, not for a person's eyes
        return
    console.table(_HEADINGS, [_cells(row) for row in rows], texts=3)
    if loaded.redis_url is None:
        console.say("REFERRALS_REDIS_URL is not set: these are the file's limits; a worker's state is in its memory")


def _states(loaded: Settings, configs: Sequence[ShopConfig]) -> list[ShopState | None]:
    if loaded.redis_url is None:
        return [None] * len(configs)
    store = build_store(loaded, SystemClock())
    try:
        return [store.inspect(config.slug, config.limits) for config in configs]
    finally:
        store.close()


def _row(config: ShopConfig, state: ShopState | None) -> dict[str, Any]:
    limits = config.limits
    row: dict[str, Any] = {
        "shop": config.slug,
        "gate": None,
        "code": None,
        "until": None,
        "rate_calls_per_second": round(SECOND / limits.shop.interval, 3),
        "effective_rate_calls_per_second": None,
        "calls_per_day": limits.shop_per_day,
        "calls_today": None,
        "left_today": None,
        "weight": config.weight,
        "max_in_flight": config.max_in_flight,
    }
    if state is None:
        return row
    gate, code, until = _gate(state, config)
    return row | {
        "gate": gate,
        "code": code,
        "until": to_datetime(until).isoformat(timespec="seconds") if until else None,
        "effective_rate_calls_per_second": round(SECOND / state.interval, 3),
        "calls_today": state.calls_today,
        "left_today": max(0, limits.shop_per_day - state.calls_today),
    }


def _gate(state: ShopState, config: ShopConfig) -> tuple[str, str | None, int]:
    # The reason that a person has to do something about comes first.
    if state.closure is not None:
        return state.closure.reason, state.closure.code, state.closure.until
    if state.calls_today >= config.limits.shop_per_day:
        return "day_quota", None, next_reset(state.at, config.limits.resets_at)
    if state.blocked_until:
        return "throttled", None, state.blocked_until
    return "open", None, 0


def _cells(row: dict[str, Any]) -> list[str]:
    def number(name: str) -> str:
        return "-" if row[name] is None else f"{row[name]:,g}" if isinstance(row[name], float) else f"{row[name]:,}"

    gate = row["gate"] or "-"
    return [
        row["shop"],
        f"{gate} ({row['code']})" if row["code"] else gate,
        row["until"] or "-",
        number("effective_rate_calls_per_second"),
        number("rate_calls_per_second"),
        number("calls_today"),
        number("left_today"),
        number("weight"),
    ]
