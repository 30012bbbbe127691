"""A shop's pace gives way to the provider's, on either store alike."""

from dataclasses import replace

import pytest

from tests.integration.store.worlds import RedisWorld, World, advance
from tests.unit.making import NOON, go, make_ask, make_limits
from worker.clock import SECOND
from worker.limits import Rate, Taken, take
from worker.pace import RECOVERY, Slowdown, fall, granted, interval_of
from worker.store.base import Closed

FULL = 100_000
LIMITS = make_limits(shop=Rate(FULL, 1))


def pace(world: World, number: int = 99) -> int:
    """The interval in force; takes the token that is there."""
    go(world.store, make_ask(number, limits=LIMITS))
    reply = world.store.admit(make_ask(number + 1, limits=LIMITS))
    assert isinstance(reply, Closed)
    return reply.interval


def test_full_pace(world: World) -> None:
    """A shop that was never refused has the interval of its file."""
    assert pace(world) == FULL


def test_falls_and_recovers(world: World) -> None:
    """The pace falls as the arithmetic says, the shop is held to it, and it comes back by itself."""
    slow = Slowdown()
    for number in range(3):
        advance(world, 2 * SECOND)
        grant = go(world.store, make_ask(number, limits=LIMITS))
        world.store.slow_down(make_ask(number, limits=LIMITS), grant.start_at)
        slow = fall(granted(slow, world.now, world.now), world.now, FULL)
    for passed in (SECOND, RECOVERY // 10, RECOVERY // 3, RECOVERY):
        advance(world, passed)
        interval = interval_of(slow, world.now, FULL)
        assert pace(world, passed) == interval
        advance(world, interval - 1)
        assert isinstance(world.store.admit(make_ask(passed + 5, limits=LIMITS)), Closed)
        advance(world, 1)
        go(world.store, make_ask(passed + 5, limits=LIMITS))
    assert interval_of(slow, world.now, FULL) == FULL


@pytest.mark.parametrize("allowed", [Rate(SECOND // 4, 10), Rate(SECOND // 7, 1)])
def test_the_fall_is_measured(world: World, allowed: Rate) -> None:
    """After a few refusals the pace is just below what the provider takes, with none far below it on the way."""
    bucket, number, refused = 0, 0, 0
    while refused < 8:
        number += 1
        ask = make_ask(number, limits=LIMITS)
        reply = world.store.admit(ask)
        if isinstance(reply, Closed):
            world.set(reply.until)
            continue
        answer = take(bucket, world.now, allowed)
        if isinstance(answer, Taken):
            bucket = answer.tat
        else:
            refused += 1
            world.store.slow_down(ask, world.now)
            world.store.block("acme", None, world.now + SECOND)
        assert world.store.inspect("acme", LIMITS).interval < allowed.interval * 1.27
    assert world.store.inspect("acme", LIMITS).interval > allowed.interval * 0.98


def test_an_idle_shop_measures_nothing(world: World) -> None:
    """What a shop took in hours without work doesn't tell what the provider allows: it falls by a fixed step."""
    for number in (1, 2):
        world.store.slow_down(
            make_ask(number, limits=LIMITS), go(world.store, make_ask(number, limits=LIMITS)).start_at
        )
        advance(world, 4 * 3600 * SECOND)
    grant = go(world.store, make_ask(3, limits=LIMITS))
    world.store.slow_down(make_ask(3, limits=LIMITS), grant.start_at)
    assert world.store.inspect("acme", LIMITS).interval == FULL * 5 // 4


def test_calls_of_before_the_fall(world: World) -> None:
    """Of many calls that were under way when the first was refused, the others' refusals change nothing."""
    ask = make_ask(1, limits=LIMITS)
    for _ in range(5):
        world.store.slow_down(ask, NOON - 1)
        advance(world, 1)
    advance(world, SECOND)
    assert pace(world) == interval_of(fall(Slowdown(), NOON, FULL), world.now, FULL)


def test_switched_off(world: World) -> None:
    """A shop that isn't to adapt keeps its pace, also one that fell before."""
    world.store.slow_down(make_ask(1, limits=LIMITS), NOON - 1)
    advance(world, SECOND)
    rigid = replace(LIMITS, adapts=False)
    go(world.store, make_ask(2, limits=rigid))
    advance(world, FULL)
    go(world.store, make_ask(3, limits=rigid))


def test_other_shops_keep_their_pace(world: World) -> None:
    """One shop's refusals are its own."""
    world.store.slow_down(make_ask(1, limits=LIMITS, shop="other"), NOON - 1)
    assert pace(world) == FULL


def test_shared(shared: RedisWorld) -> None:
    """Every process is held to the pace that one of them found too fast."""
    other = shared.another()
    try:
        limits = replace(LIMITS, shop=Rate(SECOND, 1))
        other.slow_down(make_ask(1, limits=limits, shop="slow"), NOON - 1)
        go(shared.store, make_ask(1, limits=limits, shop="slow"))
        reply = shared.store.admit(make_ask(2, limits=limits, shop="slow"))
        assert isinstance(reply, Closed)
        assert reply.interval > SECOND
        assert reply.until >= NOON + SECOND
    finally:
        other.close()
