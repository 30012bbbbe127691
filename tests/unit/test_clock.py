"""Clocks, and the way between instants and datetimes."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.making import PATIENT
from worker.clock import SLIGHT, ManualClock, SystemClock
from worker.instants import DAY, SECOND, from_datetime, to_datetime


@pytest.mark.parametrize(
    ("moment", "instant"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1970, 1, 2, 0, 0, 0, 1, tzinfo=UTC), DAY + 1),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=1))), 3600 * SECOND),
        (datetime(2026, 11, 2, 9, 30, 0, 250_000, tzinfo=UTC), 1_793_611_800_250_000),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
    ],
)
def test_from_datetime(moment: datetime, instant: int) -> None:
    """An aware datetime of any zone is its microseconds since the epoch."""
    assert from_datetime(moment) == instant
    assert to_datetime(instant) == moment


@PATIENT
@given(st.integers(0, 4_000_000_000 * SECOND))
def test_round_trip(instant: int) -> None:
    """Not a microsecond is lost on the way to a datetime and back."""
    assert from_datetime(to_datetime(instant)) == instant
    assert to_datetime(instant).utcoffset() == timedelta(0)


def test_manual_clock_stands() -> None:
    """A manual clock moves when it is told to, and only then."""
    clock = ManualClock(5)
    assert [clock.now(), clock.now()] == [5, 5]
    clock.advance(SECOND)
    assert clock.now() == SECOND + 5
    clock.set(3)
    assert clock.now() == 3


def test_system_clock_is_the_wall_clock() -> None:
    """The system clock tells the wall's time and never goes back."""
    clock = SystemClock()
    before = from_datetime(datetime.now(UTC))
    readings = [clock.now() for _ in range(1000)]
    assert abs(readings[0] - before) < SECOND
    assert readings == sorted(readings)


@dataclass
class Machine:
    """Its two clocks, in nanoseconds."""

    wall: int = from_datetime(datetime(2026, 11, 2, tzinfo=UTC)) * 1000
    boot: int = 5_000_000_000

    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.wall, lambda: self.boot)

    def run(self, seconds: int) -> None:
        self.wall += seconds * 10**9
        self.boot += seconds * 10**9


@pytest.mark.parametrize("seconds", [600, -600, 1, -40_000_000])
def test_a_corrected_wall_clock(seconds: int) -> None:
    """What is measured goes on as it was, and the wall clock's time is known all the same."""
    machine = Machine()
    clock = machine.clock()
    began = clock.now()
    assert clock.ahead() == 0
    machine.wall += seconds * 10**9
    machine.run(10)
    assert clock.now() - began == 10 * SECOND
    assert clock.ahead() == seconds * SECOND
    assert clock.now() + clock.ahead() == machine.wall // 1000


def test_clocks_that_drift_apart() -> None:
    """Where the wall clock runs a little faster, an instant is told the same again and again, and never far off."""
    machine = Machine()
    clock = machine.clock()
    told = []
    for _ in range(1000):
        machine.wall += 50_000  # 50 us a second: a clock that is being put right without a step
        machine.run(1)
        told.append(clock.ahead())
        assert abs(clock.now() + told[-1] - machine.wall // 1000) < SLIGHT
    assert len(set(told)) == 6


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux alone has a clock that runs on in suspension")
def test_a_suspended_machine_finds_its_time_passed() -> None:
    """A lease and a grant run on while the machine sleeps, so the steady time is that since boot."""
    clock = SystemClock()
    offset = clock.now() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    told = clock.now() - offset
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    assert before - 1000 <= told <= after + 1000
