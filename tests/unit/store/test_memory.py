"""The memory store: the ledger's transitions, the four limits, a customer's line."""

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.making import LEASE, NOON, PATIENT, go, make_ask, make_limits
from worker.clock import DAY, SECOND, ManualClock
from worker.jobs import OUTCOMES
from worker.limits import Rate, ShopLimits, day_of
from worker.store.base import GRANT_LIFETIME, LEASE_MARGIN, Ask, Closed, Go, Seen, Wait
from worker.store.memory import MemoryStore, Started, Waiting

WHOLE_LEASE = GRANT_LIFETIME + LEASE + LEASE_MARGIN
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


def test_grant(store: MemoryStore) -> None:
    """A new job is granted at once, for a quarter of a second, as its first attempt."""
    assert store.admit(make_ask()) == Go(1, NOON, NOON + GRANT_LIFETIME, attempts=1, takeovers=0)


def test_a_copy_waits_for_a_live_lease(store: MemoryStore, clock: ManualClock) -> None:
    """A copy of a job under way waits until the lease ends, to the microsecond."""
    go(store, make_ask())
    assert store.admit(make_ask()) == Wait("job", NOON + WHOLE_LEASE)
    clock.advance(WHOLE_LEASE - 1)
    assert store.admit(make_ask()) == Wait("job", NOON + WHOLE_LEASE)
    clock.advance(1)
    assert go(store, make_ask()).takeovers == 1


def test_takeovers_count_attempts(store: MemoryStore, clock: ManualClock) -> None:
    """Each takeover is an attempt with an epoch of its own, since the call may have been made."""
    grants = []
    for _ in range(3):
        grants.append(go(store, make_ask()))
        clock.advance(WHOLE_LEASE)
    assert [(grant.attempts, grant.takeovers) for grant in grants] == [(1, 0), (2, 1), (3, 2)]
    assert len({grant.epoch for grant in grants}) == 3


def test_answer_then_settle(store: MemoryStore) -> None:
    """An answered job hands out its result, a settled one only that it is done."""
    grant = go(store, make_ask())
    assert store.answer(make_ask(), grant.epoch, RESULT)
    assert store.admit(make_ask()) == Seen(grant.epoch, RESULT)
    store.settle(make_ask(), grant.epoch, "sent")
    assert store.admit(make_ask()) == Seen(0, None)


def test_an_answer_has_no_lease(store: MemoryStore, clock: ManualClock) -> None:
    """However long the result waits for its publication, nobody calls again."""
    grant = go(store, make_ask())
    store.answer(make_ask(), grant.epoch, RESULT)
    clock.advance(10 * DAY)
    assert store.admit(make_ask()) == Seen(grant.epoch, RESULT)


def test_retry(store: MemoryStore, clock: ManualClock) -> None:
    """A job to be repeated waits for its time, and the next attempt is counted."""
    grant = go(store, make_ask())
    assert store.retry(make_ask(), grant.epoch, NOON + SECOND)
    assert store.admit(make_ask()) == Wait("job", NOON + SECOND)
    clock.advance(SECOND)
    second = go(store, make_ask())
    assert (second.attempts, second.takeovers) == (2, 0)


def test_takeovers_survive_a_retry(store: MemoryStore, clock: ManualClock) -> None:
    """A repeat doesn't hide that earlier calls were never answered."""
    go(store, make_ask())
    clock.advance(WHOLE_LEASE)
    store.retry(make_ask(), go(store, make_ask()).epoch, NOON)
    third = go(store, make_ask())
    assert (third.attempts, third.takeovers) == (3, 1)


