"""What only the memory store does: it forgets on request, takes over an earlier process's calls, stays small.

Its limits and its ledger are tested together with the Redis store's, in tests/integration/store.
"""

import pytest

from tests.unit.making import NOON, go, make_limits, make_request
from worker.clock import ManualClock
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate, ShopLimits
from worker.store.memory.ledger import Started, Waiting
from worker.store.memory.store import MemoryStore
from worker.store.protocol import Grant, ShopClosed, Wait

MIDNIGHT = NOON + DAY // 2
RESULT = '{"outcome":"sent"}'


@pytest.fixture
def clock() -> ManualClock:
    """Noon, until it is moved."""
    return ManualClock(NOON)


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    """An empty store."""
    return MemoryStore(clock)


def test_no_retention(clock: ManualClock) -> None:
    """Without retention a finished job is forgotten at once."""
    store = MemoryStore(clock, retention=0)
    grant = go(store, make_request())
    assert store.answer(make_request(), grant.epoch, RESULT)
    store.settle(make_request(), grant.epoch, "sent")
    assert isinstance(store.admit(make_request()), Grant)


def test_restored_records(store: MemoryStore) -> None:
    """An open call of an earlier process is taken over at once; a repeat waits for its time."""
    store.load_record(make_request(1).job_id, Started(epoch=0, lease=0, attempts=2, takeovers=1))
    store.load_record(make_request(2).job_id, Waiting(attempts=2, takeovers=0, not_before=NOON + 5))
    grant = go(store, make_request(1))
    assert (grant.attempts, grant.takeovers) == (3, 2)
    assert store.admit(make_request(2)) == Wait("job", NOON + 5)


def granted(store: MemoryStore, limits: ShopLimits, customers: list[str], *, first: int = 1) -> int:
    """How many of these are granted, asked one after the other at one instant."""
    replies = [
        store.admit(make_request(number, customer=customer, limits=limits))
        for number, customer in enumerate(customers, start=first)
    ]
    return sum(isinstance(reply, Grant) for reply in replies)


def test_restored_calls_count(store: MemoryStore, clock: ManualClock) -> None:
    """Calls that an earlier process made today count against the day; yesterday's don't."""
    limits = make_limits(per_day=3, customer_per_day=2)
    for at in (NOON - DAY, NOON - 2, NOON - 1):
        store.count_earlier_call(make_request(limits=limits), at)
    assert store.admit(make_request(1, limits=limits)) == Wait("customer", MIDNIGHT)
    assert granted(store, limits, ["e:b"] * 2, first=10) == 1
    clock.set(MIDNIGHT)
    assert granted(store, limits, ["e:ann@example.com"] * 3, first=20) == 2


def test_restored_calls_keep_the_pace(clock: ManualClock) -> None:
    """Right after a restart a shop's and a customer's second still hold the calls made before it."""
    one = Rate.per_second(1, 1)
    for limits, refusal in (
        (make_limits(shop=one), ShopClosed(NOON - 1 + SECOND, "rate", interval=SECOND)),
        (make_limits(customer=one), Wait("customer", NOON - 1 + SECOND)),
    ):
        store = MemoryStore(clock)
        store.count_earlier_call(make_request(limits=limits), NOON - 1)
        assert store.admit(make_request(limits=limits)) == refusal


@pytest.mark.parametrize("corrected", [7, -7])
def test_a_day_begins_by_the_corrected_clock(corrected: int) -> None:
    """Where the machine's clock is corrected, the day's count begins again when the provider's does."""
    clock = ManualClock(NOON)
    store = MemoryStore(clock)
    limits = make_limits(per_day=1)
    clock.correct(corrected * 3600 * SECOND)
    go(store, make_request(1, limits=limits))
    assert store.admit(make_request(2, limits=limits)) == ShopClosed(
        NOON + (12 - corrected) * 3600 * SECOND, "day_quota"
    )
    clock.set(NOON + (12 - corrected) * 3600 * SECOND)
    go(store, make_request(2, limits=limits))


@pytest.mark.parametrize("corrected", [30, -30])
def test_a_grant_is_undone_on_the_day_that_it_was_charged_to(corrected: int) -> None:
    """Where the clock is corrected across the day's reset, an undone grant changes the count of no other day."""
    midnight = NOON + DAY // 2
    clock = ManualClock(midnight - 20)
    store = MemoryStore(clock)
    limits = make_limits(per_day=3, customer_per_day=3)
    if corrected < 0:
        clock.correct(-corrected)
    undone = go(store, make_request(1, limits=limits))
    clock.correct(corrected)
    store.release(make_request(1, limits=limits), undone.epoch, called=False)
    clock.set(midnight + SECOND)
    assert granted(store, limits, ["e:ann@example.com"] * 5, first=10) == 3
