"""``referrals shops``: what may be called, and how it is going."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from worker.cli import console, options
from worker.cli.commands import Commands
from worker.cli.settings import load
from worker.cli.shop_view import gate_in, gate_of, halted_line, limit_data, limit_line, limits_of, time_of
from worker.cli.shops.check import check
from worker.cli.shops.limit import limit
from worker.cli.shops.serving import consumers_of, unserved, unserved_line
from worker.cli.store import ask_each, check_shop, reason_of, shared_store
from worker.cli.tables import Row, columns
from worker.clock import SystemClock
from worker.errors import BrokerError, ConfigurationError, ReferralError, StoreError, UsageError
from worker.instants import SECOND
from worker.model.controls import EVERY_SHOP, Controls
from worker.model.job import SLUG
from worker.settings import Settings
from worker.shops.config import ListedShop
from worker.shops.file import readable_shops
from worker.store.factory import build_store
from worker.store.shop_state import ShopState

_HEADINGS = ("shop", "state", "next try", "calls/s now", "in file", "calls today", "left today", "weight")

ShopArgument = Annotated[str | None, typer.Argument(help="Slug of the shop.", show_default=False)]
EveryShop = Annotated[bool, typer.Option("--all", help="Every shop.")]

shops = Commands(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="The shops of the shops file: their limits and their state.",
)


@shops.callback()
def group() -> None:
    """The shops of the shops file: their limits, and what has become of them."""


@shops.command("list")
def list_shops(as_json: options.Json = False) -> None:
    """Show each shop's gate, why it is closed and until when, its rates, and what is left of its day.

    What workers share is read from the store, so `REFERRALS_REDIS_URL` must be theirs. A single worker without it keeps
    all of that in its memory; then only the limits of the shops file are shown, as while the store is out of reach
    (exit code 1). Of a file that can't be used as a whole the shops whose tables are right are shown (exit code 2).

    A shop that is `halted`, or closed by `breaker` or `unlisted_code`, stays so until a call or a question about it is
    answered well; `until` is when the next one is tried, and a time that has passed means that it is under way.
    Where RabbitMQ answers, it says so when no worker takes a shop's jobs.

    Example: `referrals shops list --json`
    """
    loaded = load()
    readable = readable_shops(loaded.shops)
    if not readable.shops:
        raise readable.problems[0]
    configs = list(readable.shops.values())
    problems: list[ReferralError] = [
        ConfigurationError(f"{problem}; running workers keep its last good version") for problem in readable.problems
    ]
    try:
        controls, states = _look(loaded, configs)
    except StoreError as error:
        problems.append(error)
        controls, states = Controls(), {}
    idle = _unserved(loaded, configs, controls, states)
    rows = [_row(config, states.get(config.slug), controls) for config in configs]
    if as_json:
        console.print_json(rows)
    else:
        _show(rows)
        for text in idle:
            console.say(text)
    for problem in problems:
        console.say(str(problem))
    if loaded.redis_url is None and not as_json:
        console.say(
            "REFERRALS_REDIS_URL is not set: only the file's limits are shown, since a worker keeps its state in memory"
        )
    if problems:
        raise typer.Exit(max(problem.exit_code for problem in problems))


@shops.command()
def pause(
    reason: Annotated[
        str, typer.Option("--reason", help="Why. Shown to everybody who lists the shops.", show_default=False)
    ],
    shop: ShopArgument = None,
    every_shop: EveryShop = False,
    as_json: options.Json = False,
) -> None:
    """Let no call of a shop start any more, whichever worker has its jobs, until it is resumed.

    Every worker obeys within a second and remembers it through restarts; calls under way end, jobs stay queued. What
    has expired or is cancelled ends meanwhile all the same. A pause of all shops holds for new ones too. It works while
    the shops file is broken, too.

    Example: `referrals shops pause acme --reason "wrong texts, ask Kim"`
    """
    text = reason_of(reason)
    loaded = load()
    name = _named(shop, every_shop=every_shop)
    if name != EVERY_SHOP:
        check_shop(name, readable_shops(loaded.shops), loaded)
    with shared_store(loaded, "shops pause") as store:
        controls = store.pause(name, text)
    _tell(controls, f"{_called(name)} paused", as_json=as_json)


@shops.command()
def resume(shop: ShopArgument = None, every_shop: EveryShop = False, as_json: options.Json = False) -> None:
    """Lift a pause. One of all shops and those of single shops are lifted apart.

    Example: `referrals shops resume acme`
    """
    loaded = load()
    name = _named(shop, every_shop=every_shop)
    with shared_store(loaded, "shops resume") as store:
        was_paused = name in store.controls().pauses
        controls = store.resume(name)
    _tell(controls, f"{_called(name)} {'resumed' if was_paused else 'was not paused'}", as_json=as_json)
    known = readable_shops(loaded.shops)
    if not was_paused and name != EVERY_SHOP and name not in known and not known.problems:
        console.say(f"{loaded.shops}: has no shop {name!r}; check the name")
    if name != EVERY_SHOP and EVERY_SHOP in controls.pauses:
        console.say("all shops are still paused; `referrals shops resume --all` lifts that")
    elif name == EVERY_SHOP and controls.pauses:
        console.say(f"still paused, each for its own reason: {', '.join(sorted(controls.pauses))}")


shops.command()(limit)
shops.command()(check)


def _named(shop: str | None, *, every_shop: bool) -> str:
    if (shop is None) != every_shop:
        raise UsageError("name one shop, or give --all")
    if shop is not None and not SLUG.fullmatch(shop):
        raise UsageError(f"{shop!r}: is not a shop's slug")
    return shop or EVERY_SHOP


def _called(name: str) -> str:
    return "every shop" if name == EVERY_SHOP else f"shop {name}"


def _tell(controls: Controls, text: str, *, as_json: bool) -> None:
    pauses = {name: {"reason": pause.reason, "since": time_of(pause.since)} for name, pause in controls.pauses.items()}
    if as_json:
        console.print_json({"pauses": pauses})
    else:
        console.show(text)


def _look(loaded: Settings, configs: Sequence[ListedShop]) -> tuple[Controls, dict[str, ShopState]]:
    if loaded.redis_url is None:
        return Controls(), {}
    store = build_store(loaded, SystemClock())
    try:
        controls, now = store.controls(), SystemClock().now()
        limits = {config.slug: limits_of(config, controls, now) for config in configs}
        states = ask_each(lambda slug: store.inspect(slug, limits[slug]), limits)
        return controls, dict(zip(limits, states, strict=True))
    finally:
        store.close()


def _unserved(
    loaded: Settings, configs: Sequence[ListedShop], controls: Controls, states: Mapping[str, ShopState]
) -> list[str]:
    # A line about the shops that no worker serves. What `run` sends needs no RabbitMQ, so nothing is wrong without it.
    if not states:
        return []
    gates = {config.slug: gate_of(states[config.slug], config.slug, config.limits, controls) for config in configs}
    try:
        found = consumers_of(loaded, gates)
    except (BrokerError, ConfigurationError):
        return []
    idle = unserved(gates, found, max(state.at for state in states.values()))
    return [unserved_line(idle, anybody=any(found.values()))] if idle else []


def _row(config: ListedShop, state: ShopState | None, controls: Controls) -> dict[str, Any]:
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
        return row
    gate = gate_of(state, config.slug, limits, controls)
    return row | {
        "gate": gate.gate,
        "code": gate.code,
        "until": time_of(gate.until) if gate.until else None,
        "reason": gate.reason,
        "since": time_of(gate.since) if gate.since else None,
        "effective_rate_calls_per_second": round(SECOND / state.interval, 3),
        "limit": limit_data(config.slug, controls, state.at),
        "calls_today": state.calls_today,
        "left_today": max(0, limits.shop_per_day - state.calls_today),
    }


def _show(rows: list[dict[str, Any]]) -> None:
    width = console.width()
    table = [Row(_cells(row)) for row in rows]
    if width is None or max(map(len, columns(_HEADINGS, table, texts=3))) <= width:
        console.table(_HEADINGS, table, texts=3)
    else:
        # What explains a shop's gate gets a line of its own.
        console.table([name for name in _HEADINGS if name != "next try"], list(map(_short, rows)), texts=2)
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
        gate = f"{gate} since {row['since']}"
    remark = row["code"] or row["reason"]
    return [
        row["shop"],
        f"{gate} ({remark})" if remark else gate,
        row["until"] or "-",
        number("effective_rate_calls_per_second"),
        number("rate_calls_per_second"),
        number("calls_today"),
        number("left_today"),
        number("weight"),
    ]
