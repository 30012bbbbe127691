"""The four limits, on either store: what one instant, one second and one day hold, and what an undone grant gives back.

Neither store grants ahead here; what the Redis store adds to that is in test_sharing.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.store.worlds import Kind, RedisWorld, World, advance, ask_all, granted, make_world, submitted
from tests.unit.making import NOON, go, make_limits, make_request
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate, ShopLimits, day_of
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, ShopClosed, Wait
from worker.store.timing import HORIZON

MIDNIGHT = NOON + DAY // 2


def test_shop_second(world: World) -> None:
    """At one instant a shop's burst goes through; then one each interval, for any customers."""
    store = world.store
    limits = make_limits(shop=Rate.per_second(4, 3))
    everyone = [f"e:{number}" for number in range(10)]
    replies = ask_all(store, limits, everyone)
    assert [isinstance(reply, Grant) for reply in replies] == [True] * 3 + [False] * 7
    refusal = replies[3]
    assert isinstance(refusal, ShopClosed)
    assert (refusal.until, refusal.reason) == (NOON + SECOND // 4, "rate")
    advance(world, SECOND // 4 - 1)
    assert granted(store, limits, everyone, first=20) == 0
    advance(world, 1)
    assert granted(store, limits, everyone, first=40) == 1
    assert isinstance(store.admit(make_request(99, shop="other", limits=limits)), Grant)


@pytest.mark.parametrize("now_ms", [0, 12_345, 10**6, 10**9, 1_700_000_000_000, 1_787_486_223_173])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 97, 1000, 3000])
def test_exactly_the_limit_at_one_instant(world: World, now_ms: int, limit: int) -> None:
    """Whatever the time of day and the limit, exactly ``limit`` go through at one instant, of shop or customer."""
    world.set(now_ms * 1000)
    rate = Rate.per_second(limit, limit)
    for limits in (make_limits(shop=rate, customer=Rate(1, 10_000)), make_limits(customer=rate, shop=Rate(1, 10_000))):
        store = world.renew()
        requests = [make_request(number, limits=limits) for number in range(limit + 10)]
        # In parts that a server on a busy machine answers within the time-out.
        parts = (requests[first : first + 500] for first in range(0, len(requests), 500))
        replies = [reply for part in parts for reply in submitted(store, part)]
        assert [isinstance(reply, Grant) for reply in replies] == [True] * limit + [False] * 10


def test_callers_at_one_instant(world: World) -> None:
    """Of 15 callers at one instant exactly the burst of 5 goes through, at 1/s."""
    assert granted(world.store, make_limits(shop=Rate.per_second(1, 5)), ["e:a"] * 15) == 5


