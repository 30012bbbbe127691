"""Suppressed addresses: looked up with each admission, on both stores, and never lost unnoticed."""

from concurrent.futures import Future
from dataclasses import replace

import pytest

from tests.integration.store.worlds import SERVER_CLOCK, RedisWorld, World, advance, finish, submitted
from tests.unit.making import LEASE, go, make_limits, make_request
from worker.clock import ManualClock
from worker.errors import ConfigurationError, StoreError
from worker.instants import SECOND
from worker.limits.token_bucket import Rate
from worker.model.controls import EVERY_SHOP
from worker.model.orders import Origin
from worker.model.suppression import UNFINISHED, AddressKey, SuppressionList
from worker.store.protocol import AdmitRequest, AlreadyAnswered, ShopClosed, Wait
from worker.store.redis.store import RedisStore

KEY = AddressKey(b"a secret of sixteen")

ANN, BEN, CAT = (KEY.hashed(f"{name}@example.com") for name in ("ann", "ben", "cat"))


def to(number: int, *addresses: bytes, shop: str = "acme") -> AdmitRequest:
    """A job whose customer and destination have these addresses."""
    return replace(make_request(number, shop=shop, customer=""), addresses=addresses)


@pytest.mark.parametrize("addresses", [(ANN,), (ANN, BEN), (BEN, ANN)])
def test_suppresses_a_job_by_its_customer_or_its_destination(world: World, addresses: tuple[bytes, ...]) -> None:
    """Whichever of the two is on the list, the job is granted an end without a call."""
    world.store.suppress("acme", [ANN], 1)
    assert go(world.store, to(1, *addresses)).suppressed
    assert not go(world.store, to(2, BEN, CAT)).suppressed


def test_keeps_the_lists_of_shops_apart_and_has_one_for_all(world: World) -> None:
    """What one shop's customer has said does not concern another shop; what is said to all does."""
    world.store.suppress("acme", [ANN], 1)
    world.store.suppress(EVERY_SHOP, [BEN], 2)
    assert go(world.store, to(1, ANN)).suppressed
    assert not go(world.store, to(2, ANN, shop="other")).suppressed
    assert go(world.store, to(3, BEN)).suppressed
    assert go(world.store, to(4, BEN, shop="other")).suppressed


def test_looks_up_what_waits(world: World) -> None:
    """Each address in the list of one shop, without a job that asks."""
    world.store.suppress("acme", [ANN], 1)
    world.store.suppress(EVERY_SHOP, [BEN], 2)
    for shop, listed in {"acme": [True, False, False], EVERY_SHOP: [False, True, False], "other": [False] * 3}.items():
        answer: Future[list[bool] | StoreError] = Future()
        world.store.look_up(shop, [ANN, BEN, CAT], answer.set_result)
        assert answer.result(5) == listed


def test_takes_no_token_for_a_suppressed_job(world: World) -> None:
    """The one token of the second is the next job's, and no call is counted in the day."""
    limits = make_limits(shop=Rate.per_second(1, 1))
    world.store.suppress("acme", [ANN], 1)
    first, second, third = (
        replace(to(number, *hashes), limits=limits) for number, hashes in ((1, [ANN]), (2, [BEN]), (3, [CAT]))
    )
    assert go(world.store, first).suppressed
    assert not go(world.store, second).suppressed
    assert isinstance(world.store.admit(third), ShopClosed)
    assert world.store.inspect("acme", limits).calls_today == 1


def test_ends_a_suppressed_job_while_its_shop_has_no_token(world: World) -> None:
    """It needs none."""
    limits = make_limits(shop=Rate.per_second(1, 1))
    go(world.store, replace(to(1, BEN), limits=limits))
    world.store.suppress("acme", [ANN], 1)
    assert go(world.store, replace(to(2, ANN), limits=limits)).suppressed


def test_a_suppressed_job_is_done_like_a_cancelled_one(world: World) -> None:
    """Another copy of it needs no second result; once it is taken off the list, a copy that comes is called."""
    world.store.suppress("acme", [ANN], 1)
    grant = go(world.store, to(1, ANN))
    assert world.store.answer(to(1, ANN), grant.epoch, '{"outcome":"cancelled"}')
    world.store.settle(to(1, ANN), grant.epoch, "cancelled", "suppressed")
    assert world.store.admit(to(1, ANN)) == AlreadyAnswered(0, None)
    assert world.store.known([("acme", to(1).job_id)]) == ["cancelled"]
    world.store.unsuppress("acme", [ANN], 2)
    assert not go(world.store, to(1, ANN)).suppressed


