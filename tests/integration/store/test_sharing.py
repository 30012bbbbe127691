"""What the Redis store adds to the contract for many processes: calls granted ahead, turns, and answers that get lost.

The memory store has none of it: it grants nothing ahead, and a single process has nobody to take turns with.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.integration.store.fleet import Fleet, Process
from tests.integration.store.worlds import AHEAD, MANY, RedisWorld, World, advance, ask_all, submitted
from tests.unit.making import NOON, go, make_limits, make_request
from worker.clock import ManualClock
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate
from worker.store.protocol import Grant, ShopClosed, Wait
from worker.store.redis.store import RedisStore
from worker.store.timing import GRANT_LIFETIME, HORIZON, SHORTEST_TURN

MIDNIGHT = NOON + DAY // 2
FOREVER = NOON + 1000 * DAY


def starts(replies: object) -> list[int]:
    """When the calls that were granted may start."""
    assert isinstance(replies, list)
    return [reply.start_at for reply in replies if isinstance(reply, Grant)]


def test_calls_are_granted_ahead(ahead: World) -> None:
    """Tokens of the next 250 ms are granted now, each for its own instant and for the usual time from there."""
    limits = make_limits(shop=Rate.per_second(20, 2))
    replies = submitted(ahead.store, [make_request(number, limits=limits) for number in range(10)])
    step = SECOND // 20
    assert starts(replies) == [NOON, NOON, *(NOON + step * number for number in range(1, 6))]
    assert all(reply.start_by == reply.start_at + GRANT_LIFETIME for reply in replies if isinstance(reply, Grant))


def test_the_next_turn_comes_with_the_calls_of_this_one(ahead: World) -> None:
    """Whoever comes in turn and has more jobs need not ask once more to learn when to come again."""
    limits = make_limits(shop=Rate.per_second(2, 2))
    interval = limits.shop.interval
    first = [make_request(number, limits=limits) for number in (1, 2, 3)]
    assert submitted(ahead.store, first)[2] == ShopClosed(NOON + interval - HORIZON // 2, "rate", 2, interval)
    ahead.set(NOON + interval - HORIZON // 2)
    granted, next_turn = submitted(ahead.store, first[2:], turn=True)
    assert starts([granted]) == [NOON + interval]
    assert next_turn == ShopClosed(NOON + 2 * interval - HORIZON // 2, "rate", 2, interval)
    # The others' turns are behind it.
    ahead.set(NOON + interval)
    (refused,) = submitted(ahead.store, [make_request(4, limits=limits)])
    assert refused == ShopClosed(NOON + 3 * interval - HORIZON // 2, "rate", 2, interval)


def test_the_next_turn_is_for_the_jobs_that_are_left(ahead: World) -> None:
    """What is granted with this turn makes the next one no longer, or the others would wait for nobody."""
    limits = make_limits(shop=Rate.per_second(100, 1))
    requests = [make_request(number, customer="", limits=limits) for number in range(40)]
    *granted, refused = submitted(ahead.store, requests[:27], holds=27)
    assert len(granted) == len(starts(granted)) == 26
    last = max(
        reply.until
        for request in requests[27:37]
        for reply in submitted(ahead.store, [request], holds=1)
        if isinstance(reply, ShopClosed)
    )
    assert isinstance(refused, ShopClosed)
    assert last == refused.until + 10 * limits.shop.interval
    ahead.set(NOON + SECOND // 10)
    _, next_turn = submitted(ahead.store, requests[37:38], turn=True, holds=3)
    assert isinstance(next_turn, ShopClosed)
    assert next_turn.until == last + 2 * limits.shop.interval


@pytest.mark.parametrize(("turn", "holds", "tokens"), [(False, 2, 1), (True, 1, 1), (True, 2, 2)])
def test_no_next_turn(ahead: World, turn: bool, holds: int, tokens: int) -> None:
    """None without a turn, without another job, or while another token is there."""
    limits = make_limits(shop=Rate.per_second(2, tokens))
    replies = submitted(ahead.store, [make_request(1, limits=limits)], turn=turn, holds=holds)
    assert starts(replies) == [NOON]
    assert len(replies) == 1


def test_a_customer_is_granted_ahead(ahead: World) -> None:
    """A customer's next token within the horizon is booked in both buckets for the one instant of the call."""
    limits = make_limits(shop=Rate.per_second(20, 1), customer=Rate.per_second(5, 1))
    replies = submitted(ahead.store, [make_request(number, limits=limits) for number in (1, 2)])
    assert starts(replies) == [NOON, NOON + SECOND // 5]
    other = submitted(ahead.store, [make_request(3, customer="e:b", limits=limits)])
    assert starts(other) == [NOON + SECOND // 5 + SECOND // 20]


def test_a_customer_s_next_call_follows_the_booked_one(ahead: World) -> None:
    """A customer whose call is booked ahead has its next one an interval after that, not after now."""
    limits = make_limits(shop=Rate.per_second(20, 1), customer=Rate.per_second(5, 1))
    others = [make_request(number, customer=f"e:{number}", limits=limits) for number in range(3)]
    booked = starts(submitted(ahead.store, [*others, make_request(4, customer="e:a", limits=limits)]))
    assert booked == [NOON + number * SECOND // 20 for number in range(4)]
    due = booked[-1] + SECOND // 5
    assert submitted(ahead.store, [make_request(5, customer="e:a", limits=limits)], turn=True, holds=1) == [
        Wait("customer", due)
    ]
    ahead.set(due - HORIZON)
    placed = make_request(5, customer="e:a", limits=limits, place_in_line=due)
    assert starts(submitted(ahead.store, [placed], turn=True)) == [due]


def test_turns_end_with_the_limit_that_made_them(ahead: World) -> None:
    """Once an operator's limit is lifted, turns that it had put far off are forgotten: the next calls go at once."""
    limits = make_limits(shop=Rate.per_second(20, 2))
    lowered = limits.lowered(10 * SECOND)
    go(ahead.store, make_request(1, limits=lowered))
    refused = ask_all(ahead.store, lowered, [""] * 20, first=100)
    assert isinstance(refused[-1], ShopClosed)
    assert refused[-1].until > NOON + 100 * SECOND
    advance(ahead, SECOND)
    lifted = submitted(ahead.store, [make_request(200, limits=limits)])[0]
    assert isinstance(lifted, ShopClosed | Grant)
    soon = HORIZON + 3 * limits.shop.interval
    if isinstance(lifted, ShopClosed):
        assert lifted.until <= ahead.now + soon
    advance(ahead, soon)
    replies = submitted(ahead.store, [make_request(number, limits=limits) for number in range(300, 310)])
    assert starts(replies)[:2] == [ahead.now, ahead.now]
    assert len(starts(replies)) == 2 + HORIZON * 20 // SECOND


def test_nothing_is_booked_into_the_next_day(ahead: World) -> None:
    """A call that would start after the reset is not counted in the day before it."""
    limits = make_limits(shop=Rate.per_second(10, 1), per_day=3)
    ahead.set(MIDNIGHT - SECOND // 10)
    replies = submitted(ahead.store, [make_request(number, limits=limits) for number in range(3)])
    assert starts(replies) == [MIDNIGHT - SECOND // 10]
    ahead.set(MIDNIGHT)
    booked = starts(submitted(ahead.store, [make_request(number, limits=limits) for number in range(3, 9)], turn=True))
    assert len(booked) == 3
    assert booked[0] == MIDNIGHT


@pytest.mark.parametrize(
    ("per_second", "holds", "step"),
    [
        (50, MANY, SHORTEST_TURN),
        (1000, MANY, SHORTEST_TURN),
        (2, MANY, SECOND // 2),
        (1000, 7, SECOND // 1000 * 7),
        (50, 1, SECOND // 50),
        (2, 1, SECOND // 2),
    ],
)
def test_processes_are_told_different_times(ahead: World, per_second: int, holds: int, step: int) -> None:
    """A process that finds the shop closed gets a turn of its own, no longer than it has jobs for, and learns how
    many tokens it may find then.
    """
    limits = make_limits(shop=Rate.per_second(per_second, 1))
    submitted(ahead.store, [make_request(number, limits=limits) for number in range(300)])
    refusals = [submitted(ahead.store, [make_request(1000 + n, limits=limits)], holds=holds)[0] for n in range(4)]
    untils = [reply.until for reply in refusals if isinstance(reply, ShopClosed)]
    assert [later - untils[0] for later in untils] == [0, step, 2 * step, 3 * step]
    found = [reply.batch for reply in refusals if isinstance(reply, ShopClosed)]
    assert set(found) == {step // limits.shop.interval + 1}


def test_turns_of_a_shop_whose_pace_fell(ahead: World) -> None:
    """Turns are as far apart as the calls at the pace in force, not at the file's: each is to find a token."""
    limits = make_limits(shop=Rate(SECOND, 1))
    ahead.store.slow_down(make_request(0, limits=limits), NOON - 1)
    go(ahead.store, make_request(1, limits=limits))
    refusals = [submitted(ahead.store, [make_request(10 + n, limits=limits)], holds=1)[0] for n in range(4)]
    untils = [reply.until for reply in refusals if isinstance(reply, ShopClosed)]
    assert [later - untils[0] for later in untils] == [0, SECOND * 5 // 4, SECOND * 10 // 4, SECOND * 15 // 4]


def test_a_token_on_its_way_belongs_to_those_with_a_turn(ahead: World) -> None:
    """While turns are given out a process without one gets a turn too, and one with it gets its calls."""
    limits = make_limits(shop=Rate.per_second(20, 1))
    submitted(ahead.store, [make_request(number, limits=limits) for number in range(10)])
    ask_all(ahead.store, limits, ["", ""], first=100)
    advance(ahead, HORIZON // 2)
    assert isinstance(ahead.store.admit(make_request(200, limits=limits)), ShopClosed)
    assert len(starts(submitted(ahead.store, [make_request(300, limits=limits)], turn=True))) == 1


def test_a_token_that_nobody_came_for_is_anybody_s(ahead: World) -> None:
    """A process that vanished with its turn keeps nobody from calling: a token that is there goes to who asks."""
    limits = make_limits(shop=Rate.per_second(20, 1))
    submitted(ahead.store, [make_request(number, limits=limits) for number in range(10)])
    ask_all(ahead.store, limits, [""] * 100, first=100)
    advance(ahead, HORIZON + SECOND // 20)
    assert isinstance(ahead.store.admit(make_request(1000, limits=limits)), Grant)


def test_a_blocked_shop_gives_no_turns(ahead: World) -> None:
    """Refused for the day's end or a block, all get one and the same time, and begin with a single job then."""
    limits = make_limits(shop=Rate.per_second(50, 5), per_day=1)
    go(ahead.store, make_request(1, limits=limits))
    day = ask_all(ahead.store, limits, ["e:a", "e:b"], first=10)
    assert day == [ShopClosed(MIDNIGHT, "day_quota", 1)] * 2
    ahead.store.block("acme", None, NOON + SECOND)
    blocked = ask_all(ahead.store, limits, ["e:a", "e:b"], first=20)
    assert blocked == [ShopClosed(NOON + SECOND, "throttled", 1)] * 2


@pytest.mark.parametrize(
    ("per_second", "burst", "processes", "threads", "latency", "seconds", "asks_per_call"),
    [
        (50, 20, 4, 12, 300_000, 10, 1.0),
        (50, 1, 50, 12, 300_000, 10, 1.0),
        (300, 20, 16, 8, 200_000, 4, 1.0),
        (1000, 20, 4, 12, 5_000, 1, 1.1),
        (1, 1, 16, 12, 300_000, 100, 2.0),
    ],
)
def test_processes_use_all_that_a_shop_may_have(
    shared: RedisWorld,
    per_second: int,
    burst: int,
    processes: int,
    threads: int,
    latency: int,
    seconds: int,
    asks_per_call: float,
) -> None:
    """Many processes together make at least 98 % of the calls that the limit allows, each its part, with few asks."""
    limits = make_limits(shop=Rate.per_second(per_second, burst))
    fleet = Fleet(shared, limits, [Process(threads, FOREVER) for _ in range(processes)], latency)
    fleet.run(NOON + seconds * SECOND)
    ideal = burst + per_second * seconds
    assert 0.98 * ideal <= fleet.between(NOON, NOON + seconds * SECOND) <= ideal
    assert min(fleet.calls[number] for number in range(processes)) >= 0.5 * ideal / processes
    assert fleet.requests <= asks_per_call * len(fleet.stamps)


def test_half_of_the_processes_vanish(shared: RedisWorld) -> None:
    """Their turns pass unused, once: three seconds later the others make all the calls that the limit allows."""
    limits = make_limits(shop=Rate.per_second(50, 1))
    gone = NOON + 4 * SECOND
    processes = [Process(12, gone if number % 2 else FOREVER) for number in range(50)]
    fleet = Fleet(shared, limits, processes, latency=300_000)
    fleet.run(NOON + 12 * SECOND)
    assert fleet.between(gone + 3 * SECOND, gone + 8 * SECOND) >= 0.98 * 5 * 50


@pytest.fixture
def both(shared: RedisWorld) -> Iterator[tuple[RedisStore, RedisStore]]:
    """Two processes' stores on one server."""
    first, second = shared.another(), shared.another()
    yield first, second
    first.close()
    second.close()


def test_limits_and_ledger_are_shared(both: tuple[RedisStore, RedisStore]) -> None:
    """What one process was granted counts for the other, and the job is taken."""
    first, second = both
    limits = make_limits(shop=Rate.per_second(1, 2))
    go(first, make_request(1, limits=limits))
    assert isinstance(second.admit(make_request(1, limits=limits)), Wait)
    go(second, make_request(2, limits=limits))
    assert isinstance(first.admit(make_request(3, limits=limits)), ShopClosed)


def test_release_while_others_book_later_instants(ahead: World) -> None:
    """A token is not put back once a call booked beyond it has overtaken the bucket: that would double an instant."""
    limits = make_limits(shop=Rate.per_second(10, 1), customer=Rate.per_second(5, 1))
    first = make_request(1, customer="e:a", limits=limits)
    unused, booked = submitted(ahead.store, [first, make_request(2, customer="e:a", limits=limits)])
    assert isinstance(unused, Grant)
    ahead.store.release(first, unused.epoch, called=False)
    others = submitted(
        ahead.store, [make_request(number, customer="e:b", limits=limits) for number in (3, 4)], turn=True
    )
    assert len({*starts([booked]), *starts(others)}) == 1 + len(starts(others))


def test_a_slow_answer_makes_no_late_call(redis_url: str) -> None:
    """Of a grant whose answer took longer than the grant lives nothing is left: it must not be used too late."""

    class SlowWay(ManualClock):
        """As if the way back took 400 ms: each look at the clock is that much later."""

        def now(self) -> int:
            self.advance(400_000)
            return super().now()

    clock = SlowWay(NOON)
    store = RedisStore(redis_url, clock)
    try:
        grant = go(store, make_request(shop="slow"))
    finally:
        store.close()
    assert grant.start_by < clock.now() - 400_000
    assert grant.start_at >= grant.start_by - GRANT_LIFETIME


def test_places_hold_for_other_processes(shared: RedisWorld) -> None:
    """A place that one process was given is good at another, whose clock is the server's all the same."""
    limits = make_limits(customer=Rate.per_second(1, 1))
    ask_all(shared.store, limits, ["e:a", "e:a", "e:a"])
    other = shared.another()
    advance(shared, SECOND)
    go(other, make_request(2, customer="e:a", limits=limits, place_in_line=NOON + SECOND))
    other.close()


def test_the_server_s_time_is_converted(shared: RedisWorld) -> None:
    """A server whose clock is a century ahead gives instants of ours."""
    assert go(shared.store, make_request()).start_at == NOON
    assert AHEAD > 0


def test_changed_limits(world: World) -> None:
    """A limit that is lowered during the day holds at once; one that is raised opens what it adds."""
    store = world.store
    limits = make_limits(per_day=4)
    for number in range(3):
        go(store, make_request(number, limits=limits))
    assert isinstance(store.admit(make_request(9, limits=replace(limits, shop_per_day=2))), ShopClosed)
    more = replace(limits, shop_per_day=5)
    assert [isinstance(reply, Grant) for reply in ask_all(store, more, [""] * 3, first=10)] == [True, True, False]
