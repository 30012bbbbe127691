"""What a consumer shows of itself: shops, hands, threads."""

import base64
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.making import NOON, make_shop
from worker.clock import ManualClock
from worker.instants import DAY, SECOND
from worker.model.lanes import Lane
from worker.scheduling.gate import FOREVER, Gate
from worker.scheduling.gauges import Gauges, runnable_jobs_per_second
from worker.shops.credentials import ReadyToken
from worker.shops.registry import ShopRegistry
from worker.telemetry.metrics.process import USUAL_CALL_SECONDS, Metrics

STUCK_AFTER = 90 * SECOND


@dataclass
class Ticket:
    """A job at hand."""

    shop: str = "acme"
    customer: str = "ann"
    uncalled: bool = False
    lane: Lane = "bulk"


class Bench:
    """Gauges over a gate of one shop at 25 calls a second and 100 a day."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.gate: Gate[Ticket] = Gate(threads=20, max_aside=8)
        metrics = Metrics(self.registry)
        shop = make_shop(per_second=25, per_day=100)
        metrics.declare_shops({"acme": 25})
        shops = ShopRegistry.of(shop)
        self.clock = ManualClock(NOON)
        self.outside: set[str] = set()
        self.gauges = Gauges(
            metrics,
            self.clock,
            shops,
            self.gate,
            outside=lambda _: self.outside,
            prefetch=16,
            stuck_after=STUCK_AFTER,
        )

    def shown(self, name: str, *, now: int = NOON, **labels: str) -> float | None:
        """A value after everything was shown."""
        self.gauges.show(now, threads=16, unconfirmed=3)
        return self.registry.get_sample_value(f"referral_{name}", labels)

    def offer(self, jobs: int) -> None:
        """Jobs of the shop arrive."""
        for _ in range(jobs):
            self.gate.offer(Ticket())


@pytest.fixture
def bench() -> Bench:
    """Gauges that nobody has used."""
    return Bench()


def test_runnable(bench: Bench) -> None:
    """A shop's demand is what waits, or its pace where its hands are full, and nothing once all is gone."""
    assert bench.shown("runnable_jobs_per_second", shop="acme") == 0
    bench.offer(4)
    assert bench.shown("runnable_jobs_per_second", shop="acme") == 4
    bench.offer(12)
    assert bench.shown("runnable_jobs_per_second", shop="acme") == 25
    bench.gauges.pace("acme", SECOND // 10)
    assert bench.shown("runnable_jobs_per_second", shop="acme") == 10
    bench.gate.remove("acme")
    assert bench.shown("runnable_jobs_per_second", shop="acme") == 0


@pytest.mark.parametrize(("reason", "shown"), [("rate", 25), ("throttled", 0), ("halted", 0), ("paused", 0)])
def test_a_closed_shop_asks_for_nothing(bench: Bench, reason: str, shown: int) -> None:
    """Every reason but the pace takes a closed shop's jobs out of the demand and is shown."""
    bench.offer(16)
    bench.gate.close("acme", FOREVER, reason)  # type: ignore[arg-type] # a parameter's type is not that narrow
    assert bench.shown("runnable_jobs_per_second", shop="acme") == shown
    assert bench.shown("shop_closed", shop="acme", reason=reason) == (None if reason == "rate" else 1)


def test_hands(bench: Bench) -> None:
    """Jobs at hand are counted by what they wait for."""
    bench.offer(3)
    ticket = bench.gate.next(NOON)
    assert ticket is not None
    bench.gauges.handed_out(ticket, NOON - SECOND, NOON)
    ticket = bench.gate.next(NOON)
    assert ticket is not None
    assert bench.gate.set_aside(ticket, NOON, NOON + SECOND)
    hands = {
        state: bench.shown("jobs_at_hand", state=state)
        for state in ("waiting", "set_aside", "handed_out", "unconfirmed")
    }
    assert hands == {"waiting": 1, "set_aside": 1, "handed_out": 1, "unconfirmed": 3}
    assert bench.registry.get_sample_value("referral_held_back_seconds_sum") == 1


def test_quota(bench: Bench) -> None:
    """What is left of a shop's day follows its calls, is nothing once spent, and whole again after the reset."""
    assert bench.shown("quota_left_calls", shop="acme") is None
    bench.gauges.called("acme", 40, NOON)
    bench.gauges.called("acme", None, NOON)
    assert bench.shown("quota_left_calls", shop="acme") == 60
    bench.gate.close("acme", NOON + DAY, "day_quota")
    assert bench.shown("quota_left_calls", shop="acme") == 0
    bench.gate.open("acme", "day_quota")
    assert bench.shown("quota_left_calls", now=NOON + DAY // 2 - 1, shop="acme") == 60
    assert bench.shown("quota_left_calls", now=NOON + DAY // 2, shop="acme") == 100


def test_stuck_threads(bench: Bench) -> None:
    """A thread that keeps a job for longer than any call can last is shown as stuck until the job comes back."""
    ticket = Ticket()
    bench.gauges.handed_out(ticket, 0, NOON)
    assert bench.shown("stuck_threads", now=NOON + STUCK_AFTER) == 0
    assert bench.shown("stuck_threads", now=NOON + STUCK_AFTER + 1) == 1
    bench.gauges.came_back(ticket)
    assert bench.shown("stuck_threads", now=NOON + STUCK_AFTER + 1) == 0
    assert bench.registry.get_sample_value("referral_pump_timestamp_seconds") == (NOON + STUCK_AFTER + 1) / SECOND


def test_closed_for_all(bench: Bench) -> None:
    """A reason that closes every shop is shown for the worker, not for each shop."""
    assert bench.shown("worker_closed", reason="store_down") == 0
    bench.gate.close_all("store_down")
    assert bench.shown("worker_closed", reason="store_down") == 1
    assert bench.shown("worker_closed", reason="broker_blocked") == 0


def token(claims: object) -> str:
    """A JWT with these claims, unsigned."""
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize(
    ("made", "expires_at"),
    [
        (token({"exp": 1_800_000_000, "aud": "BH"}), 1_800_000_000),
        (token({"exp": 1_800_000_000.5}), 1_800_000_000.5),
        (token({"aud": "BH"}), None),
        (token({"exp": "tomorrow"}), None),
        (token({"exp": True}), None),
        (token({"exp": float("nan")}), None),
        (token([1]), None),
        ("no-jwt", None),
        ("made.else.where", None),
        ("a.%%%.c", None),
    ],
)
def test_a_ready_token_tells_its_end(made: str, expires_at: float | None) -> None:
    """The end is the token's own claim; whatever is not a JWT, or has none, tells nothing."""
    assert ReadyToken(made).expires_at == expires_at


def test_the_beat_is_the_wall_clocks() -> None:
    """Siblings that began before and after the clock was put right compare one time, and Prometheus its own."""
    bench = Bench()
    bench.clock.correct(-600 * SECOND)
    assert bench.shown("pump_timestamp_seconds") == (NOON - 600 * SECOND) / SECOND


@pytest.mark.parametrize(
    ("ready", "in_flight", "set_aside", "runnable"),
    [
        pytest.param(0, 0, 0, 0, id="nothing here"),
        pytest.param(16, 0, 0, 25, id="hands full, so more lies behind: its pace"),
        pytest.param(4, 12, 0, 25, id="full with calls under way"),
        pytest.param(0, 12, 0, 25, id="full though none waits: the prefetch is what holds it up"),
        pytest.param(3, 1, 0, 3, id="no more than is here"),
        pytest.param(0, 3, 0, 0, id="nothing waits"),
        pytest.param(0, 0, 8, 0, id="all wait for their customers"),
        pytest.param(6, 0, 8, 25, id="full, customers' jobs among them"),
    ],
)
def test_how_many_jobs_could_run(ready: int, in_flight: int, set_aside: int, runnable: float) -> None:
    """A shop's pace where more lies behind, what is here otherwise, nothing for customers that are held back."""
    assert runnable_jobs_per_second(25, ready=ready, in_flight=in_flight, set_aside=set_aside, prefetch=16) == runnable


def test_a_slow_shop_asks_for_its_pace_only() -> None:
    """A few jobs of a shop at one call in ten seconds ask for a tenth of a job a second."""
    assert runnable_jobs_per_second(0.1, ready=3, in_flight=0, set_aside=0, prefetch=16) == 0.1


THREADS = 16
assert THREADS / USUAL_CALL_SECONDS == 64, "a pod's capacity in what follows"


def replicas(pods: int, rates: dict[str, float], hold: Callable[[int, str], int]) -> int:
    """The pods that the documented query asks for, where each pod holds so many jobs of each shop."""
    most: dict[str, float] = {}
    capacities: list[float] = []
    for pod in range(pods):
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        metrics.declare_shops(rates)
        shops = ShopRegistry.of(*(make_shop(slug, per_second=rate) for slug, rate in rates.items()))
        gate: Gate[Ticket] = Gate(threads=THREADS, max_aside=8)
        gauges = Gauges(metrics, ManualClock(NOON), shops, gate, outside=lambda _: (), prefetch=16, stuck_after=SECOND)
        for shop in rates:
            for _ in range(hold(pod, shop)):
                gate.offer(Ticket(shop))
            if shop == "closed":
                gate.close(shop, FOREVER, "halted")
        gauges.show(NOON, threads=THREADS, unconfirmed=0)
        (capacity,) = next(iter(metrics.capacity.collect())).samples
        capacities.append(capacity.value)
        for sample in next(iter(metrics.runnable.collect())).samples:
            shop = sample.labels["shop"]
            most[shop] = max(most.get(shop, 0), sample.value)
    return max(1, math.ceil(sum(most.values()) / (sum(capacities) / pods)))


def test_a_whale_asks_for_one_replica() -> None:
    """A shop with more jobs than anybody can hold asks for its pace, however many pods hold some of them."""
    assert replicas(50, {"whale": 25}, lambda *_: 16) == 1


def test_busy_small_shops_ask_for_many() -> None:
    """A hundred shops at ten a second, all with more behind, ask for 1,000 jobs a second: 16 pods at 64."""
    rates = {f"shop-{number}": 10.0 for number in range(100)}
    assert replicas(3, rates, lambda *_: 16) == 16
    # Also where only one pod holds jobs of a shop.
    assert replicas(3, rates, lambda pod, shop: 16 if int(shop[5:]) % 3 == pod else 0) == 16


def test_nothing_to_run_asks_for_the_minimum() -> None:
    """An empty system, and a shop whose jobs can't run, ask for no more than there must be."""
    assert replicas(3, {"acme": 100}, lambda *_: 0) == 1
    assert replicas(3, {"closed": 100}, lambda *_: 16) == 1


def test_a_shop_outside_of_its_window_still_runs_its_other_channels(bench: Bench) -> None:
    bench.offer(16)
    bench.outside = {"acme"}
    assert bench.shown("shop_closed", shop="acme", reason="window") == 1
    assert bench.shown("runnable_jobs_per_second", shop="acme") == 25