def test_leaves_what_is_done_or_under_way_as_it_is(world: World) -> None:
    """A call that was made has its result, and one that is being made ends."""
    finish(world.store, to(1, ANN))
    go(world.store, to(2, ANN))
    world.store.suppress("acme", [ANN], 1)
    assert world.store.admit(to(1, ANN)) == AlreadyAnswered(0, None)
    assert isinstance(world.store.admit(to(2, ANN)), Wait)


def test_suppresses_the_repeat_of_a_job(world: World) -> None:
    """Its customer opted out between two attempts."""
    grant = go(world.store, to(1, ANN))
    assert world.store.retry(to(1, ANN), grant.epoch, world.now + SECOND)
    world.store.suppress("acme", [ANN], 1)
    advance(world, SECOND)
    again = go(world.store, to(1, ANN))
    assert (again.suppressed, again.attempts) == (True, 2)


def test_gives_a_suppressed_grant_back(world: World) -> None:
    """A worker that stops releases it, and no token comes back that was not taken."""
    limits = make_limits(shop=Rate.per_second(1, 1))
    world.store.suppress("acme", [ANN], 1)
    job = replace(to(1, ANN), limits=limits)
    world.store.release(job, go(world.store, job).epoch, called=False)
    assert go(world.store, replace(to(2, BEN), limits=limits)).attempts == 1
    assert isinstance(world.store.admit(replace(to(3, CAT), limits=limits)), ShopClosed)


def test_counts_an_ended_lease_of_a_suppressed_job_as_no_lost_call(world: World) -> None:
    """Its worker died, and had not called."""
    world.store.suppress("acme", [ANN], 1)
    go(world.store, to(1, ANN))
    advance(world, 2 * LEASE)
    again = go(world.store, to(1, ANN))
    assert (again.takeovers, again.unknowns, again.suppressed) == (1, 0, True)


def test_counts_an_ended_lease_of_a_call_as_a_lost_one(world: World) -> None:
    """Its worker died while it called, and her address was suppressed only then: she may have been contacted."""
    go(world.store, to(1, ANN))
    world.store.suppress("acme", [ANN], 1)
    assert isinstance(world.store.admit(to(1, ANN)), Wait), "the call may be under way"
    advance(world, 2 * LEASE)
    for takeovers in (1, 2):
        again = go(world.store, to(1, ANN))
        assert (again.takeovers, again.unknowns, again.suppressed) == (takeovers, 1, True)
        advance(world, 2 * LEASE)


def test_adds_and_removes_once(world: World) -> None:
    """The counts are of what has changed, and of what is there."""
    assert world.store.suppress("acme", [ANN, BEN, ANN], 1) == 2
    assert world.store.suppress("acme", [ANN, CAT], 2) == 1
    assert world.store.suppressed("acme", [ANN, BEN, CAT]) == [True, True, True]
    assert world.store.unsuppress("acme", [BEN, BEN], 3) == 1
    assert world.store.suppressed("acme", [ANN, BEN, CAT]) == [True, False, True]
    assert world.store.suppressed("other", [ANN]) == [False]
    assert world.store.suppressed("acme", []) == []
    found = world.store.controls().suppression
    assert (found.number, found.lists, found.addresses) == (3, {"acme": SuppressionList(2, 3)}, 2)