@pytest.mark.parametrize("called", [True, False])
def test_release_undoes_the_attempt(store: MemoryStore, clock: ManualClock, called: bool) -> None:
    """A released grant leaves the job as it was before: first at none, later at its earlier attempts."""
    store.release(make_ask(), go(store, make_ask()).epoch, called=called)
    first = go(store, make_ask())
    assert (first.attempts, first.takeovers) == (1, 0)
    clock.advance(WHOLE_LEASE)
    store.release(make_ask(), go(store, make_ask()).epoch, called=called)
    third = go(store, make_ask())
    assert (third.attempts, third.takeovers) == (2, 1)


def test_release_by_a_fenced_worker(store: MemoryStore, clock: ManualClock) -> None:
    """Whoever was overtaken, or has answered, undoes nothing by a late release."""
    old = go(store, make_ask())
    clock.advance(WHOLE_LEASE)
    new = go(store, make_ask())
    store.release(make_ask(), old.epoch, called=False)
    assert isinstance(store.admit(make_ask()), Wait)
    store.answer(make_ask(), new.epoch, RESULT)
    store.release(make_ask(), new.epoch, called=False)
    assert store.admit(make_ask()) == Seen(new.epoch, RESULT)


def test_overtaken_workers_are_fenced(store: MemoryStore, clock: ManualClock) -> None:
    """After a takeover the earlier epoch records neither an answer nor a repeat nor an end."""
    old = go(store, make_ask())
    clock.advance(WHOLE_LEASE)
    new = go(store, make_ask())
    assert not store.answer(make_ask(), old.epoch, RESULT)
    assert not store.retry(make_ask(), old.epoch, NOON)
    store.settle(make_ask(), old.epoch, "sent")
    assert isinstance(store.admit(make_ask()), Wait)
    assert store.answer(make_ask(), new.epoch, RESULT)
    assert not store.answer(make_ask(), old.epoch, "{}")
    store.settle(make_ask(), old.epoch, "failed")
    assert store.admit(make_ask()) == Seen(new.epoch, RESULT)
    store.settle(make_ask(), new.epoch, "sent")
    assert not store.answer(make_ask(), old.epoch, "{}")
    assert not store.retry(make_ask(), new.epoch, NOON)
    assert store.admit(make_ask()) == Seen(0, None)


def test_fenced_by_a_repeat(store: MemoryStore) -> None:
    """Once a repeat is recorded, the epoch that asked for it is over."""
    grant = go(store, make_ask())
    store.retry(make_ask(), grant.epoch, NOON)
    assert not store.answer(make_ask(), grant.epoch, RESULT)
    assert not store.retry(make_ask(), grant.epoch, NOON)


def test_a_lost_record_takes_the_answer(clock: ManualClock) -> None:
    """A store that lost its data keeps the answer to a call that was made before, and a repeat counts on."""
    earlier = go(MemoryStore(clock), make_ask())
    store = MemoryStore(clock)
    assert store.answer(make_ask(), earlier.epoch, RESULT)
    assert store.admit(make_ask()) == Seen(earlier.epoch, RESULT)
    other = MemoryStore(clock)
    assert other.retry(make_ask(), earlier.epoch, NOON)
    assert go(other, make_ask()).attempts == 2


def test_settle_without_a_record(store: MemoryStore) -> None:
    """Settling what nobody knows changes nothing: the job is not taken for done."""
    store.settle(make_ask(), 1, "sent")
    assert isinstance(store.admit(make_ask()), Go)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_done_is_remembered_for_the_retention(clock: ManualClock, outcome: str) -> None:
    """A finished job is known for the whole retention, whatever its outcome, and forgotten after it."""
    store = MemoryStore(clock, retention=3 * DAY)
    finish(store, make_ask(1), outcome)
    clock.advance(3 * DAY)
    finish(store, make_ask(2), outcome)
    assert store.admit(make_ask(1)) == Seen(0, None)
    clock.advance(DAY)
    finish(store, make_ask(3), outcome)
    assert isinstance(store.admit(make_ask(1)), Go)
    assert store.admit(make_ask(2)) == Seen(0, None)


