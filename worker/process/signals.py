"""Stopping by signal: the first one drains, a repeat of it within 2 s changes nothing, a later one ends at once."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

from worker.clock import Clock
from worker.instants import SECOND

REPEAT = 2 * SECOND
"""Signals within this time count as one. A signal to a whole process group reaches a worker twice, once through
Dramatiq's parent, and service managers send a second one right after the first. Dramatiq takes that for "end now", and
4 of 4 calls were cut off."""

Handler = Callable[[int, FrameType | None], object]


class DrainSignals:
    """Handlers that run before those that Dramatiq set. Installed and run in the main thread.

    ``stopping`` is set inside the handler, so no call starts after the signal. Dramatiq itself checks once a second,
    and started calls up to 0.6 s after it.
    """

    def __init__(self, stopping: threading.Event, clock: Clock) -> None:
        self._stopping = stopping
        self._clock = clock
        self._first: int | None = None

    def install(self, *signals: signal.Signals) -> None:
        """Chain to the handlers that these signals have now; a signal that is ignored or at its default stays so."""
        for number in signals:
            previous = signal.getsignal(number)
            if callable(previous):
                signal.signal(number, self._chained(previous))

    def _chained(self, previous: Handler) -> Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            now = self._clock.now()
            if self._first is None:
                # First the flag: worker threads see it at once, while Dramatiq's own handler only starts to stop them.
                self._first = now
                self._stopping.set()
                previous(number, frame)
            elif now > self._first + REPEAT:
                previous(number, frame)

        return handle