@pytest.mark.parametrize("size", [1, 399, 401, 7_000])
def test_finds_every_address_of_a_list_that_grows(world: World, size: int) -> None:
    """In all at once or one after the other, across the levels that a list grows by; and nobody else."""
    hashes = [KEY.hashed(f"{number}@example.com") for number in range(2 * size)]
    assert world.store.suppress("acme", hashes[: size // 2], 1) == size // 2
    assert world.store.suppress("acme", hashes[size // 2 : size], 2) == size - size // 2
    assert world.store.suppressed("acme", hashes) == [True] * size + [False] * size
    assert sorted(world.store.entries("acme")) == sorted(hashes[:size])
    assert world.store.entries("other") == []
    assert world.store.unsuppress("acme", hashes[:size:2], 3) == len(hashes[:size:2])
    assert world.store.suppressed("acme", hashes[:size]) == [number % 2 == 1 for number in range(size)]


def test_says_while_a_list_is_not_whole(world: World) -> None:
    """While it is restored nobody has its key."""
    world.store.suppress("acme", [ANN], 1, whole=False)
    assert world.store.controls().suppression.key == UNFINISHED
    world.store.unsuppress("acme", [ANN], 2)
    assert world.store.controls().suppression.key != UNFINISHED


def test_marks_lists_unfinished_without_making_one(world: World) -> None:
    """Whoever restores has checked no key yet; a change that is whole ends it."""
    world.store.mark_unfinished()
    assert world.store.controls().suppression.key == UNFINISHED
    assert world.store.entries(EVERY_SHOP) == []
    world.store.suppress(EVERY_SHOP, [ANN], 1)
    assert world.store.controls().suppression.key != UNFINISHED
    assert world.store.suppressed(EVERY_SHOP, [ANN]) == [True]


def process(world: RedisWorld, key: AddressKey | None = KEY) -> RedisStore:
    """The store as a process with this key has it."""
    return RedisStore(
        world.url, ManualClock(world.now), server_clock=SERVER_CLOCK, address_key=key.fingerprint if key else b""
    )


@pytest.fixture
def worker(shared: RedisWorld) -> RedisStore:
    """A worker's store, with the key."""
    return process(shared)


def test_grants_nothing_once_a_list_that_it_knows_is_gone(shared: RedisWorld, worker: RedisStore) -> None:
    """The first question after the loss is refused, and the list as it was opens the shop again."""
    worker.suppress("acme", [ANN], 1)
    worker.suppress("acme", [BEN], 2)
    worker.controls()
    shared.renew()
    first, second = submitted(worker, [to(1, CAT), to(2, ANN)])
    assert isinstance(first, ShopClosed)
    assert (first.reason, first == second) == ("suppression", True)
    # Another shop has lost nothing.
    assert not go(worker, to(3, CAT, shop="other")).suppressed
    worker.suppress("acme", [ANN], 1)
    assert isinstance(worker.admit(to(1, CAT)), ShopClosed)
    worker.suppress("acme", [BEN], 2)
    assert not go(worker, to(1, CAT)).suppressed
    assert go(worker, to(2, ANN)).suppressed
    worker.close()


def test_grants_nothing_in_any_shop_once_the_list_of_all_is_gone(shared: RedisWorld, worker: RedisStore) -> None:
    """It concerned them all."""
    worker.suppress(EVERY_SHOP, [ANN], 1)
    worker.controls()
    shared.renew()
    reply = worker.admit(to(1, CAT, shop="other"))
    assert isinstance(reply, ShopClosed)
    assert reply.reason == "suppression"
    # What ends without a call may end.
    assert go(worker, replace(to(2, CAT), uncalled="expired")).attempts == 1
    worker.close()


@pytest.mark.parametrize("key", [None, AddressKey(b"another key of 16")])
def test_grants_nothing_by_another_key(shared: RedisWorld, worker: RedisStore, key: AddressKey | None) -> None:
    """It would take everybody on the list for somebody else; nor can it change the list."""
    worker.suppress("acme", [ANN], 1)
    other = process(shared, key)
    reply = other.admit(to(1, CAT))
    assert isinstance(reply, ShopClosed)
    assert reply.reason == "suppression"
    for change in (other.suppress, other.unsuppress):
        with pytest.raises(ConfigurationError, match="another key"):
            change("acme", [BEN], 2)
    with pytest.raises(ConfigurationError, match="another key"):
        other.suppressed("acme", [ANN])
    assert worker.suppressed("acme", [ANN, BEN]) == [True, False]
    worker.close()
    other.close()


def test_tells_every_worker_of_the_lists_with_the_next_order(shared: RedisWorld, worker: RedisStore) -> None:
    """Orders carry what is known of the lists, with the fingerprint of their key."""
    worker.suppress("acme", [ANN], 1)
    known = worker.record("suppress add", Origin("kim"), shop="acme").suppression
    assert (known.number, known.key, known.lists) == (1, KEY.fingerprint, {"acme": SuppressionList(1, 1)})
    worker.close()


def watched(store: RedisStore) -> int:
    """The store's generation, once a worker has watched it."""
    answer: Future[object] = Future()
    store.watch(0, answer.set_result)
    assert answer.result(5) is None
    return store.generation


def test_is_of_another_generation_whenever_lists_may_be_lost(alone: RedisWorld) -> None:
    """A worker that has heard of nothing notices all the same: lost data, a new connection, a new server behind it."""
    store = alone.another()
    try:
        assert store.generation == 0
        assert watched(store) == 1
        assert watched(store) == 1
        go(store, to(1))
        assert store.generation == 1
        alone.client.flushdb()
        alone.set(alone.now + SECOND)
        assert watched(store) == 2
        assert watched(store) == 2
        alone.client.client_kill_filter(_type="normal", skipme=True)
        go(store, to(2))
        assert store.generation == 3, "known before the grant"
        alone.client.script_flush()
        go(store, to(3))
        assert store.generation == 4, "as where a proxy keeps the connection"
        assert watched(store) == 4
    finally:
        store.close()