def test_no_retention(clock: ManualClock) -> None:
    """Without retention a finished job is forgotten at once."""
    store = MemoryStore(clock, retention=0)
    finish(store, make_ask(), "sent")
    assert isinstance(store.admit(make_ask()), Go)


def finish(store: MemoryStore, ask: Ask, outcome: str) -> None:
    """Take a job through to its end."""
    grant = go(store, ask)
    assert store.answer(ask, grant.epoch, RESULT)
    store.settle(ask, grant.epoch, next(known for known in OUTCOMES if known == outcome))


def test_restored_records(store: MemoryStore) -> None:
    """An open call of an earlier process is taken over at once; a repeat waits for its time."""
    store.restore_record(make_ask(1).job_id, Started(epoch=0, lease=0, attempts=2, takeovers=1))
    store.restore_record(make_ask(2).job_id, Waiting(attempts=2, takeovers=0, not_before=NOON + 5))
    grant = go(store, make_ask(1))
    assert (grant.attempts, grant.takeovers) == (3, 2)
    assert store.admit(make_ask(2)) == Wait("job", NOON + 5)


def granted(store: MemoryStore, limits: ShopLimits, customers: list[str], *, first: int = 1) -> int:
    """How many of these are granted, asked one after the other at one instant."""
    replies = [
        store.admit(make_ask(number, customer=customer, limits=limits))
        for number, customer in enumerate(customers, start=first)
    ]
    return sum(isinstance(reply, Go) for reply in replies)


