"""What a shop's limits keep for urgent jobs, on either store: bulk leaves it, gets what nobody uses, never starves."""

from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.store.worlds import World, advance, submitted
from tests.unit.making import NOON, make_limits, make_request
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate, ShopLimits, day_of
from worker.store.protocol import AdmitRequest, Grant, Reply, ShopClosed

MIDNIGHT = NOON + DAY // 2
RESERVED = make_limits(shop=Rate.per_second(10, 5), reserve=2)


class Asking:
    """Asks for jobs of its own, one after the other, under one set of limits."""

    def __init__(self, world: World, limits: ShopLimits) -> None:
        self.world = world
        self.limits = limits
        self._number = 0

    def request(self, *, urgent: bool = False) -> AdmitRequest:
        self._number += 1
        return replace(make_request(self._number, customer="", limits=self.limits), urgent=urgent)

    def ask(self, *, urgent: bool = False, turn: bool = False) -> Reply:
        return submitted(self.world.store, [self.request(urgent=urgent)], turn=turn)[0]

    def granted(self, count: int, *, urgent: bool = False) -> int:
        """How many of so many are granted at this instant."""
        return sum(isinstance(self.ask(urgent=urgent), Grant) for _ in range(count))


def test_bulk_leaves_the_reserve_in_the_bucket(world: World) -> None:
    """Bulk gets the burst but the reserve, and then urgent jobs still get that; together no more than the burst."""
    asking = Asking(world, RESERVED)
    assert asking.granted(9) == 3
    assert asking.granted(9, urgent=True) == 2
    advance(world, SECOND // 10)
    assert asking.granted(9) == 0
    assert asking.granted(9, urgent=True) == 1


def test_bulk_gets_the_whole_rate_while_nobody_is_urgent(world: World) -> None:
    """The reserve takes some of the burst from bulk and nothing of its rate."""
    asking = Asking(world, RESERVED)
    taken = asking.granted(9)
    for _ in range(100):
        advance(world, SECOND // 10)
        taken += asking.granted(2)
    assert taken == 3 + 100


def test_an_urgent_job_passes_a_shop_that_is_closed_to_bulk(ahead: World) -> None:
    """However far ahead bulk is granted and whoever has the turns, an urgent job is granted by its first question."""
    asking = Asking(ahead, make_limits(shop=Rate.per_second(25, 20), reserve=1))
    while not isinstance(asking.ask(turn=True), ShopClosed):
        pass
    for _ in range(50):
        asking.ask()
    reply = asking.ask(urgent=True)
    assert isinstance(reply, Grant)
    assert reply.start_at <= ahead.now + SECOND // 2


def test_no_grant_outlives_a_second(ahead: World) -> None:
    """So that nobody is called later than that who is suppressed meanwhile, however long an urgent job waits."""
    asking = Asking(ahead, make_limits(shop=Rate.per_second(1, 1)))
    longest = 0
    for _ in range(100):
        advance(ahead, SECOND // 20)
        reply = asking.ask(urgent=True)
        if isinstance(reply, Grant):
            longest = max(longest, reply.start_by - ahead.now)
    assert SECOND // 2 < longest < SECOND


def test_bulk_gets_every_fifth_call_of_a_flood(ahead: World) -> None:
    """Urgent jobs without end leave a fifth of the calls to bulk that waits, after a first burst; no token is lost."""
    asking = Asking(ahead, make_limits(shop=Rate.per_second(50, 10), reserve=4))
    counts: Counter[str] = Counter()
    seconds = 40
    for _ in range(seconds * 100):
        advance(ahead, SECOND // 100)
        counts["urgent"] += asking.granted(2, urgent=True)
        counts["bulk"] += asking.granted(1)
    total = counts.total()
    assert 50 * seconds - 5 <= total <= 50 * (seconds + 1) + 10
    assert counts["bulk"] >= (50 * seconds - 100) / 5


def test_a_flood_gets_everything_once_bulk_waits_no_longer(ahead: World) -> None:
    """With no other job the shop's whole rate is theirs."""
    asking = Asking(ahead, make_limits(shop=Rate.per_second(50, 10), reserve=4))
    taken = 0
    for _ in range(2000):
        advance(ahead, SECOND // 100)
        taken += asking.granted(2, urgent=True)
    assert 990 <= taken <= 1060


@pytest.mark.parametrize("used", [0, 3, 20])
def test_bulk_leaves_the_days_reserve(world: World, used: int) -> None:
    """At first bulk gets all but the day's reserve, whatever of that was used; urgent jobs then get the rest of it."""
    world.set(MIDNIGHT)
    asking = Asking(world, make_limits(shop=Rate(1, 1000), per_day=100, reserve_per_day=20))
    assert asking.granted(used, urgent=True) == used
    assert asking.granted(200) == 80
    refusal = asking.ask()
    assert isinstance(refusal, ShopClosed)
    assert refusal.reason == ("reserve" if used < 20 else "day_quota")
    assert asking.granted(50, urgent=True) == 20 - used
    assert asking.ask(urgent=True) == ShopClosed(MIDNIGHT + DAY, "day_quota")


def test_the_days_reserve_melts_towards_the_reset(world: World) -> None:
    """Bulk is told when it may have the next call of what nobody needed, and by the reset it has had all of it."""
    world.set(MIDNIGHT)
    asking = Asking(world, make_limits(shop=Rate(1, 1000), per_day=100, reserve_per_day=20))
    taken = asking.granted(200)
    while True:
        refusal = asking.ask()
        assert isinstance(refusal, ShopClosed)
        if refusal.reason == "day_quota":
            break
        world.set(refusal.until - 1)
        assert asking.granted(1) == 0
        world.set(refusal.until)
        assert asking.granted(1) == 1
        taken += 1
    assert taken == 100
    assert world.now < MIDNIGHT + DAY
    world.set(MIDNIGHT + DAY)
    assert asking.granted(200) == 80


def test_an_unused_grant_gives_the_reserve_back(world: World) -> None:
    """What an urgent job did not use is kept for another urgent job, and not for bulk."""
    world.set(MIDNIGHT)
    asking = Asking(world, make_limits(shop=Rate(1, 1000), per_day=100, reserve_per_day=20))
    request = asking.request(urgent=True)
    reply = world.store.admit(request)
    assert isinstance(reply, Grant)
    world.store.release(request, reply.epoch, called=False)
    assert asking.granted(200) == 80
    assert asking.granted(200, urgent=True) == 20


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 6), st.integers(0, 6)), min_size=5, max_size=60),
    burst=st.integers(1, 8),
    reserve=st.integers(0, 7),
    per_day=st.integers(2, 60),
    day_reserve=st.integers(0, 59),
)
def test_no_mixture_cheats_a_window_or_the_day(
    ahead: World, steps: list[tuple[int, int, int]], burst: int, reserve: int, per_day: int, day_reserve: int
) -> None:
    """Whatever asks when, no window of calls has more than its rate and burst, and no day more than its quota."""
    ahead.set(MIDNIGHT - 5 * SECOND)
    ahead.renew()
    rate = Rate.per_second(10, burst)
    limits = make_limits(
        shop=rate,
        per_day=per_day,
        reserve=min(reserve, burst - 1),
        reserve_per_day=min(day_reserve, per_day - 1),
    )
    asking = Asking(ahead, limits)
    starts: list[int] = []
    for wait, bulk, urgent in steps:
        advance(ahead, wait)
        for count, is_urgent in ((bulk, False), (urgent, True)):
            if count:
                requests = [asking.request(urgent=is_urgent) for _ in range(count)]
                replies = submitted(ahead.store, requests, turn=True, holds=count)
                starts += [reply.start_at for reply in replies if isinstance(reply, Grant)]
    starts.sort()
    for first, begin in enumerate(starts):
        for last in range(first, len(starts)):
            assert last - first + 1 <= (starts[last] - begin) / rate.interval + burst
    days: defaultdict[int, int] = defaultdict(int)
    for at in starts:
        days[day_of(at, 0)] += 1
    assert all(calls <= per_day for calls in days.values())
