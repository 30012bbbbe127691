"""Orders about campaigns on a fleet: obeyed by every process within a second, exact, nothing lost or out of order."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.making import PATIENT
from worker.instants import DAY, SECOND
from worker.model.campaign_orders import Brake, Hold
from worker.model.controls import EVERY_SHOP
from worker.model.orders import Origin
from worker.shops.config import ShopTable
from worker.simulator.fleet import Fleet
from worker.simulator.report import Report
from worker.simulator.scenario import BEGIN, Load, Scenario
from worker.store.controls import ControlsStore

SPRING = ("spring", EVERY_SHOP)
WHO = Origin("a test", "to see")
Orders = Sequence[tuple[int, Callable[[ControlsStore], object]]]


def paused(at: int) -> tuple[int, Callable[[ControlsStore], object]]:
    return at, lambda store: store.pause_campaign(*SPRING, WHO)


def resumed(at: int) -> tuple[int, Callable[[ControlsStore], object]]:
    return at, lambda store: store.resume_campaign(*SPRING, WHO)


def paced(interval: int, per_day: int = 0) -> tuple[int, Callable[[ControlsStore], object]]:
    return 0, lambda store: store.pace_campaign(*SPRING, interval, per_day, WHO)


def published(rest: Hold | None = None, brake: Brake | None = None) -> tuple[int, Callable[[ControlsStore], object]]:
    return 0, lambda store: store.publish_campaign(*SPRING, WHO, rest=rest, brake=brake, detail="")


def run(load: Load, orders: Orders, **scenario: Any) -> Report:
    """A fleet with this one shop. No order may make it exceed the shop's limits."""
    report = Fleet(Scenario([load], orders=orders, **scenario)).run()
    assert report.over() == 0
    return report


def calls(report: Report, is_meant: Callable[[int], bool]) -> list[tuple[int, int]]:
    """When the jobs with these numbers were called, from the beginning on, and their numbers; each once."""
    shop = report.shops["s0"]
    numbers = [int(customer[1:]) for customer in shop.customers]
    assert len(numbers) == len(set(numbers))
    at = zip(shop.begun, numbers, strict=True)
    return sorted((begun - report.began, number) for begun, number in at if is_meant(number))


def passed(numbers: Sequence[int]) -> int:
    """By how many places the job that was passed by most was behind another one; 0 in order."""
    return max(places_behind(numbers), default=0)


def places_behind(numbers: Sequence[int]) -> Iterator[int]:
    """By how many places each job was behind another one."""
    furthest = 0
    for number in numbers:
        furthest = max(furthest, number)
        yield furthest - number


def is_odd(number: int) -> bool:
    return bool(number % 2)


