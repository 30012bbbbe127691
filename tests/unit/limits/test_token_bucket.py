"""The arithmetic of limits, against tables of known outcomes and against the definition of a token bucket."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.making import PATIENT
from tests.unit.tables import (
    BURST_OF_CALLERS,
    CALLERS,
    INSTANTS_MS,
    LIMITS,
    ONE_A_SECOND_BURST_FIVE,
    RATE_OF_CALLERS,
    TEN_A_SECOND,
    tenths,
)
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Limited, Rate, Taken, after, day_of, earliest, next_reset, refund, try_take

START = 1_700_000_000 * SECOND


class Bucket:
    """A bucket in use: keeps what :func:`try_take` says is to be kept."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.tat = 0

    def take(self, now: int, cost: int = 1, horizon: int = 0) -> Taken | Limited:
        answer = try_take(self.tat, now, self.rate, cost=cost, horizon=horizon)
        if isinstance(answer, Taken):
            self.tat = answer.tat
        return answer


def test_one_a_second_burst_five() -> None:
    """A bucket of 1/s and burst 5 leaves what the table says, step by step, and says when to come back."""
    bucket = Bucket(Rate.per_second(1, 5))
    for row in ONE_A_SECOND_BURST_FIVE:
        now = START + round(row.seconds * SECOND)
        answer = bucket.take(now, row.tokens)
        if row.left is None:
            assert answer == Limited(None if row.retry is None else now + round(row.retry * SECOND)), row
        else:
            assert isinstance(answer, Taken), row
            left = (answer.at + bucket.rate.interval * bucket.rate.burst - answer.tat) // bucket.rate.interval
            assert (answer.at, left) == (now, row.left), row