def test_shop_second(store: MemoryStore, clock: ManualClock) -> None:
    """At one instant a shop's burst goes through; then one each interval, whoever the customers are."""
    limits = make_limits(shop=Rate.per_second(4, 3))
    everyone = [f"e:{number}" for number in range(10)]
    assert granted(store, limits, everyone) == 3
    assert store.admit(make_ask(11, customer="e:new", limits=limits)) == Closed(NOON + SECOND // 4, "rate")
    clock.advance(SECOND // 4 - 1)
    assert granted(store, limits, everyone, first=20) == 0
    clock.advance(1)
    assert granted(store, limits, everyone, first=40) == 1
    assert isinstance(store.admit(make_ask(99, shop="other", limits=limits)), Go)


def test_customer_second(store: MemoryStore, clock: ManualClock) -> None:
    """At one instant a customer's burst goes through; the shop's other customers, and nobody, are not held back."""
    limits = make_limits(customer=Rate.per_second(2, 2))
    assert granted(store, limits, ["e:a"] * 5 + ["e:b"] * 5 + [""] * 5) == 2 + 2 + 5
    clock.advance(10 * SECOND)
    assert granted(store, limits, ["e:a"] * 5, first=20) == 2


def test_a_customer_of_two_shops(store: MemoryStore) -> None:
    """The same address at another shop is another customer."""
    limits = make_limits(customer=Rate.per_second(1, 1))
    assert isinstance(store.admit(make_ask(1, shop="a", limits=limits)), Go)
    assert isinstance(store.admit(make_ask(2, shop="b", limits=limits)), Go)


def test_shop_day(store: MemoryStore, clock: ManualClock) -> None:
    """A shop's day holds its quota and not one more, and begins again exactly at the reset."""
    limits = make_limits(per_day=3)
    assert granted(store, limits, ["e:a"] * 5) == 3
    assert store.admit(make_ask(9, limits=limits)) == Closed(MIDNIGHT, "day_quota")
    clock.set(MIDNIGHT - 1)
    assert granted(store, limits, ["e:a"], first=20) == 0
    clock.set(MIDNIGHT)
    assert granted(store, limits, ["e:a"] * 5, first=30) == 3


def test_customer_day(store: MemoryStore, clock: ManualClock) -> None:
    """A customer's day holds its quota and not one more; the shop's others go on."""
    limits = make_limits(customer_per_day=3)
    assert granted(store, limits, ["e:a"] * 5 + ["e:b"]) == 4
    clock.set(MIDNIGHT - 1)
    assert granted(store, limits, ["e:a"], first=20) == 0
    clock.set(MIDNIGHT + SECOND)
    assert granted(store, limits, ["e:a"] * 5, first=30) == 3


def test_jobs_over_a_customer_s_day_line_up_after_the_reset(store: MemoryStore) -> None:
    """They are told places an interval apart, and one that comes back before its place is told the same again."""
    limits = make_limits(customer_per_day=1)
    go(store, make_ask(1, customer="e:a", limits=limits))
    waits = [store.admit(make_ask(number, customer="e:a", limits=limits)) for number in (2, 3, 4)]
    places = [wait.until for wait in waits if isinstance(wait, Wait)]
    assert places == [MIDNIGHT + number * limits.customer.interval for number in range(3)]
    again = replace(make_ask(4, customer="e:a", limits=limits), place=places[2])
    assert store.admit(again) == Wait("customer", places[2])


def test_days_reset_at_the_shop_s_hour(clock: ManualClock) -> None:
    """The day begins at ``resets_at``, not at midnight."""
    store = MemoryStore(clock)
    six = 6 * 3600 * SECOND
    limits = replace(make_limits(per_day=1), resets_at=six)
    go(store, make_ask(1, limits=limits))
    assert store.admit(make_ask(2, limits=limits)) == Closed(MIDNIGHT + six, "day_quota")
    clock.set(MIDNIGHT + six)
    go(store, make_ask(2, limits=limits))


def test_a_later_reset_opens_nothing(store: MemoryStore) -> None:
    """A reset that is moved to later in the day, past now, doesn't start uncounted hours."""
    limits = make_limits(per_day=2, customer_per_day=2)
    assert granted(store, limits, ["e:a"] * 3) == 2
    moved = replace(limits, resets_at=18 * 3600 * SECOND)
    assert granted(store, moved, ["e:a", "e:b"], first=10) == 0


def test_a_step_back_of_the_clock_opens_nothing(store: MemoryStore, clock: ManualClock) -> None:
    """A clock that goes back, even over the day's reset, lets nobody through that it would have kept."""
    limits = make_limits(shop=Rate.per_second(1, 2), per_day=3)
    clock.set(MIDNIGHT)
    assert granted(store, limits, ["e:a"] * 3) == 2
    clock.set(MIDNIGHT - SECOND)
    assert granted(store, limits, ["e:a"] * 3, first=10) == 0
    quota, store = make_limits(per_day=3), MemoryStore(clock)
    clock.set(MIDNIGHT)
    assert granted(store, quota, ["e:a"] * 2) == 2
    clock.set(MIDNIGHT - SECOND // 2)
    assert granted(store, quota, ["e:a"] * 3, first=10) == 1


def test_a_held_back_job_takes_no_token(store: MemoryStore, clock: ManualClock) -> None:
    """A job whose customer must wait costs its shop nothing, in the second and in the day."""
    limits = make_limits(shop=Rate.per_second(1, 3), customer=Rate.per_second(1, 1), per_day=3)
    assert granted(store, limits, ["e:a"] * 5 + ["e:b", "e:c", "e:d"]) == 3
    clock.advance(SECOND)
    assert store.admit(make_ask(99, customer="e:d", limits=limits)) == Closed(MIDNIGHT, "day_quota")


def test_release_gives_every_token_back(store: MemoryStore) -> None:
    """An unused grant leaves all four limits as they were; one whose call was made leaves them used."""
    one = Rate.per_second(1, 1)
    for limits in (
        make_limits(shop=one),
        make_limits(customer=one),
        make_limits(per_day=1),
        make_limits(customer_per_day=1),
    ):
        store = MemoryStore(ManualClock(NOON))
        ask = make_ask(limits=limits)
        store.release(ask, go(store, ask).epoch, called=False)
        store.release(ask, go(store, ask).epoch, called=True)
        assert not isinstance(store.admit(ask), Go)


def test_releases_of_one_instant(store: MemoryStore) -> None:
    """Grants of one instant that are all undone, in any order, leave the whole burst."""
    limits = make_limits(shop=Rate.per_second(1, 3), customer=Rate.per_second(1, 3))
    asks = [make_ask(number, limits=limits) for number in range(3)]
    grants = [go(store, ask) for ask in asks]
    for ask, grant in zip(asks, grants, strict=True):
        store.release(ask, grant.epoch, called=False)
    assert granted(store, limits, ["e:ann@example.com"] * 5, first=10) == 3


def test_a_late_release_gives_nothing_away(store: MemoryStore, clock: ManualClock) -> None:
    """A token that had come back by itself isn't put back a second time."""
    limits = make_limits(shop=Rate.per_second(1, 2), customer=Rate.per_second(1, 2))
    unused = go(store, make_ask(1, limits=limits))
    clock.advance(10 * SECOND)
    assert granted(store, limits, ["e:ann@example.com"] * 3, first=10) == 2
    store.release(make_ask(1, limits=limits), unused.epoch, called=False)
    assert granted(store, limits, ["e:ann@example.com"] * 3, first=20) == 0


def test_a_release_after_the_reset(store: MemoryStore, clock: ManualClock) -> None:
    """A grant of yesterday that is undone today doesn't enlarge today's quota."""
    limits = make_limits(per_day=2, customer_per_day=2)
    clock.set(MIDNIGHT - 1)
    unused = go(store, make_ask(1, limits=limits))
    clock.set(MIDNIGHT)
    assert granted(store, limits, ["e:ann@example.com"], first=10) == 1
    store.release(make_ask(1, limits=limits), unused.epoch, called=False)
    assert granted(store, limits, ["e:ann@example.com"] * 3, first=20) == 1


def test_line(store: MemoryStore, clock: ManualClock) -> None:
    """Jobs that find their customer busy get places one interval apart, and each is granted at its place."""
    limits = make_limits(customer=Rate.per_second(2, 2))
    assert granted(store, limits, ["e:a"] * 2) == 2
    waits = [store.admit(make_ask(number, customer="e:a", limits=limits)) for number in range(10, 16)]
    half = SECOND // 2
    places = [NOON + half * number for number in range(1, 7)]
    assert waits == [Wait("customer", place) for place in places]
    for number, place in enumerate(places, start=10):
        clock.set(place)
        go(store, make_ask(number, customer="e:a", limits=limits, place=place))


def test_newcomers_do_not_jump_the_line(store: MemoryStore, clock: ManualClock) -> None:
    """A job without a place leaves the token to those that were told to come back, and goes to the end."""
    limits = make_limits(customer=Rate.per_second(1, 1))
    go(store, make_ask(1, customer="e:a", limits=limits))
    for number in (2, 3):
        store.admit(make_ask(number, customer="e:a", limits=limits))
    clock.advance(SECOND)
    assert store.admit(make_ask(4, customer="e:a", limits=limits)) == Wait("customer", NOON + 3 * SECOND)
    go(store, make_ask(2, customer="e:a", limits=limits, place=NOON + SECOND))
    clock.advance(SECOND)
    go(store, make_ask(3, customer="e:a", limits=limits, place=NOON + 2 * SECOND))


def test_a_place_that_comes_too_soon(store: MemoryStore, clock: ManualClock) -> None:
    """Who comes before a token is there waits for it, without going to the end of the line."""
    limits = make_limits(customer=Rate.per_second(1, 1))
    go(store, make_ask(1, customer="e:a", limits=limits))
    waits = [store.admit(make_ask(number, customer="e:a", limits=limits)) for number in (2, 3, 4)]
    assert isinstance(waits[0], Wait)
    clock.advance(SECOND // 2)
    early = make_ask(2, customer="e:a", limits=limits, place=waits[0].until)
    assert store.admit(early) == Wait("customer", NOON + SECOND)


def test_the_line_ends(store: MemoryStore, clock: ManualClock) -> None:
    """Once the last place has passed, a newcomer is served like any other."""
    limits = make_limits(customer=Rate.per_second(1, 1))
    assert granted(store, limits, ["e:a"] * 4) == 1
    clock.advance(3 * SECOND)
    assert granted(store, limits, ["e:a"], first=10) == 1


def test_block_shop(store: MemoryStore, clock: ManualClock) -> None:
    """A blocked shop is closed to all of its customers until then, and to nobody else's."""
    store.block("acme", None, NOON + 100)
    store.block("acme", None, NOON + 50)
    assert store.admit(make_ask(1)) == Closed(NOON + 100, "throttled")
    assert store.admit(make_ask(2, customer="")) == Closed(NOON + 100, "throttled")
    go(store, make_ask(3, shop="other"))
    clock.advance(100)
    go(store, make_ask(1))


def test_block_customer(store: MemoryStore, clock: ManualClock) -> None:
    """A blocked customer's jobs line up from the end of the block; the shop's others go on."""
    limits = make_limits(customer=Rate.per_second(2, 2))
    until = NOON + 60 * SECOND
    store.block("acme", "e:a", until)
    store.block("acme", "e:a", NOON + SECOND)
    waits = [store.admit(make_ask(number, customer="e:a", limits=limits)) for number in range(3)]
    assert waits == [Wait("customer", until + number * SECOND // 2) for number in range(3)]
    assert granted(store, limits, ["e:b"], first=10) == 1
    clock.set(until)
    go(store, make_ask(0, customer="e:a", limits=limits, place=until))


def test_a_block_keeps_the_ledger(store: MemoryStore) -> None:
    """What is done or under way is said also while shop and customer are blocked."""
    finish(store, make_ask(1), "sent")
    go(store, make_ask(2))
    store.block("acme", None, NOON + DAY)
    assert store.admit(make_ask(1)) == Seen(0, None)
    assert store.admit(make_ask(2)) == Wait("job", NOON + WHOLE_LEASE)


def test_restored_calls_count(store: MemoryStore, clock: ManualClock) -> None:
    """Calls that an earlier process made today count against the day; yesterday's don't."""
    limits = make_limits(per_day=3, customer_per_day=2)
    for at in (NOON - DAY, NOON - 2, NOON - 1):
        store.restore_call(make_ask(limits=limits), at)
    assert store.admit(make_ask(1, limits=limits)) == Wait("customer", MIDNIGHT)
    assert granted(store, limits, ["e:b"] * 2, first=10) == 1
    clock.set(MIDNIGHT)
    assert granted(store, limits, ["e:ann@example.com"] * 3, first=20) == 2


def test_restored_calls_keep_the_pace(clock: ManualClock) -> None:
    """Right after a restart a shop's and a customer's second still hold the calls made before it."""
    one = Rate.per_second(1, 1)
    for limits, refusal in (
        (make_limits(shop=one), Closed(NOON - 1 + SECOND, "rate")),
        (make_limits(customer=one), Wait("customer", NOON - 1 + SECOND)),
    ):
        store = MemoryStore(clock)
        store.restore_call(make_ask(limits=limits), NOON - 1)
        assert store.admit(make_ask(limits=limits)) == refusal


def test_customers_are_forgotten(store: MemoryStore, clock: ManualClock) -> None:
    """Customers whose bucket is full again take no memory, also while others are blocked for hours."""
    limits = make_limits(customer=Rate.per_second(2, 2))
    for number in range(5):
        store.block("acme", f"e:blocked{number}", NOON + DAY)
    for number in range(2000):
        clock.advance(10_000)
        go(store, make_ask(number, customer=f"e:{number}", limits=limits))
    assert len(store._shops["acme"].customers) < 150


CUSTOMERS = ("e:a", "e:b", "")
shop_limits = st.builds(
    ShopLimits,
    shop=st.builds(Rate, st.sampled_from([1000, SECOND // 3, SECOND]), st.integers(1, 3)),
    shop_per_day=st.integers(3, 30),
    customer=st.builds(Rate, st.sampled_from([1000, SECOND // 2, 5 * SECOND]), st.integers(1, 3)),
    customer_per_day=st.integers(2, 20),
    resets_at=st.sampled_from([0, DAY // 4, DAY // 2 + 1]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 1000, SECOND // 3, SECOND, 20 * SECOND, DAY // 3]),
        st.sampled_from(["ask", "ask", "ask", "ask with place", "release", "release called"]),
        st.integers(0, 5),
        st.sampled_from(CUSTOMERS),
    ),
    min_size=20,
    max_size=60,
)


@settings(PATIENT, max_examples=200)
@given(limits=shop_limits, steps=steps)
def test_no_limit_is_ever_exceeded(limits: ShopLimits, steps: list[tuple[int, str, int, str]]) -> None:
    """Whatever is asked and released when, no window and no day of any scope holds more calls than it may."""
    clock = ManualClock(NOON)
    store = MemoryStore(clock)
    calls: list[tuple[int, str]] = []
    unused: list[tuple[Ask, Go]] = []
    for number, (pause, action, pick, customer) in enumerate(steps):
        clock.advance(pause)
        if action.startswith("release"):
            if unused:
                ask, grant = unused.pop(pick % len(unused))
                called = action == "release called"
                store.release(ask, grant.epoch, called=called)
                if called:
                    calls.append((grant.start_at, ask.customer))
            continue
        place = clock.now() if action == "ask with place" else None
        ask = make_ask(number, customer=customer, limits=limits, place=place)
        reply = store.admit(ask)
        if isinstance(reply, Go):
            unused.append((ask, reply))
        else:
            assert isinstance(reply, Closed | Wait)
            assert reply.until > clock.now()
    calls += [(grant.start_at, ask.customer) for ask, grant in unused]
    check(sorted(at for at, _ in calls), limits.shop, limits.shop_per_day, limits.resets_at)
    by_customer: dict[str, list[int]] = defaultdict(list)
    for at, customer in calls:
        by_customer[customer].append(at)
    for customer in CUSTOMERS[:2]:
        check(sorted(by_customer[customer]), limits.customer, limits.customer_per_day, limits.resets_at)


def check(calls: list[int], rate: Rate, per_day: int, resets_at: int) -> None:
    """No window and no day holds too many of these instants."""
    for first, start in enumerate(calls):
        for last in range(first, len(calls)):
            assert last - first + 1 <= rate.burst + (calls[last] - start) // rate.interval
    for day in {day_of(at, resets_at) for at in calls}:
        assert sum(day_of(at, resets_at) == day for at in calls) <= per_day


@PATIENT
@given(limits=shop_limits, customers=st.lists(st.sampled_from(CUSTOMERS), max_size=40))
def test_everybody_is_served_at_the_time_given(limits: ShopLimits, customers: list[str]) -> None:
    """Whoever comes back when told to is granted in the end, in no more rounds than the limits explain."""
    clock = ManualClock(NOON)
    store = MemoryStore(clock)
    waiting = [(NOON, make_ask(number, customer=customer, limits=limits)) for number, customer in enumerate(customers)]
    asks = 0
    while waiting:
        waiting.sort(key=lambda entry: entry[0])
        until, ask = waiting.pop(0)
        clock.set(max(until, clock.now()))
        asks += 1
        reply = store.admit(ask)
        if isinstance(reply, Wait):
            waiting.append((reply.until, replace(ask, place=reply.until)))
        elif isinstance(reply, Closed):
            waiting.append((reply.until, ask))
    assert asks <= 1 + len(customers) * (len(customers) + 1)