@settings(PATIENT, max_examples=25)
@given(
    pause=st.integers(1, 6 * SECOND),
    lasts=st.integers(2 * SECOND, 90 * SECOND),
    processes=st.sampled_from([1, 4]),
    per_second=st.sampled_from([3.0, 40.0]),
    round_trip=st.sampled_from([0, 500, 20_000]),
    seed=st.integers(0, 100),
)
def test_a_pause_is_obeyed_within_a_second_and_its_jobs_come_back_in_order(
    pause: int, lasts: int, processes: int, per_second: float, round_trip: int, seed: int
) -> None:
    """By every process. The shop's other campaign has its pace meanwhile, and each job is called once in the end.

    One process keeps the order exactly. Several take turns, and put few jobs further behind than what they have in
    hand.
    """
    jobs = int(16 * per_second)
    load = Load(jobs, ShopTable(per_second=per_second, burst=2), campaign_of=lambda n: "spring" if n % 2 else "summer")
    report = run(
        load,
        [paused(pause), resumed(pause + lasts)],
        processes=processes,
        store_round_trip=round_trip,
        seed=seed,
    )
    spring, summer = calls(report, is_odd), calls(report, lambda number: not is_odd(number))
    assert len(spring) == len(summer) == jobs // 2
    assert not [at for at, _ in spring if pause + SECOND + round_trip < at < pause + lasts]
    # Whoever waits for a process's turn: see test_fleet.py.
    slack = 2 * SECOND + processes * load.table.burst * SECOND
    assert summer[-1][0] <= report.shops["s0"].ideal() + slack
    # Every second job is one of it.
    order = [number // 2 for _, number in spring]
    if processes == 1:
        assert passed(order) == 0
    else:
        # A process that looks through the lane as the campaign is resumed puts what it has in hand to the lane's end.
        assert sum(behind > 3 * processes * 16 for behind in places_behind(order)) <= 2 * processes * 16
    if pause < spring[-1][0]:
        assert spring[-1][0] >= pause + lasts or spring[-1][0] <= pause + SECOND + round_trip


@settings(PATIENT, max_examples=10)
@given(
    per_second=st.sampled_from([1.0, 10.0, 25.0]),
    processes=st.sampled_from([1, 4]),
    prefetch=st.sampled_from([8, 16]),
    seed=st.integers(0, 100),
)
def test_a_pace_is_exact(per_second: float, processes: int, prefetch: int, seed: int) -> None:
    """Never over: any stretch has one and a half calls above the pace at the most. 99 % of it is used, 98 % with
    half of the usual prefetch, and the other campaign behind it has the rest of the shop's.
    """
    interval, seconds = round(SECOND / per_second), 60
    own = round(1.2 * seconds * per_second)
    rest = round(1.2 * seconds * (50 - per_second))
    load = Load(own + rest, ShopTable(per_second=50), campaign_of=lambda n: "spring" if n < own else "summer")
    end = BEGIN + seconds * SECOND
    report = run(load, [paced(interval)], processes=processes, prefetch=prefetch, seed=seed, until=end)
    shop = report.shops["s0"]
    starts = sorted(
        start for start, customer in zip(shop.starts, shop.customers, strict=True) if int(customer[1:]) < own
    )
    # How far calls are ahead of a steady pace that began at the earliest of them: it may fall, and never rises above.
    ahead = [number * interval - (start - starts[0]) for number, start in enumerate(starts)]
    lowest = 0
    for at in ahead:
        lowest = min(lowest, at)
        assert at - lowest <= 1.5 * interval
    # Of 8 jobs in hand the other campaign's fill all at times, and a place that nobody asks for within two is gone.
    assert len(starts) >= (0.99 if prefetch >= 16 else 0.98) * seconds * per_second
    assert len(shop.starts) >= 0.99 * seconds * 50


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("campaigns", [2, 4])
def test_paced_campaigns_of_a_shop_keep_nobody_from_its_pace(campaigns: int, processes: int) -> None:
    """The last of them behind thousands of jobs of slow ones: it has its own pace, and none is over theirs."""
    slow, own, seconds = 5_000, 1_500, 60
    names = ["summer", "autumn", "winter"][: campaigns - 1]
    load = Load(
        slow + own,
        ShopTable(per_second=50),
        campaign_of=lambda number: names[number % len(names)] if number < slow else "spring",
    )
    orders = [(0, partial(_pace, name, SECOND)) for name in names] + [paced(SECOND // 20)]
    report = run(load, orders, processes=processes, until=BEGIN + seconds * SECOND)
    found = calls(report, lambda number: number >= slow)
    assert 0.99 * 20 * seconds <= len(found) <= 20 * seconds + 2
    assert passed([number for _, number in found]) <= (0 if processes == 1 else 3 * 4 * 16)
    for turn in range(len(names)):
        of_one = [number for _, number in calls(report, lambda n: n < slow and n % len(names) == turn)]  # noqa: B023
        assert seconds - 2 <= len(of_one) <= seconds + 2
        assert passed(of_one) <= (0 if processes == 1 else 3 * 4 * 16 * len(names))


def _pace(name: str, interval: int, store: ControlsStore) -> None:
    store.pace_campaign(name, EVERY_SHOP, interval, 0, WHO)


@pytest.mark.parametrize("processes", [1, 4])
def test_a_days_pace_ends_and_goes_on_after_the_reset(processes: int) -> None:
    """Its day's calls are made, not one more, and the other campaign is not held up."""
    load = Load(600, ShopTable(per_second=50), campaign_of=lambda n: "spring" if n < 300 else "summer")
    report = run(load, [paced(0, per_day=100)], processes=processes)
    spring, summer = calls(report, lambda n: n < 300), calls(report, lambda n: n >= 300)
    days = Counter((report.began + at) // DAY for at, _ in spring)
    assert list(days.values()) == [100, 100, 100]
    # Noon is twelve hours before the reset.
    resets = [DAY // 2, DAY + DAY // 2]
    for reset in resets:
        assert min(at for at, _ in spring if at >= reset) <= reset + 2 * SECOND
    assert summer[-1][0] <= 10 * SECOND
    assert passed([number for _, number in summer]) <= (0 if processes == 1 else 4 * 16 * 2)


@pytest.mark.parametrize("processes", [1, 4])
def test_a_days_pace_that_is_raised_counts_at_once(processes: int) -> None:
    """Also where the day's calls were made: nobody waits for the reset."""
    load = Load(100, ShopTable(per_second=50), campaign_of=lambda _: "spring")
    raised = 60 * SECOND, lambda store: store.pace_campaign(*SPRING, 0, 100, WHO)
    report = run(load, [paced(0, per_day=20), raised], processes=processes)
    spring = [at for at, _ in calls(report, lambda _: True)]
    assert sum(at < 60 * SECOND for at in spring) == 20
    assert len(spring) == 100
    assert spring[-1] <= 90 * SECOND


@pytest.mark.parametrize("processes", [1, 4])
def test_the_first_jobs_are_called_and_the_rest_once_it_is_released(processes: int) -> None:
    """In order, at the shop's whole pace from then on."""
    load = Load(1000, ShopTable(per_second=50), campaign_of=lambda _: "spring", aside=900)
    release = (30 * SECOND, lambda store: store.release_campaign(*SPRING, WHO))
    report = run(load, [published(Hold("first", "", 0)), release], processes=processes)
    found = calls(report, lambda _: True)
    assert [number < 100 for _, number in found] == [True] * 100 + [False] * 900
    assert found[99][0] <= 3 * SECOND
    assert 30 * SECOND <= found[100][0] <= 31 * SECOND
    assert found[-1][0] <= 30 * SECOND + 900 * SECOND // 50 + SECOND
    assert passed([number for _, number in found]) <= (0 if processes == 1 else 3 * 4 * 16)


def test_a_campaign_with_a_start_begins_then() -> None:
    """By itself, within a second, and the shop's other campaign doesn't wait for it."""
    begin = BEGIN + 3600 * SECOND
    load = Load(200, ShopTable(per_second=50), campaign_of=lambda n: "spring" if n >= 100 else "summer", aside=100)
    report = run(load, [published(Hold("start", "", 0, begin))], processes=4)
    summer, spring = calls(report, lambda n: n < 100), calls(report, lambda n: n >= 100)
    assert summer[-1][0] <= 3 * SECOND
    assert all(0 <= at - 3600 * SECOND <= 4 * SECOND for at, _ in spring)
    assert spring[0][0] <= 3601 * SECOND


@settings(PATIENT, max_examples=15)
@given(
    share=st.sampled_from([20, 50]),
    window=st.sampled_from([50, 200]),
    processes=st.sampled_from([1, 4]),
    good_before=st.integers(0, 300),
    seed=st.integers(0, 100),
)
def test_a_brake_stops_a_wrong_export(share: int, window: int, processes: int, good_before: int, seed: int) -> None:
    """After so many bad results as its window allows, and what was under way within a second of it; no sooner."""
    per_second = 50
    load = Load(
        1_000,
        ShopTable(per_second=per_second),
        campaign_of=lambda _: "spring",
        is_rejected=lambda number: number >= good_before,
    )
    orders = [published(brake=Brake(share, window))]
    report = run(load, orders, processes=processes, seed=seed, until=BEGIN + 600 * SECOND)
    called = len(report.shops["s0"].begun)
    trips = max(window, good_before + share * window // 100 + 1)
    # Processes take turns, so that one may call bad ones that lie behind what the others have in hand.
    assert called >= max(window, trips - (processes - 1) * 16)
    # In hand while the last result came, and called before the next look of every process.
    assert called <= trips + 2 * per_second + processes * 16


@settings(PATIENT, max_examples=15)
@given(
    per_second=st.sampled_from([5.0, 25.0]),
    reserve=st.sampled_from([0.0, 2.0]),
    processes=st.sampled_from([1, 4]),
    seed=st.integers(0, 100),
)
def test_a_flood_of_urgent_jobs_leaves_bulk_a_fifth(
    per_second: float, reserve: float, processes: int, seed: int
) -> None:
    """While both wait, one of five calls is bulk's at least, and the whole rate is used."""
    table = ShopTable(per_second=per_second, burst=4, reserve_per_second=reserve)
    bulk, flood = int(10 * per_second), int(60 * per_second)
    report = Fleet(Scenario([Load(bulk, table, urgent=(flood, 0))], processes=processes, seed=seed)).run()
    shop = report.shops["s0"]
    order = sorted(zip(shop.starts, shop.customers, strict=True))
    ends = max(number for number, (_, customer) in enumerate(order) if customer[0] == "c")
    both = [customer[0] for _, customer in order[table.burst : ends]]
    assert both.count("c") >= 0.2 * len(both) - processes - table.burst
    assert report.over() == 0
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(order[table.burst : ends])]
    assert sum(gaps) <= 1.02 * len(gaps) * shop.limits.shop.interval + SECOND


@pytest.mark.parametrize("reserve", [{}, {"reserve_per_day": 120}], ids=["in its day", "after its day"])
def test_urgent_jobs_beside_a_campaign_are_called_within_a_second(reserve: dict[str, int]) -> None:
    """The slowest of hundred: one a second beside a campaign at 25 a second, also once that has had its day."""
    table = ShopTable(per_second=25, per_day=1400 if reserve else 100_000, **reserve)  # type: ignore[arg-type]
    load = Load(3000 if not reserve else 100, table, urgent=(100, SECOND), ahead=0 if not reserve else 1200)
    report = Fleet(Scenario([load], processes=4)).run()
    assert sorted(report.shops["s0"].urgent_waits)[98] < SECOND
    assert report.over() == 0