@pytest.mark.parametrize("burst", TEN_A_SECOND)
def test_ten_a_second(burst: int) -> None:
    """At 10/s, in steps of 100 ms, all of the tokens or none are taken as the table says."""
    bucket = Bucket(Rate.per_second(10, burst))
    for step, asked in TEN_A_SECOND[burst]:
        for word in asked.split():
            tokens, there = tenths(word)
            answer = bucket.take(START + step * SECOND // 10, tokens)
            assert isinstance(answer, Taken) == there, (step, word)


def test_callers_at_one_instant() -> None:
    """Of 15 callers at one instant exactly the burst of 5 goes through."""
    bucket = Bucket(Rate.per_second(RATE_OF_CALLERS, BURST_OF_CALLERS))
    answers = [bucket.take(START) for _ in range(CALLERS)]
    assert sum(isinstance(answer, Taken) for answer in answers) == BURST_OF_CALLERS


def test_under_five_times_the_rate() -> None:
    """100/s with burst 100 under 500/s for 5 s lets the ideal 600 through, none more and 0.1 % fewer at most."""
    bucket = Bucket(Rate.per_second(100, 100))
    offers = [START + number * SECOND // 500 for number in range(5 * 500 + 1)]
    taken = sum(isinstance(bucket.take(now), Taken) for now in offers)
    ideal = 100 + 5 * 100
    assert 0.999 * ideal <= taken <= ideal + 1


@pytest.mark.parametrize("now_ms", INSTANTS_MS)
@pytest.mark.parametrize("limit", LIMITS)
def test_exactly_the_limit_at_one_instant(now_ms: int, limit: int) -> None:
    """Whatever the time of day and the limit, exactly ``limit`` go through at one instant."""
    bucket = Bucket(Rate.per_second(limit, limit))
    taken = sum(isinstance(bucket.take(now_ms * 1000), Taken) for _ in range(limit + 10))
    assert taken == limit


@pytest.mark.parametrize(
    ("rate", "interval"), [(1, 1_000_000), (3, 333_334), (2.5, 400_000), (0.1, 10_000_000), (3000, 334), (10**9, 1)]
)
def test_interval_is_rounded_up(rate: float, interval: int) -> None:
    """A rate that doesn't divide a second is kept from below, never exceeded."""
    assert Rate.per_second(rate, 1) == Rate(interval, 1)


def test_burst_of_at_least_one() -> None:
    """A burst of 0 would never let anything through, so it counts as 1."""
    assert Rate.per_second(1, 0).burst == 1


def test_horizon() -> None:
    """Within the horizon a later token may be taken now; the answer says from when it counts."""
    bucket = Bucket(Rate.per_second(10, 1))
    assert bucket.take(START) == Taken(START, START + SECOND // 10)
    assert bucket.take(START, horizon=SECOND // 10 - 1) == Limited(START + SECOND // 10)
    assert bucket.take(START, horizon=SECOND // 10) == Taken(START + SECOND // 10, START + SECOND // 5)


def test_refund() -> None:
    """A token that is put back can be taken again, and no more than that one."""
    bucket = Bucket(Rate.per_second(1, 2))
    bucket.take(START)
    bucket.take(START)
    bucket.tat = refund(bucket.tat, bucket.rate.interval)
    assert isinstance(bucket.take(START), Taken)
    assert isinstance(bucket.take(START), Limited)


rates = st.builds(Rate, interval=st.integers(1, 2 * SECOND), burst=st.integers(1, 8))
gaps = st.one_of(st.just(0), st.integers(0, 3 * SECOND))


@PATIENT
@given(rate=rates, gaps=st.lists(st.tuples(gaps, st.integers(1, 8), st.integers(0, SECOND)), max_size=60))
def test_no_window_holds_more(rate: Rate, gaps: list[tuple[int, int, int]]) -> None:
    """No window of any length holds more than the burst and what the rate gives in that length."""
    bucket, now, taken = Bucket(rate), START, list[int]()
    for gap, cost, horizon in gaps:
        now += gap
        answer = bucket.take(now, cost, horizon)
        if isinstance(answer, Taken):
            assert now <= answer.at <= now + horizon
            taken += [answer.at] * cost
    assert taken == sorted(taken)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= rate.burst + (taken[last] - start) // rate.interval


@PATIENT
@given(rate=rates, tat_after=st.integers(0, 10 * SECOND), cost=st.integers(1, 8))
def test_until_is_the_first_instant(rate: Rate, tat_after: int, cost: int) -> None:
    """A caller that comes back at ``until`` gets its tokens; a microsecond earlier it doesn't."""
    answer = try_take(START + tat_after, START, rate, cost=cost)
    if isinstance(answer, Limited) and answer.until is not None:
        assert isinstance(try_take(START + tat_after, answer.until, rate, cost=cost), Taken)
        assert isinstance(try_take(START + tat_after, answer.until - 1, rate, cost=cost), Limited)


@PATIENT
@given(rate=rates, gaps=st.lists(gaps, max_size=30), back=st.integers(1, 10 * SECOND), at=st.integers(0, 29))
def test_step_back_is_never_looser(rate: Rate, gaps: list[int], back: int, at: int) -> None:
    """After a backward step of the clock, no more goes through than without it by the same ask."""
    steady, stepped = Bucket(rate), Bucket(rate)
    now, counts = START, [0, 0]
    for number, gap in enumerate(gaps):
        now += gap
        counts[0] += isinstance(steady.take(now), Taken)
        counts[1] += isinstance(stepped.take(now - back if number >= at else now), Taken)
        assert counts[1] <= counts[0]


@PATIENT
@given(rate=rates, tat=st.integers(0, START + 10 * SECOND), cost=st.integers(1, 8))
def test_earliest_agrees_with_take(rate: Rate, tat: int, cost: int) -> None:
    """The parts that a store works with say the same as the whole."""
    at = earliest(tat, START, rate, cost)
    answer = try_take(tat, START, rate, cost=cost, horizon=1 << 60)
    if cost > rate.burst:
        assert answer == Limited(None)
    else:
        assert isinstance(answer, Taken)
        assert (answer.at, answer.tat) == (at, after(tat, at, rate, cost))


@pytest.mark.parametrize("resets_at", [0, 6 * 3600 * SECOND, 23 * 3600 * SECOND + 59 * 60 * SECOND])
def test_day_runs_from_reset_to_reset(resets_at: int) -> None:
    """A day ends exactly at its reset, a microsecond later is the next day, and every day is 24 hours."""
    ends = [next_reset(START, resets_at)]
    ends.append(next_reset(ends[0], resets_at))
    assert START < ends[0] <= START + DAY
    assert ends[0] % DAY == resets_at
    assert day_of(ends[0] - 1, resets_at) == day_of(START, resets_at)
    assert day_of(ends[0], resets_at) == day_of(START, resets_at) + 1
    assert [later - earlier for earlier, later in pairwise(ends)] == [DAY]
