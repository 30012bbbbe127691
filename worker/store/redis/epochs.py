"""Epochs: the fencing tokens that tell one grant of a job from every other."""

import secrets
import threading
from itertools import count

from worker.clock import Clock


class Epochs:
    """Chooses the epoch under which a job is asked for, and keeps it while its grant may have been lost.

    A reply that is lost on its way may have been a grant. No worker would use it, and it would hold the job until its
    lease ends. The same process can take it back by asking again under the same epoch. For any other request the epoch
    is new: processes count from random points of 2^52, and an epoch is only compared with those of the same job.

    Requests choose on the consumer's thread, replies keep on the store's.
    """

    def __init__(self, clock: Clock, kept: dict[str, tuple[int, int]] | None = None) -> None:
        """``kept`` has epochs that are kept already: by job, with when each may be forgotten; the oldest come first."""
        self._clock = clock
        self._numbers = count(secrets.randbits(52))
        self._lock = threading.Lock()
        self._kept = {} if kept is None else kept

    def choose(self, job: str) -> tuple[int, bool]:
        """The epoch to ask under, and whether it is a kept one.

        A kept one is handed out once: if two copies of the job shared it, both would hold one grant.
        """
        kept = None
        # Mostly nothing is kept, and this is asked for every job: the lock is left out then.
        if self._kept:
            with self._lock:
                kept = self._kept.pop(job, None)
        return (kept[0], True) if kept is not None else (next(self._numbers), False)

    def keep(self, job: str, epoch: int, lifetime: int) -> None:
        """Remember that the job may have been granted under ``epoch``, for ``lifetime`` microseconds at the longest."""
        now = self._clock.now()
        with self._lock:
            # Jobs that another process took never ask again here. The oldest come first, so the first one that is still
            # good ends the search.
            while self._kept:
                oldest = next(iter(self._kept))
                if self._kept[oldest][1] > now:
                    break
                del self._kept[oldest]
            self._kept[job] = (epoch, now + lifetime)
