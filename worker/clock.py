"""Time as an argument: whatever waits or stamps is given a :class:`Clock`.

All instants are integer microseconds since the Unix epoch, so that arithmetic on them is exact.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND = 1_000_000
"""Microseconds in a second, the unit of every instant and duration here."""

DAY = 86_400 * SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time in microseconds since the epoch."""

    def now(self) -> int: ...


class SystemClock:
    """The wall clock read once, carried on by the monotonic one.

    A step of the wall clock (NTP, an operator) therefore neither opens nor closes a limit in a running process.
    """

    def __init__(self) -> None:
        self._offset = time.time_ns() // 1000 - time.monotonic_ns() // 1000

    def now(self) -> int:
        return time.monotonic_ns() // 1000 + self._offset


class ManualClock:
    """A clock that stands until it is moved: for tests and for simulations on virtual time."""

    def __init__(self, now: int = 0) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def advance(self, microseconds: int) -> None:
        self._now += microseconds

    def set(self, now: int) -> None:
        self._now = now


def to_datetime(instant: int) -> datetime:
    """The UTC datetime of an instant in microseconds."""
    return _EPOCH + timedelta(microseconds=instant)


def from_datetime(moment: datetime) -> int:
    """The instant in microseconds of an aware datetime."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds
