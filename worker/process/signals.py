"""Stopping by signal: the first one drains, a repeat of it changes nothing, a later one ends at once."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

from worker.clock import Clock
from worker.instants import SECOND

REPEAT = 2 * SECOND
"""A signal to a whole process group reaches a worker twice, once through Dramatiq's parent, and service managers send
a second one right after the first. What comes within this time is the same signal."""

Handler = Callable[[int, FrameType | None], object]


class DrainSignals:
    """Stands before the handlers that Dramatiq set; installed in the main thread.

    ``stopping`` is set inside the handler, so no call starts after the signal; Dramatiq itself looks once a second.
    """

    def __init__(self, stopping: threading.Event, clock: Clock) -> None:
        self._stopping = stopping
        self._clock = clock
        self._first: int | None = None

    def install(self, *signals: signal.Signals) -> None:
        """Chain to whatever handles these signals now."""
        for number in signals:
            previous = signal.getsignal(number)
            if callable(previous):
                signal.signal(number, self._chained(previous))

    def _chained(self, previous: Handler) -> Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            now = self._clock.now()
            if self._first is None:
                self._first = now
                self._stopping.set()
                previous(number, frame)
            elif now > self._first + REPEAT:
                previous(number, frame)

        return handle
