"""Reading a customer's referrals back, on either store: a bucket of its own beside that of the calls."""

import pytest

from tests.integration.store.worlds import RedisWorld, World, advance
from tests.unit.making import NOON, go, make_limits, make_request
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate, ShopLimits, next_reset
from worker.store.protocol import AdmitRequest, Store

ONE_CALL = make_limits(shop=Rate(SECOND, 1), customer=Rate(SECOND, 1))


def reads(store: Store, request: AdmitRequest, most: int = 10) -> int:
    """How many reads there are at once."""
    for taken in range(most):
        if store.take_read(request) is not None:
            return taken
    return most


def test_two_a_second(world: World) -> None:
    """A customer may be read twice at once, then every half second, to the microsecond."""
    request = make_request()
    assert reads(world.store, request) == 2
    assert world.store.take_read(request) == NOON + SECOND // 2
    advance(world, SECOND // 2 - 1)
    assert world.store.take_read(request) == NOON + SECOND // 2
    advance(world, 1)
    assert reads(world.store, request) == 1


def test_reads_are_no_calls(world: World) -> None:
    """Neither uses the other's tokens, and each customer of each shop has its own."""
    store = world.store
    request = make_request(1, limits=ONE_CALL)
    go(store, request)
    assert reads(store, request) == 2
    assert reads(store, make_request(2, customer="e:bob@example.com")) == 2
    assert reads(store, make_request(3, shop="beta")) == 2
    advance(world, SECOND)
    go(store, make_request(4, limits=ONE_CALL))


@pytest.mark.parametrize("resets_at", [0, 5 * 3600 * SECOND])
def test_a_day_s_reads(world: World, resets_at: int) -> None:
    """After the day's reads there is none before the reset, and then a day's again, no faster than any other time."""
    limits = ShopLimits(Rate(1, 10**6), 10**6, Rate(1, 10**6), 10**6, resets_at, reads=Rate(1, 5), reads_per_day=3)
    request = make_request(limits=limits)
    assert reads(world.store, request) == 3
    reset = next_reset(NOON, resets_at)
    assert world.store.take_read(request) == reset
    world.set(reset - 1)
    assert world.store.take_read(request) == reset
    world.set(reset)
    assert reads(world.store, request) == 3
    world.set(reset + DAY)
    assert reads(world.store, request) == 3


def test_processes_share_them(shared: RedisWorld) -> None:
    """Two processes together read no faster than one."""
    another = shared.another()
    try:
        assert [store.take_read(make_request()) for store in (shared.store, another)] == [None, None]
        assert another.take_read(make_request()) == NOON + SECOND // 2
    finally:
        another.close()


def test_nothing_personal_is_kept(shared: RedisWorld) -> None:
    """The key of a customer's reads holds no address and goes with its day."""
    shared.store.take_read(make_request(customer="e:ann@example.com"))
    (key,) = shared.client.keys("rd:*:r:*")
    assert b"ann" not in key
    assert shared.client.pttl(key) > 0
