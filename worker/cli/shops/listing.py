"""Asks the store for each shop's state, and shows it with its rates and what is left of its day."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from worker.cli import console
from worker.cli.settings import load
from worker.cli.shop_view import gate_in, gate_of, halted_line, hours_of, limit_data, limit_line, limits_of
from worker.cli.shops.serving import consumers_of, unserved, unserved_line
from worker.cli.store import ask_each, closed_lines
from worker.cli.tables import Row, columns
from worker.cli.times import instant_of
from worker.clock import SystemClock
from worker.errors import BrokerError, ConfigurationError, ReferralError, StoreError
from worker.instants import SECOND, rfc3339, utc_text
from worker.model.controls import Controls
from worker.settings import Settings
from worker.shops.config import ListedShop
from worker.shops.file import readable_shops
from worker.store.factory import build_store
from worker.store.shop_state import ShopState

_HEADINGS = ("shop", "state", "next try", "calls/s now", "in file", "calls today", "left today", "weight")
_TEXTS = 3
"""How many of the first columns are texts; the others are numbers."""


def show_shops(*, as_json: bool) -> None:
    """Show the shops, as ``referrals shops list`` says."""
    loaded = load()
    readable = readable_shops(loaded.shops)
    if not readable.shops:
        raise readable.problems[0]
    configs = list(readable.shops.values())
    problems: list[ReferralError] = [
        ConfigurationError(f"{problem}; running workers keep its last good version") for problem in readable.problems
    ]
    try:
        controls, states, closed = _read_store(loaded, configs)
    except StoreError as error:
        problems.append(error)
        controls, states, closed = Controls(), {}, {}
    idle = _unserved(loaded, configs, controls, states, closed)
    rows = [_row(config, states.get(config.slug), controls) for config in configs]
    if as_json:
        console.print_json(rows)
    else:
        _show(rows)
        for text in [*idle, *closed_lines(closed)]:
            console.say(text)
    for problem in problems:
        console.say(str(problem))
    if loaded.redis_url is None and not as_json:
        console.say(
            "REFERRALS_REDIS_URL is not set: only the file's limits are shown, since a worker keeps its state in memory"
        )
    if problems:
        raise typer.Exit(max(problem.exit_code for problem in problems))


def _read_store(
    loaded: Settings, configs: Sequence[ListedShop]
) -> tuple[Controls, dict[str, ShopState], dict[str, str]]:
    """Operators' controls, the state of each shop, and the workers that call nobody; empty without a shared store."""
    if loaded.redis_url is None:
        return Controls(), {}, {}
    store = build_store(loaded, SystemClock())
    try:
        controls, now = store.controls(), SystemClock().now()
        limits = {config.slug: limits_of(config, controls, now) for config in configs}
        states = ask_each(lambda slug: store.inspect(slug, limits[slug]), limits)
        return controls, dict(zip(limits, states, strict=True)), store.closed_workers()
    finally:
        store.close()


def _unserved(
    loaded: Settings,
    configs: Sequence[ListedShop],
    controls: Controls,
    states: Mapping[str, ShopState],
    closed: Mapping[str, str],
) -> list[str]:
    """At most one line, about the shops that no worker serves; none if RabbitMQ is out of reach, or if all that there
    are ``closed`` workers, which consume nothing.

    `referrals run` needs no RabbitMQ, so that is no problem.
    """
    if not states:
        return []
    gates = {config.slug: gate_of(states[config.slug], config.slug, config, controls) for config in configs}
    try:
        found = consumers_of(loaded, gates)
    except (BrokerError, ConfigurationError):
        return []
    if closed and not any(found.values()):
        return []
    # The store's clock, since the shops' times are by it.
    idle = unserved(gates, found, max(state.at for state in states.values()))
    return [unserved_line(idle, anybody=any(found.values()))] if idle else []


def _row(config: ListedShop, state: ShopState | None, controls: Controls) -> dict[str, Any]:
    """A shop as `--json` shows it."""
    # Without the shop's state, what the file says and None for the rest: a program finds each key in each case.
    limits = config.limits
    row: dict[str, Any] = {
        "shop": config.slug,
        "gate": None,
        "code": None,
        "until": None,
        "reason": None,
        "since": None,
        "rate_calls_per_second": round(SECOND / limits.shop.interval, 3),
        "effective_rate_calls_per_second": None,
        "limit": None,
        "calls_per_day": limits.shop_per_day,
        "calls_today": None,
        "left_today": None,
        "weight": config.weight,
        "max_in_flight": config.max_in_flight,
    }
    if state is None:
        outside = hours_of(config, SystemClock().now())
        if outside is None:
            return row
        return row | {"gate": outside.gate, "reason": outside.reason, "until": rfc3339(outside.until)}
    gate = gate_of(state, config.slug, config, controls)
    return row | {
        "gate": gate.gate,
        "code": gate.code,
        "until": rfc3339(gate.until) if gate.until else None,
        "reason": gate.reason,
        "since": rfc3339(gate.since) if gate.since else None,
        "effective_rate_calls_per_second": round(SECOND / state.interval, 3),
        "limit": limit_data(config.slug, controls, state.at),
        "calls_today": state.calls_today,
        "left_today": max(0, limits.shop_per_day - state.calls_today),
    }


def _show(rows: list[dict[str, Any]]) -> None:
    """Print the table, fitted to the terminal, and lines on limits and halted shops."""
    width = console.width()
    table = [Row(_cells(row)) for row in rows]
    if width is None or max(map(len, columns(_HEADINGS, table, texts=_TEXTS))) <= width:
        console.table(_HEADINGS, table, texts=_TEXTS)
    else:
        # On a narrow terminal the time of the next try moves into a line below the shop, with why it is closed.
        console.table([name for name in _HEADINGS if name != "next try"], list(map(_short, rows)), texts=_TEXTS - 1)
    for row in rows:
        if row["limit"]:
            console.show(limit_line(row["shop"], row["limit"]))
        if row["gate"] == "halted":
            console.show(f"{row['shop']} is halted: {halted_line(row['shop'])}")


def _short(row: dict[str, Any]) -> Row:
    slug, _, _, *numbers = _cells(row)
    note = gate_in(row).note if row["gate"] else None
    return Row([slug, row["gate"] or "-", *numbers], [note] if note else [])


def _cells(row: dict[str, Any]) -> list[str]:
    def number(name: str) -> str:
        return "-" if row[name] is None else f"{row[name]:,g}" if isinstance(row[name], float) else f"{row[name]:,}"

    gate = row["gate"] or "-"
    if row["since"]:
        gate = f"{gate} since {_cell(row['since'])}"
    remark = row["code"] or row["reason"]
    return [
        row["shop"],
        f"{gate} ({remark})" if remark else gate,
        _cell(row["until"]),
        number("effective_rate_calls_per_second"),
        number("rate_calls_per_second"),
        number("calls_today"),
        number("left_today"),
        number("weight"),
    ]


def _cell(at: str | None) -> str:
    return utc_text(instant_of(at)) if at is not None else "-"
