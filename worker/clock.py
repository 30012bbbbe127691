"""Time as an argument: all code that waits, measures or stamps is given a :class:`Clock`.

So tests and simulations move a :class:`ManualClock` and never sleep. Instants are those of :mod:`worker.instants`:
integer microseconds since the Unix epoch.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from worker.instants import SECOND

SLIGHT = SECOND // 100
"""10 ms: a difference between wall clock and steady clock that is not followed, see :meth:`SystemClock.ahead`."""


class Clock(Protocol):
    """Tells two times in microseconds since the epoch, because a wall clock can be corrected while a job is under way.

    ``now`` is steady: everything that is measured, waited for or limited goes by it. It is never compared with a time
    from outside this process. What others read or wrote (tokens, deadlines, results, headers) goes by the wall clock,
    which shows ``now() + ahead()``. Neither blocks, and any thread may call both.
    """

    def now(self) -> int:
        """The steady time, which never jumps and never runs backwards."""

    def ahead(self) -> int:
        """By how much the wall clock is ahead of :meth:`now` at this moment; below 0 where it is behind."""


# Leases and limits run on elsewhere while this machine, or a container's host, is suspended. Linux's monotonic clock
# stands still during that time, and its boot clock does not. Systems without a boot clock have to make do with the
# monotonic one. A partial, since a job reads the clock fifteen times and a function of Python's would double its time.
_nanoseconds_since_boot: Callable[[], int] = partial(
    time.clock_gettime_ns, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
)


class SystemClock:
    """The wall clock as it was at the start, carried on by a steady clock that nobody can set.

    A step of the wall clock (by NTP or an operator) therefore neither opens nor closes a limit in a running process,
    while ``ahead`` follows it. Time that the machine spends suspended counts as passed.
    """

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = _nanoseconds_since_boot
    ) -> None:
        """``wall`` and ``steady`` return nanoseconds; ``steady`` may begin anywhere."""
        self._wall = wall
        self._steady = steady
        self._offset = wall() // 1000 - steady() // 1000
        self._ahead = 0

    def now(self) -> int:
        return self._steady() // 1000 + self._offset

    def ahead(self) -> int:
        ahead = self._wall() // 1000 - self._steady() // 1000 - self._offset
        # Reading two clocks takes microseconds, and one runs a little faster than the other. If every such difference
        # were followed, the same instant would have another wall time at each reading.
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
