"""How a shop's pace falls and recovers, as pure arithmetic."""

from hypothesis import given
from hypothesis import strategies as st

from worker.clock import SECOND
from worker.pace import FAR_OFF, NEAR, RECOVERY, SLOWEST, SOON, Slowdown, fall, interval_of

FULL = 10_000
NOW = 1_000 * SECOND


def test_first_fall() -> None:
    """The first refusal costs a fifth of the rate."""
    assert fall(Slowdown(), NOW, FULL, blocked_until=0) == Slowdown(FULL * FAR_OFF[0] // FAR_OFF[1], NOW)


def test_falls_in_a_row_and_far_apart() -> None:
    """A refusal soon after the last one's block falls as far again; one after a climb hardly at all."""
    slow = Slowdown(4 * FULL, NOW)
    soon = fall(slow, NOW + SOON + 5, FULL, blocked_until=NOW + 10)
    late = fall(slow, NOW + SOON + 10, FULL, blocked_until=NOW + 10)
    climbed = interval_of(slow, NOW + SOON, FULL)
    assert soon.interval / climbed > 1.24
    assert 1.05 < late.interval / climbed < NEAR[0] / NEAR[1] + 0.001


def test_recovery() -> None:
    """The rate climbs by the same amount each second and is whole at the latest after the recovery time."""
    slow = Slowdown(4 * FULL, NOW)
    rates = [SECOND / interval_of(slow, NOW + RECOVERY * quarter // 4, FULL) for quarter in range(5)]
    assert [round(rate) for rate in rates] == [25, 50, 75, 100, 100]


def test_slowest() -> None:
    """Whatever is refused, the shop is tried now and then."""
    slow = Slowdown()
    for number in range(100):
        slow = fall(slow, NOW + number, FULL, blocked_until=0)
    assert slow.interval == FULL * SLOWEST


@given(interval=st.integers(1, 10**9), full=st.integers(1, 10**8), passed=st.integers(-(10**9), 10**10))
def test_never_faster_than_the_file(interval: int, full: int, passed: int) -> None:
    """No slowdown and no step of the clock makes a shop faster than its file, or slower than it fell."""
    now = interval_of(Slowdown(interval, NOW), NOW + passed, full)
    assert full <= now <= max(full, interval)
