"""How many calls of a process end within a horizon: so many threads get free for calls that are granted ahead.

Pure: no I/O, no thread, no clock. Runs on the consumer's thread.
"""

from worker.store.timing import HORIZON


class Turnover:
    """Up to :attr:`spare` jobs may be in flight beyond the threads: a thread is free by the time that they may start.

    Were there more, grants would wait for threads until they are too late, so calls of a second spare next to nothing.
    ``but`` are granted beyond the threads anyway.
    """

    def __init__(self, *, but: int) -> None:
        self._but = but
        self._counted_at = 0
        self.ended = 0
        """Calls that have ended since it was counted last; the gate adds to it."""
        self.spare = 0
        self.counts_at = 0
        """When :meth:`count` is due."""

    def count(self, now: int) -> None:
        """Count what has ended since the last time, a horizon ago or longer."""
        self.spare = max(0, self.ended * HORIZON // max(HORIZON, now - self._counted_at) - self._but)
        self.ended, self._counted_at, self.counts_at = 0, now, now + HORIZON
