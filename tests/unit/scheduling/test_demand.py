"""What limits would let run, as one process tells it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from tests.unit.making import NOON, make_shop
from worker.clock import ManualClock
from worker.instants import SECOND
from worker.scheduling.demand import runnable_jobs_per_second
from worker.scheduling.gate import FOREVER, Gate
from worker.scheduling.gauges import Gauges
from worker.shops.registry import ShopRegistry
from worker.telemetry.metrics.process import USUAL_CALL_SECONDS, Metrics


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
def test_runnable(ready: int, in_flight: int, set_aside: int, runnable: float) -> None:
    """A shop's pace where more lies behind, what is here otherwise, nothing for customers that are held back."""
    assert runnable_jobs_per_second(25, ready=ready, in_flight=in_flight, set_aside=set_aside, prefetch=16) == runnable


def test_a_slow_shop_asks_for_its_pace_only() -> None:
    """A few jobs of a shop at one call in ten seconds ask for a tenth of a job a second."""
    assert runnable_jobs_per_second(0.1, ready=3, in_flight=0, set_aside=0, prefetch=16) == 0.1


THREADS = 16
assert THREADS / USUAL_CALL_SECONDS == 64, "a pod's capacity in what follows"


@dataclass
class Job:
    """A job at hand."""

    shop: str
    customer: str = ""
    uncalled: bool = False


def replicas(pods: int, rates: dict[str, float], hold: Callable[[int, str], int]) -> int:
    """The pods that the documented query asks for, where each pod holds so many jobs of each shop."""
    most: dict[str, float] = {}
    capacities: list[float] = []
    for pod in range(pods):
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        metrics.declare_shops(rates)
        shops = ShopRegistry.of(*(make_shop(slug, per_second=rate) for slug, rate in rates.items()))
        gate: Gate[Job] = Gate(threads=THREADS, max_aside=8)
        gauges = Gauges(metrics, ManualClock(NOON), shops, gate, prefetch=16, stuck_after=SECOND)
        for shop in rates:
            for _ in range(hold(pod, shop)):
                gate.offer(Job(shop))
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
