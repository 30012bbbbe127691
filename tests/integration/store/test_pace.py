"""A shop's pace gives way to the provider's, on either store alike."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.store.worlds import RedisWorld, World, advance
from tests.unit.making import NOON, go, make_limits, make_request
from worker.instants import SECOND
from worker.limits.adaptive import IDLE, RECOVERY, SLOWEST, Slowdown, count_since, fall, pace
from worker.limits.token_bucket import Rate, Taken, after, earliest, try_take
from worker.store.protocol import AdmitRequest, Grant, ShopClosed

FULL = 100_000
LIMITS = make_limits(shop=Rate(FULL, 1))
BUSY = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
"""The fixture is one store for all examples: each begins by emptying it."""


def pace_of(world: World, number: int = 99) -> int:
    """The interval in force; takes the token that is there."""
    go(world.store, make_request(number, limits=LIMITS))
    reply = world.store.admit(make_request(number + 1, limits=LIMITS))
    assert isinstance(reply, ShopClosed)
    return reply.interval


def test_full_pace(world: World) -> None:
    """A shop that was never refused has the interval of its file."""
    assert pace_of(world) == FULL


def test_falls_and_recovers(world: World) -> None:
    """The pace falls as the arithmetic says, the shop is held to it, and it comes back by itself."""
    slow = Slowdown()
    for number in range(3):
        advance(world, 2 * SECOND)
        grant = go(world.store, make_request(number, limits=LIMITS))
        world.store.slow_down(make_request(number, limits=LIMITS), grant.start_at)
        slow = fall(count_since(slow, world.now, world.now), world.now, FULL)
    for passed in (SECOND, RECOVERY // 10, RECOVERY // 3, RECOVERY):
        advance(world, passed)
        interval = pace(slow, world.now, FULL)
        assert pace_of(world, passed) == interval
        advance(world, interval - 1)
        assert isinstance(world.store.admit(make_request(passed + 5, limits=LIMITS)), ShopClosed)
        advance(world, 1)
        go(world.store, make_request(passed + 5, limits=LIMITS))
    assert pace(slow, world.now, FULL) == FULL


class Model:
    """A shop's bucket and pace, by the arithmetic of `worker.limits.token_bucket` and `worker.limits.adaptive`."""

    def __init__(self) -> None:
        self.slow = Slowdown()
        self.tat = 0

    def request(self, world: World, request: AdmitRequest) -> bool:
        """Whether the job is granted; the store has to say so too."""
        interval = pace(self.slow, world.now, FULL)
        at = earliest(self.tat, world.now, Rate(interval, 1))
        reply = world.store.admit(request)
        if at > world.now:
            assert isinstance(reply, ShopClosed)
            assert (reply.reason, reply.interval) == ("rate", interval)
            assert reply.until >= at
            return False
        assert isinstance(reply, Grant)
        self.slow = count_since(self.slow, at, self.tat)
        self.tat = after(self.tat, at, Rate(interval, 1))
        return True

    def refuse(self, world: World, request: AdmitRequest) -> None:
        """The provider has refused the call that was just granted."""
        world.store.slow_down(request, world.now)
        if world.now > self.slow.at:
            self.slow = fall(self.slow, world.now, FULL)

    def check(self, world: World) -> None:
        """Both have the same interval."""
        assert world.store.inspect("acme", LIMITS).interval == pace(self.slow, world.now, FULL)


@settings(deadline=None, suppress_health_check=BUSY, max_examples=40)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0, 1, FULL, FULL, 3 * FULL, SECOND, IDLE + 30 * FULL, RECOVERY // 9]), st.booleans()
        ),
        min_size=5,
        max_size=40,
    )
)
def test_every_step_of_the_pace(world: World, steps: list[tuple[int, bool]]) -> None:
    """Through any calls, pauses and refusals the pace falls, counts, forgets and climbs as the arithmetic says."""
    world.set(NOON)
    world.renew()
    model = Model()
    for number, (pause, refused) in enumerate(steps):
        advance(world, pause)
        request = make_request(number, limits=LIMITS)
        if model.request(world, request) and refused:
            model.refuse(world, request)
        model.check(world)


