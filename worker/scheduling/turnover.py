"""How many calls of a process end within a horizon: so many threads get free for calls that are granted ahead.

Pure: no I/O, no thread, no clock. Runs on the consumer's thread.
"""

from worker.store.timing import HORIZON


class Turnover:
    """Grants ahead of their instants, at most :attr:`lendable` of them, need no thread yet.

    With one held back for each, 16 threads that were half busy with calls of 100 ms had no room left for questions:
    8 calls were under way, and some 10 were granted for the next 125 ms. With more than end in time, grants would wait
    for threads until they are too late, so calls of a second lend next to nothing. ``but`` are granted beyond the
    threads anyway.
    """

    def __init__(self, *, but: int) -> None:
        self._but = but
        self._counted_at = 0
        self.ended = 0
        """Calls that have ended since it was counted last; the gate adds to it."""
        self.lendable = 0
        self.counts_at = 0
        """When :meth:`count` is due."""

    def count(self, now: int) -> None:
        """Count what has ended since the last time, a horizon ago or longer."""
        self.lendable = max(0, self.ended * HORIZON // max(HORIZON, now - self._counted_at) - self._but)
        self.ended, self._counted_at, self.counts_at = 0, now, now + HORIZON
