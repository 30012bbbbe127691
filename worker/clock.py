"""Time as an argument: whatever waits or stamps is given a :class:`Clock`.

All instants are those of :mod:`worker.instants`.
"""

import time
from collections.abc import Callable
from typing import Protocol

from worker.instants import SECOND

SLIGHT = SECOND // 100
"""A difference between two clocks that nobody notices."""


class Clock(Protocol):
    """Tells the time in microseconds since the epoch: two times, for a wall clock can be put right.

    ``now`` is steady: what is measured, waited for or limited goes by it, and it is compared with nothing from outside
    this process. What the world reads or wrote (tokens, deadlines, results, headers) goes by the wall clock, which
    shows ``now() + ahead()``.
    """

    def now(self) -> int: ...

    def ahead(self) -> int:
        """By how much the wall clock is ahead of :meth:`now` at this moment; below 0 where it is behind."""


def _nanoseconds_since_boot() -> int:
    # While a machine or a container's host is suspended, leases and limits run on elsewhere; the monotonic clock of
    # Linux stands still then. Where there is no other, that one.
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SystemClock:
    """The wall clock read once, carried on by one that nobody sets.

    A step of the wall clock (NTP, an operator) therefore neither opens nor closes a limit in a running process, while
    ``ahead`` follows it. A suspended machine finds its time passed.
    """

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = _nanoseconds_since_boot
    ) -> None:
        """``wall`` and ``steady`` tell nanoseconds."""
        self._wall = wall
        self._steady = steady
        self._offset = wall() // 1000 - steady() // 1000
        self._ahead = 0

    def now(self) -> int:
        return self._steady() // 1000 + self._offset

    def ahead(self) -> int:
        ahead = self._wall() // 1000 - self.now()
        # Reading two clocks takes microseconds, and one runs a little faster. Were each of them followed, the same
        # instant would be told otherwise each time.
        if abs(ahead - self._ahead) >= SLIGHT:
            self._ahead = ahead
        return self._ahead


class ManualClock:
    """A clock that stands until it is moved: for tests and for simulations on virtual time."""

    def __init__(self, now: int = 0) -> None:
        self._now = now
        self._ahead = 0

    def now(self) -> int:
        return self._now

    def ahead(self) -> int:
        return self._ahead

    def correct(self, microseconds: int) -> None:
        """Put the wall clock forward, or back; the steady time stays."""
        self._ahead += microseconds

    def advance(self, microseconds: int) -> None:
        self._now += microseconds

    def set(self, now: int) -> None:
        self._now = now
