"""How a shop's pace falls and recovers, as pure arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.instants import SECOND
from worker.limits.adaptive import IDLE, RECOVERY, SLOWEST, UNKNOWN, Slowdown, count_since, fall, pace

FULL = 10_000
NOW = 1_000 * SECOND


def test_first_fall() -> None:
    """The first refusal, before which nothing was measured, costs a fifth of the rate."""
    assert fall(Slowdown(), NOW, FULL) == Slowdown(FULL * 5 // 4, NOW, 0)


def test_measured_fall() -> None:
    """Later ones fall to just below the rate at which calls were taken since the last, and at most by a fifth."""
    slow = Slowdown(2 * FULL, NOW, calls=101)
    assert fall(slow, NOW + 230 * FULL, FULL).interval == pytest.approx(2.3 * 1.02 * FULL, rel=0.001)
    assert 2.3 * FULL < fall(slow, NOW + 9000 * FULL, FULL).interval <= 2.5 * FULL
    assert 2.03 * FULL < fall(slow, NOW + 50 * FULL, FULL).interval < 2.05 * FULL


def test_calls_are_counted_between_falls() -> None:
    """Each granted call counts; one after a time without work makes the count worthless until the next fall."""
    slow = Slowdown(2 * FULL, NOW)
    slow = count_since(count_since(slow, NOW + 5, NOW), NOW + IDLE, NOW)
    assert slow.calls == 2
    idle = count_since(count_since(slow, NOW + 3 * IDLE, NOW + IDLE), NOW + 3 * IDLE, NOW + 3 * IDLE)
    assert idle.calls == UNKNOWN
    assert fall(idle, NOW + 4 * IDLE, FULL).interval < 2 * FULL * 5 // 4
    assert count_since(Slowdown(), NOW, NOW) == Slowdown()


def test_recovery() -> None:
    """The rate climbs by the same amount each second and is whole at the latest after the recovery time."""
    slow = Slowdown(4 * FULL, NOW)
    rates = [SECOND / pace(slow, NOW + RECOVERY * quarter // 4, FULL) for quarter in range(5)]
    assert [round(rate) for rate in rates] == [25, 50, 75, 100, 100]


def test_slowest() -> None:
    """Whatever is refused, the shop is tried now and then."""
    slow = Slowdown()
    for number in range(100):
        slow = fall(slow, NOW + number, FULL)
    assert slow.interval == FULL * SLOWEST


@given(interval=st.integers(1, 10**9), full=st.integers(1, 10**8), passed=st.integers(-(10**9), 10**10))
def test_never_faster_than_the_file(interval: int, full: int, passed: int) -> None:
    """No slowdown and no step of the clock makes a shop faster than its file, or slower than it fell."""
    now = pace(Slowdown(interval, NOW), NOW + passed, full)
    assert full <= now <= max(full, interval)