def test_under_five_times_the_rate(world: World) -> None:
    """100/s with burst 100 under 500/s for 5 s lets the ideal 600 through, none more and 0.1 % fewer at most."""
    limits = make_limits(shop=Rate.per_second(100, 100))
    taken = 0
    for number in range(5 * 500 + 1):
        world.set(NOON + number * SECOND // 500)
        taken += isinstance(world.store.admit(make_request(number, customer="", limits=limits)), Grant)
    assert 0.999 * 600 <= taken <= 601


ONE_A_SECOND_BURST_FIVE = [
    (0.0, [True] * 5 + [False]),
    (3.0, [True]),
    (3.1, [True]),
    (4.0, [True]),
    (8.0, [True]),
    (9.5, [True] * 5 + [False]),
]
"""(seconds, whether each of so many is let through), as public limiters document a bucket of 1/s and burst 5; without
their asks for several tokens at once that take none."""

TENTHS = {
    1: [(0, "1Y 2N"), (1, "1Y 2N"), (2, "1Y 1N")],
    3: [(0, "3Y 1N"), (2, "1Y"), (3, "1Y"), (4, "2Y 2N"), (9, "3Y 1N")],
}
"""By burst: (tenths of a second, how many are let through and how many not) at 10 a second, as public limiters say;
without their asks for several tokens at once that take none."""


@pytest.mark.parametrize("scope", ["shop", "customer"])
def test_one_a_second_burst_five(world: World, scope: str) -> None:
    """A bucket of 1/s and burst 5 goes by the table, whether it is the shop's or a customer's."""
    rate = Rate.per_second(1, 5)
    limits = make_limits(shop=rate) if scope == "shop" else make_limits(customer=rate)
    number = 0
    for seconds, expected in ONE_A_SECOND_BURST_FIVE:
        now = NOON + round(seconds * SECOND)
        world.set(now)
        for allowed in expected:
            number += 1
            reply = world.store.admit(make_request(number, limits=limits, place_in_line=now))
            assert isinstance(reply, Grant) == allowed, (seconds, reply)
            if number == 6:
                assert isinstance(reply, ShopClosed | Wait)
                assert reply.until == NOON + SECOND


@pytest.mark.parametrize("burst", TENTHS)
def test_ten_a_second(world: World, burst: int) -> None:
    """At 10/s, in steps of 100 ms, as many go through as the table says."""
    limits = make_limits(shop=Rate.per_second(10, burst))
    number = 0
    for tenths, asked in TENTHS[burst]:
        world.set(NOON + tenths * SECOND // 10)
        for word in asked.split():
            for _ in range(int(word[:-1])):
                number += 1
                reply = world.store.admit(make_request(number, limits=limits))
                assert isinstance(reply, Grant) == (word[-1] == "Y"), (tenths, word)


def test_customer_second(world: World) -> None:
    """At one instant a customer's burst goes through; the shop's other customers, and nobody, are not held back."""
    store = world.store
    limits = make_limits(customer=Rate.per_second(2, 2))
    assert granted(store, limits, ["e:a"] * 5 + ["e:b"] * 5 + [""] * 5) == 2 + 2 + 5
    advance(world, 10 * SECOND)
    assert granted(store, limits, ["e:a"] * 5, first=20) == 2


def test_a_customer_of_two_shops(world: World) -> None:
    """The same address at another shop is another customer."""
    store = world.store
    limits = make_limits(customer=Rate.per_second(1, 1))
    assert isinstance(store.admit(make_request(1, shop="a", limits=limits)), Grant)
    assert isinstance(store.admit(make_request(2, shop="b", limits=limits)), Grant)


def test_shop_day(world: World) -> None:
    """A shop's day holds its quota and not one more, and begins again exactly at the reset."""
    store = world.store
    limits = make_limits(per_day=3)
    assert granted(store, limits, ["e:a"] * 5) == 3
    assert store.admit(make_request(9, limits=limits)) == ShopClosed(MIDNIGHT, "day_quota")
    world.set(MIDNIGHT - 1)
    assert granted(store, limits, ["e:a"], first=20) == 0
    world.set(MIDNIGHT)
    assert granted(store, limits, ["e:a"] * 5, first=30) == 3


def test_customer_day(world: World) -> None:
    """A customer's day holds its quota and not one more; the shop's others go on."""
    store = world.store
    limits = make_limits(customer_per_day=3)
    assert granted(store, limits, ["e:a"] * 5 + ["e:b"]) == 4
    world.set(MIDNIGHT - 1)
    assert granted(store, limits, ["e:a"], first=20) == 0
    world.set(MIDNIGHT + SECOND)
    assert granted(store, limits, ["e:a"] * 5, first=30) == 3


def test_jobs_over_a_customer_s_day_line_up_after_the_reset(world: World) -> None:
    """They get places an interval apart, and one that comes back before its place gets the same again."""
    store = world.store
    limits = make_limits(customer_per_day=1)
    go(store, make_request(1, customer="e:a", limits=limits))
    waits = [store.admit(make_request(number, customer="e:a", limits=limits)) for number in (2, 3, 4)]
    places = [wait.until for wait in waits if isinstance(wait, Wait)]
    assert places == [MIDNIGHT + number * limits.customer.interval for number in range(3)]
    again = replace(make_request(4, customer="e:a", limits=limits), place_in_line=places[2])
    assert store.admit(again) == Wait("customer", places[2])


def test_days_reset_at_the_shop_s_hour(world: World) -> None:
    """The day begins at ``resets_at``, not at midnight."""
    store = world.store
    six = 6 * 3600 * SECOND
    limits = replace(make_limits(per_day=1), resets_at=six)
    go(store, make_request(1, limits=limits))
    assert store.admit(make_request(2, limits=limits)) == ShopClosed(MIDNIGHT + six, "day_quota")
    world.set(MIDNIGHT + six)
    go(store, make_request(2, limits=limits))


def test_a_later_reset_opens_nothing(world: World) -> None:
    """A reset that is moved to later in the day, past now, doesn't start uncounted hours."""
    store = world.store
    limits = make_limits(per_day=2, customer_per_day=2)
    assert granted(store, limits, ["e:a"] * 3) == 2
    moved = replace(limits, resets_at=18 * 3600 * SECOND)
    assert granted(store, moved, ["e:a", "e:b"], first=10) == 0


def test_a_step_back_of_the_clock_opens_nothing(world: World) -> None:
    """A clock that goes back, even over the day's reset, lets nobody through that it would have kept."""
    store = world.store
    limits = make_limits(shop=Rate.per_second(1, 2), per_day=3)
    world.set(MIDNIGHT)
    assert granted(store, limits, ["e:a"] * 3) == 2
    world.set(MIDNIGHT - SECOND)
    assert granted(store, limits, ["e:a"] * 3, first=10) == 0
    quota, store = make_limits(per_day=3), world.renew()
    world.set(MIDNIGHT)
    assert granted(store, quota, ["e:a"] * 2) == 2
    world.set(MIDNIGHT - SECOND // 2)
    assert granted(store, quota, ["e:a"] * 3, first=10) == 1


def test_a_held_back_job_takes_no_token(world: World) -> None:
    """A job whose customer must wait costs its shop nothing, in the second and in the day."""
    store = world.store
    limits = make_limits(shop=Rate.per_second(1, 3), customer=Rate.per_second(1, 1), per_day=3)
    assert granted(store, limits, ["e:a"] * 5 + ["e:b", "e:c", "e:d"]) == 3
    advance(world, SECOND)
    assert store.admit(make_request(99, customer="e:d", limits=limits)) == ShopClosed(MIDNIGHT, "day_quota")


def test_release_gives_every_token_back(world: World) -> None:
    """An unused grant leaves all four limits as they were; one whose call was made leaves them used."""
    one = Rate.per_second(1, 1)
    for limits in (
        make_limits(shop=one),
        make_limits(customer=one),
        make_limits(per_day=1),
        make_limits(customer_per_day=1),
    ):
        store = world.renew()
        request = make_request(limits=limits)
        store.release(request, go(store, request).epoch, called=False)
        store.release(request, go(store, request).epoch, called=True)
        assert not isinstance(store.admit(request), Grant)


def test_releases_of_one_instant(world: World) -> None:
    """Grants of one instant that are all undone, in any order, leave the whole burst."""
    store = world.store
    limits = make_limits(shop=Rate.per_second(1, 3), customer=Rate.per_second(1, 3))
    requests = [make_request(number, limits=limits) for number in range(3)]
    grants = [go(store, request) for request in requests]
    for request, grant in zip(requests, grants, strict=True):
        store.release(request, grant.epoch, called=False)
    assert granted(store, limits, ["e:ann@example.com"] * 5, first=10) == 3


def test_a_late_release_gives_nothing_away(world: World) -> None:
    """A token that had come back by itself isn't put back a second time."""
    store = world.store
    limits = make_limits(shop=Rate.per_second(1, 2), customer=Rate.per_second(1, 2))
    unused = go(store, make_request(1, limits=limits))
    advance(world, 10 * SECOND)
    assert granted(store, limits, ["e:ann@example.com"] * 3, first=10) == 2
    store.release(make_request(1, limits=limits), unused.epoch, called=False)
    assert granted(store, limits, ["e:ann@example.com"] * 3, first=20) == 0


def test_a_refund_is_of_what_was_charged(world: World) -> None:
    """An undone grant gives back the token that it took, also where the rates are others by then."""
    slow, quick = Rate(10 * SECOND, 3), Rate(SECOND, 3)
    for taken, changed in ((slow, quick), (quick, slow)):
        for limits, later in (
            (make_limits(shop=taken), make_limits(shop=changed)),
            (make_limits(customer=taken), make_limits(customer=changed)),
        ):
            store = world.renew()
            grants = [go(store, make_request(number, limits=limits)) for number in range(3)]
            store.release(make_request(1, limits=later), grants[1].epoch, called=False)
            assert granted(store, limits, ["e:ann@example.com"] * 3, first=10) == 1
            advance(world, taken.interval)
            place = world.now
            again = [store.admit(make_request(number, limits=limits, place_in_line=place)) for number in (20, 21)]
            assert [isinstance(reply, Grant) for reply in again] == [True, False]


@pytest.mark.parametrize("customer", ["e:ann@example.com", ""])
def test_a_grant_of_an_older_version_is_refunded(shared: RedisWorld, customer: str) -> None:
    """Tokens of a record that doesn't say by what they were charged are refunded by the releasing worker's limits."""
    limits = make_limits(shop=Rate(SECOND, 1), customer=Rate(SECOND, 1))
    request = make_request(1, customer=customer, limits=limits)
    grant = go(shared.store, request)
    (key,) = shared.client.keys("rd:{acme}:j:*")
    shared.client.set(key, shared.client.get(key)[:57], keepttl=True)
    shared.store.release(request, grant.epoch, called=False)
    assert granted(shared.store, limits, [customer] * 2, first=10) == 1


def test_a_release_after_the_reset(world: World) -> None:
    """A grant of yesterday that is undone today doesn't enlarge today's quota."""
    store = world.store
    limits = make_limits(per_day=2, customer_per_day=2)
    world.set(MIDNIGHT - 1)
    unused = go(store, make_request(1, limits=limits))
    world.set(MIDNIGHT)
    assert granted(store, limits, ["e:ann@example.com"], first=10) == 1
    store.release(make_request(1, limits=limits), unused.epoch, called=False)
    assert granted(store, limits, ["e:ann@example.com"] * 3, first=20) == 1


CUSTOMERS = ("e:a", "e:b", "")
BUSY = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
"""The fixture is one store for all examples: each begins by emptying it."""

rates = st.builds(Rate, st.sampled_from([1000, SECOND // 3, SECOND]), st.integers(1, 4))
gaps = st.sampled_from([0, 0, 1, 1000, SECOND // 3, SECOND, 5 * SECOND])


@settings(deadline=None, suppress_health_check=BUSY, max_examples=30)
@given(
    shop=rates,
    customer=rates,
    customers=st.integers(1, 2),
    gaps=st.lists(gaps, min_size=5, max_size=20),
    back=st.integers(1, 10 * SECOND),
    at=st.integers(0, 15),
)
def test_a_step_back_is_never_looser(
    world: World, shop: Rate, customer: Rate, customers: int, gaps: list[int], back: int, at: int
) -> None:
    """After a backward step of the clock no more goes through than without it by the same ask.

    Of several customers so only where the shop's limit binds none of them: otherwise one who waits after the step
    leaves the shop's token to another, and has her own left when the next is due.
    """
    limits = make_limits(shop=shop if customers == 1 else Rate(1, 100), customer=customer)
    counts: list[list[int]] = []
    for step in (0, back):
        store, now, count = world.renew(), NOON, [0]
        for number, gap in enumerate(gaps):
            now += gap
            world.set(now - step if number >= at else now)
            asked = make_request(
                number, customer=CUSTOMERS[number % customers], limits=limits, place_in_line=NOON + DAY
            )
            count.append(count[-1] + isinstance(store.admit(asked), Grant))
        counts.append(count)
    assert all(stepped <= steady for steady, stepped in zip(*counts, strict=True))


shop_limits = st.builds(
    ShopLimits,
    shop=st.builds(Rate, st.sampled_from([1000, SECOND // 3, SECOND]), st.integers(1, 3)),
    shop_per_day=st.integers(3, 30),
    customer=st.builds(Rate, st.sampled_from([1000, SECOND // 2, 5 * SECOND]), st.integers(1, 3)),
    customer_per_day=st.integers(2, 20),
    resets_at=st.sampled_from([0, DAY // 4, DAY // 2 + 1, DAY // 2 + SECOND // 10]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 1000, SECOND // 20, SECOND // 3, SECOND, 20 * SECOND, DAY // 3]),
        st.sampled_from(["ask", "ask", "ask", "ask with place", "ask in turn", "release", "release called"]),
        st.integers(0, 5),
        st.sampled_from(CUSTOMERS),
    ),
    min_size=20,
    max_size=60,
)


@pytest.fixture(params=product(get_args(Kind), [0, HORIZON]), ids=str)
def any_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each store, granting at the instant, and granting ahead as processes share it."""
    kind, horizon = request.param
    made = make_world(kind, request, horizon=horizon)
    yield made
    made.close()


@settings(deadline=None, suppress_health_check=BUSY, max_examples=60)
@given(limits=shop_limits, steps=steps)
def test_no_limit_is_ever_exceeded(
    any_world: World, limits: ShopLimits, steps: list[tuple[int, str, int, str]]
) -> None:
    """Whatever is asked and released when, no window and no day of any scope holds more calls than it may."""
    any_world.set(NOON)
    store = any_world.renew()
    calls: list[tuple[int, str]] = []
    unused: list[tuple[AdmitRequest, Grant]] = []
    for number, (pause, action, pick, customer) in enumerate(steps):
        if pause:
            advance(any_world, pause)
        if action.startswith("release"):
            if unused:
                request, grant = unused.pop(pick % len(unused))
                called = action == "release called"
                store.release(request, grant.epoch, called=called)
                if called:
                    calls.append((grant.start_at, request.customer))
            continue
        place = any_world.now if action == "ask with place" else None
        requests = [
            make_request(10 * number + copy, customer=customer, limits=limits, place_in_line=place)
            for copy in range(pick + 1)
        ]
        replies = submitted(store, requests, turn=action == "ask in turn")
        for request, reply in zip(requests, replies[: len(requests)], strict=True):
            if isinstance(reply, Grant):
                unused.append((request, reply))
                assert any_world.now <= reply.start_at < reply.start_by
            else:
                assert isinstance(reply, ShopClosed | Wait)
                assert reply.until > any_world.now
    calls += [(grant.start_at, request.customer) for request, grant in unused]
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


@settings(deadline=None, suppress_health_check=BUSY, max_examples=30)
@given(limits=shop_limits, customers=st.lists(st.sampled_from(CUSTOMERS), max_size=25))
def test_everybody_is_served_at_the_time_given(any_world: World, limits: ShopLimits, customers: list[str]) -> None:
    """A job that comes back in time is granted in the end, in no more rounds than the limits explain."""
    any_world.set(NOON)
    store = any_world.renew()
    waiting = [
        (NOON, make_request(number, customer=customer, limits=limits)) for number, customer in enumerate(customers)
    ]
    requests, turn = 0, False
    while waiting:
        waiting.sort(key=lambda entry: entry[0])
        until, request = waiting.pop(0)
        any_world.set(max(until, any_world.now))
        requests += 1
        reply = submitted(store, [request], turn=turn)[0]
        turn = isinstance(reply, ShopClosed)
        if isinstance(reply, Wait):
            waiting.append((reply.until, replace(request, place_in_line=reply.until)))
        elif isinstance(reply, ShopClosed):
            waiting.append((reply.until, request))
    assert requests <= 1 + len(customers) * (len(customers) + 1)


def test_a_free_job_needs_no_token(world: World) -> None:
    """A job that ends without a call is let through whatever is spent; it takes nothing and puts nothing back."""
    one = Rate.per_second(1, 1)
    limits = make_limits(shop=one, customer=one, per_day=2, customer_per_day=2)
    store = world.store
    go(store, make_request(1, limits=limits))
    for number in (2, 3):
        uncalled = replace(make_request(number, limits=limits), uncalled="expired")
        assert go(store, uncalled).start_at == NOON
        store.release(uncalled, go_again(world, uncalled).epoch, called=False)
    assert isinstance(store.admit(make_request(4, limits=limits)), ShopClosed)
    advance(world, SECOND)
    go(store, make_request(5, limits=limits))
    assert isinstance(store.admit(make_request(6, limits=limits)), ShopClosed)
    store.block("acme", None, world.now + DAY)
    go(store, replace(make_request(7, limits=limits), uncalled="expired"))


def go_again(world: World, request: AdmitRequest) -> Grant:
    """The grant after one whose worker was not heard of again; the time is as before."""
    now = world.now
    advance(world, 3600 * SECOND)
    grant = go(world.store, request)
    world.set(now)
    return grant


def test_free_jobs_keep_the_ledger(world: World) -> None:
    """Without a token, too, a job is one's own until it is answered, and known to have ended so afterwards."""
    store, uncalled = world.store, replace(make_request(), uncalled="expired")
    grant = go(store, uncalled)
    assert isinstance(store.admit(uncalled), Wait)
    assert store.answer(uncalled, grant.epoch, "{}")
    store.settle(uncalled, grant.epoch, "expired")
    store.block("other", None, 0)
    assert store.admit(uncalled) == AlreadyAnswered(0, None)
