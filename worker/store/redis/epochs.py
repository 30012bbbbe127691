"""Epochs: what tells one grant of a job from every other."""

import secrets
import threading
from itertools import count

from worker.clock import Clock


class Epochs:
    """Chooses the epoch under which a job is asked for, and keeps it for as long as its grant may be unheard.

    An answer that is lost on its way may have been a grant, which nobody would use and which would hold the job until
    its lease ends. Whoever asks again under the same epoch takes it back. For any other question the epoch is new:
    processes count from random points of 2^52, and an epoch is only compared with those of the same job.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = count(secrets.randbits(52))
        self._lock = threading.Lock()
        self._unheard: dict[str, tuple[int, int]] = {}

    def choose(self, job: str) -> tuple[int, bool]:
        """The epoch to ask under, and whether it is a kept one.

        A kept one is handed out once: were it shared by two copies of the job, both would hold one grant.
        """
        kept = None
        if self._unheard:
            with self._lock:
                kept = self._unheard.pop(job, None)
        return (kept[0], True) if kept is not None else (next(self._numbers), False)

    def keep(self, job: str, epoch: int, lifetime: int) -> None:
        """The job may have been granted under ``epoch``, unheard, for ``lifetime`` microseconds at the longest."""
        now = self._clock.now()
        with self._lock:
            # Jobs that went elsewhere never ask again; the oldest come first.
            while self._unheard:
                oldest = next(iter(self._unheard))
                if self._unheard[oldest][1] > now:
                    break
                del self._unheard[oldest]
            self._unheard[job] = (epoch, now + lifetime)
