"""``referrals status``: how campaigns stand."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import typer

from worker.broker.connection import parameters
from worker.broker.depths import Depth, Depths, depths
from worker.broker.topology import DEAD, DELAYS, RESULTS, shop_queue
from worker.campaigns.standing import Standing, seconds_to_go, unaccounted
from worker.cli import console, options
from worker.cli.environment import load
from worker.cli.gates import GateView, gate_of, limit_data, limit_line, limits_of
from worker.clock import SECOND, SystemClock, to_datetime
from worker.controls import Controls
from worker.errors import ConfigurationError
from worker.settings import Settings
from worker.shops import ListedShop, listed_shops
from worker.store.base import ShopState, Store
from worker.stores import build_store

LOOK_SECONDS = 2.0
"""Between the looks of --watch, and between the two that a pace is measured by."""

LAG_SECONDS = 6.0
"""How old RabbitMQ's depths may be: it counts a quorum queue every five seconds."""

_CAMPAIGN = ("campaign", "shop", "published", "sent", "rejected", "failed", "unknown", "other", "twice", "dead", "left")
_SHOP = ("shop", "gate", "until", "waiting", "in hand", "jobs/s now", "allowed", "left today", "to go")


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    standings: list[Standing]
    states: Mapping[str, ShopState]
    controls: Controls

    def results(self) -> Counter[str]:
        return Counter({shop: n for shop, n in self._of_shops().items() if n})

    def _of_shops(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for standing in self.standings:
            counts[standing.shop] += standing.results
        return counts


def status(
    campaign: Annotated[str | None, typer.Argument(help="Show this campaign only.", show_default=False)] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show what became of each campaign's jobs at each shop, what is left, how fast it goes and until when.

    Counts come from the store, so `REFERRALS_REDIS_URL` must be the workers'; depths of queues from RabbitMQ's
    Prometheus endpoint (`REFERRALS_RABBITMQ_METRICS_URL`), or else from RabbitMQ itself. It says so when jobs are
    missing: published = results + waiting + delayed + in hand + dead.

    Example: `referrals status spring --watch`
    """
    loaded = load()
    if loaded.redis_url is None:
        raise ConfigurationError(
            "REFERRALS_REDIS_URL: is not set; a worker without it keeps its counts in its memory, see its /metrics"
        )
    configs = list(listed_shops(loaded.shops).values())
    store = build_store(loaded, SystemClock())
    try:
        earlier = _look(store, configs)
        while True:
            time.sleep(LOOK_SECONDS)
            found = _depths(loaded, configs)
            look = _look(store, configs)
            report = _report(earlier, look, found, configs, campaign)
            if as_json:
                console.print_json(report)
            else:
                if watch and console.stdout.is_terminal:
                    console.stdout.clear()
                _show(report)
            if not watch:
                return
            earlier = look
    except KeyboardInterrupt:
        return
    finally:
        store.close()


def _look(store: Store, configs: Sequence[ListedShop]) -> _Look:
    standings = [
        Standing.of(campaign, config.slug, counters)
        for config in configs
        for campaign, counters in sorted(store.tallies(config.slug).items())
    ]
    controls, now = store.controls(), SystemClock().now()
    states = {config.slug: store.inspect(config.slug, limits_of(config, controls, now)) for config in configs}
    return _Look(time.monotonic(), standings, states, controls)


def _depths(loaded: Settings, configs: Sequence[ListedShop]) -> Depths:
    params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch status")
    names = [shop_queue(config.slug) for config in configs]
    names += [f"referrals.delay.{seconds}" for seconds in DELAYS] + [DEAD, RESULTS]
    return depths(params, names, loaded.rabbitmq_metrics_url)


def _report(
    earlier: _Look, look: _Look, found: Depths, configs: Sequence[ListedShop], campaign: str | None
) -> dict[str, Any]:
    seconds = look.at - earlier.at
    done = look.results() - earlier.results()
    left: Counter[str] = Counter()
    for standing in look.standings:
        left[standing.shop] += max(0, standing.left)
    none = Depth(0, 0)
    waiting = {config.slug: found.queues.get(shop_queue(config.slug), none) for config in configs}
    delayed = sum(_total(found.queues.get(f"referrals.delay.{level}", none)) for level in DELAYS)
    dead = _total(found.queues.get(DEAD, none))
    in_queues = delayed + sum(map(_total, waiting.values()))
    gap = unaccounted(look.standings, in_queues=in_queues, dead=dead)
    # What moved while the depths grew old is in both counts or in none.
    slack = (sum(done.values()) / seconds) * LAG_SECONDS * 2
    shops = []
    for config in configs:
        state, depth = look.states[config.slug], waiting[config.slug]
        gate = gate_of(state, config, look.controls)
        shops.append(
            {
                "shop": config.slug,
                "gate": gate.gate,
                "code": gate.code,
                "reason": gate.reason,
                "until": to_datetime(gate.until).isoformat(timespec="seconds") if gate.until else None,
                "limit": limit_data(config.slug, look.controls, state.at),
                "waiting": depth.ready,
                "in_hand": depth.unacknowledged,
                "jobs_per_second": round(done[config.slug] / seconds, 2),
                "allowed_per_second": round(SECOND / state.interval, 3),
                "left_today": max(0, config.limits.shop_per_day - state.calls_today),
                "seconds_to_go": round(seconds_to_go(left[config.slug], config.limits, state, closed_until=gate.until)),
            }
        )
    shown = [standing for standing in look.standings if campaign in (None, standing.campaign)]
    names = {standing.shop for standing in shown}
    return {
        "campaigns": [_campaign(standing) for standing in shown],
        "shops": [shop for shop in shops if campaign is None or shop["shop"] in names],
        "delayed": delayed,
        "dead": dead,
        "results_waiting": _total(found.queues.get(RESULTS, none)),
        "depths_from": found.source,
        "unaccounted": None if not found.complete else gap if abs(gap) > slack else 0,
    }


def _campaign(standing: Standing) -> dict[str, Any]:
    return {
        "campaign": standing.campaign,
        "shop": standing.shop,
        "published": standing.published,
        **standing.outcomes,
        "rejected_by_code": dict(standing.rejected),
        "duplicates": standing.duplicates,
        "dead": standing.dead,
        "left": standing.left,
    }


def _total(depth: Depth) -> int:
    return depth.ready + (depth.unacknowledged or 0)


def _show(report: Mapping[str, Any]) -> None:
    rows = []
    for row in report["campaigns"]:
        numbers = [row["published"], row["sent"], row["rejected"], row["failed"], row["unknown"]]
        numbers += [row["expired"] + row["cancelled"], row["duplicates"], row["dead"], row["left"]]
        rows.append([row["campaign"], row["shop"], *(f"{number:,}" for number in numbers)])
        rows += [[f"  {code}", "", "", "", f"{n:,}", *[""] * 6] for code, n in sorted(row["rejected_by_code"].items())]
    console.table(_CAMPAIGN, rows, texts=2)
    console.show("")
    console.table(_SHOP, [_shop_cells(row) for row in report["shops"]], texts=3)
    for row in report["shops"]:
        if row["limit"]:
            console.show(limit_line(row["shop"], row["limit"]))
    console.show("")
    console.show(
        f"delayed {report['delayed']:,}, results not yet collected {report['results_waiting']:,}, "
        f"dead {report['dead']:,} (depths from {report['depths_from']})"
    )
    gap = report["unaccounted"]
    if gap is None:
        console.say("whether all jobs are accounted for can't be told: RabbitMQ says nothing of those in hand")
    elif gap > 0:
        console.say(f"{gap:,} jobs are missing: published, and neither finished nor in any queue; see docs/queues.md")
    elif gap < 0:
        console.say(f"{-gap:,} jobs more than were counted: published by another program, or the store lost its data")


def _shop_cells(row: Mapping[str, Any]) -> list[str]:
    return [
        row["shop"],
        GateView(row["gate"], code=row["code"], reason=row["reason"]).text,
        row["until"] or "-",
        f"{row['waiting']:,}",
        "?" if row["in_hand"] is None else f"{row['in_hand']:,}",
        f"{row['jobs_per_second']:,g}",
        f"{row['allowed_per_second']:,g}",
        f"{row['left_today']:,}",
        str(timedelta(seconds=row["seconds_to_go"])),
    ]