@pytest.mark.parametrize("allowed", [Rate(SECOND * 27 // 100, 1), Rate(SECOND * 13 // 100, 3)])
def test_the_fall_is_measured(world: World, allowed: Rate) -> None:
    """After a few refusals the pace is just below what the provider takes, with none far below it on the way."""
    bucket, number, refused, model = 0, 0, 0, Model()
    while refused < 8:
        number += 1
        request = make_request(number, limits=LIMITS)
        if not model.request(world, request):
            advance(world, max(1, model.tat - world.now))
            continue
        answer = try_take(bucket, world.now, allowed)
        if isinstance(answer, Taken):
            bucket = answer.tat
            continue
        refused += 1
        model.refuse(world, request)
        model.check(world)
        assert model.slow.interval < 1.15 * allowed.interval
        advance(world, SECOND)
    # By steps of a fifth it would be 1.25 times as long after each refusal.
    assert allowed.interval <= model.slow.interval < 1.08 * allowed.interval


def test_the_slowest_pace(world: World) -> None:
    """A shop that is refused everything is tried at a hundredth of its pace in the end, and not slower."""
    limits = make_limits(shop=Rate(SECOND // 1000, 1))
    for number in range(40):
        advance(world, SECOND // 10)
        grant = go(world.store, make_request(number, limits=limits))
        world.store.slow_down(make_request(number, limits=limits), grant.start_at)
    assert world.store.inspect("acme", limits).interval == SECOND // 1000 * SLOWEST


def test_an_unused_grant_of_a_slower_pace(world: World) -> None:
    """Undone, it leaves the shop as it was: what was charged at the pace in force is refunded whole."""
    world.store.slow_down(make_request(1, limits=LIMITS), NOON - 1)
    grant = go(world.store, make_request(2, limits=LIMITS))
    world.store.release(make_request(2, limits=LIMITS), grant.epoch, called=False)
    go(world.store, make_request(3, limits=LIMITS))
    assert isinstance(world.store.admit(make_request(4, limits=LIMITS)), ShopClosed)


def test_an_idle_shop_measures_nothing(world: World) -> None:
    """What a shop took in hours without work doesn't tell what the provider allows: it falls by a fixed step."""
    for number in (1, 2):
        world.store.slow_down(
            make_request(number, limits=LIMITS), go(world.store, make_request(number, limits=LIMITS)).start_at
        )
        advance(world, 4 * 3600 * SECOND)
    grant = go(world.store, make_request(3, limits=LIMITS))
    world.store.slow_down(make_request(3, limits=LIMITS), grant.start_at)
    assert world.store.inspect("acme", LIMITS).interval == FULL * 5 // 4


@pytest.mark.parametrize(("idle", "measured"), [(IDLE, True), (IDLE + 1, False)])
def test_what_counts_as_idle(world: World, idle: int, measured: bool) -> None:
    """A bucket that was full for ten seconds is a pause in the work, and one that was full for longer no measure."""
    model = Model()
    assert model.request(world, make_request(0, limits=LIMITS))
    model.refuse(world, make_request(0, limits=LIMITS))
    advance(world, max(0, model.tat - world.now) + idle)
    for number in range(1, 500):
        request = make_request(number, limits=LIMITS)
        assert model.request(world, request)
        advance(world, model.tat - world.now)
    before = model.slow
    model.refuse(world, request)
    model.check(world)
    assert (before.calls > 0) is measured
    assert (model.slow.interval < pace(before, world.now, FULL) * 61 // 50) is measured


def test_calls_of_before_the_fall(world: World) -> None:
    """Of many calls that were under way when the first was refused, the others' refusals change nothing."""
    request = make_request(1, limits=LIMITS)
    for _ in range(5):
        world.store.slow_down(request, NOON - 1)
        advance(world, 1)
    advance(world, SECOND)
    assert pace_of(world) == pace(fall(Slowdown(), NOON, FULL), world.now, FULL)


def test_switched_off(world: World) -> None:
    """A shop that isn't to adapt keeps its pace, also one that fell before."""
    world.store.slow_down(make_request(1, limits=LIMITS), NOON - 1)
    advance(world, SECOND)
    rigid = replace(LIMITS, adapts=False)
    go(world.store, make_request(2, limits=rigid))
    advance(world, FULL)
    go(world.store, make_request(3, limits=rigid))


def test_other_shops_keep_their_pace(world: World) -> None:
    """One shop's refusals are its own."""
    world.store.slow_down(make_request(1, limits=LIMITS, shop="other"), NOON - 1)
    assert pace_of(world) == FULL


def test_shared(shared: RedisWorld) -> None:
    """Every process is held to the pace that one of them found too fast."""
    other = shared.another()
    try:
        limits = replace(LIMITS, shop=Rate(SECOND, 1))
        other.slow_down(make_request(1, limits=limits, shop="slow"), NOON - 1)
        go(shared.store, make_request(1, limits=limits, shop="slow"))
        reply = shared.store.admit(make_request(2, limits=limits, shop="slow"))
        assert isinstance(reply, ShopClosed)
        assert reply.interval > SECOND
        assert reply.until >= NOON + SECOND
    finally:
        other.close()
