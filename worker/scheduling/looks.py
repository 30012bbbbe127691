"""When the lanes of held jobs are looked through although nothing is known to have freed any of their jobs.

A lane rests while the first jobs of it may not go. Others may be behind them: jobs that somebody moved before he had
heard of an order, jobs with hours of their own, jobs that a publisher put there late. A look moves what is in hand to
the lane's end, and with it all that was moved before the look.

Pure: no I/O, no thread, no clock. Runs on the consumer's thread.
"""

from worker.instants import SECOND

SETTLED = 5 * SECOND
"""How long after an order or an opening the lanes are looked through once more. Workers hear of an order within a
second, and a job that was moved before that arrives behind others that were looked at under it."""

FIRST = 60 * SECOND
"""How long after its beginning a process looks for the first time."""

SHORTEST, LONGEST = 5 * SECOND, 600 * SECOND
"""Pauses between looks. Each look after which nothing went doubles them."""

PER_MOVE = 40_000
"""A pause is so long for each job that was moved since the last look: 25 a second. A process moves some 2,500 a second
at most."""


class Looks:
    """A process's looks, at all lanes at once. All instants are of the wall clock."""

    def __init__(self, began: int) -> None:
        self._last = began
        self._pause = FIRST
        self._moves = 0
        self._expected: int | None = None

    def last(self, now: int) -> int:
        """When the last one was: a job that was moved into its lane since then needs none."""
        # One that is still to come was made by a clock that has been set back.
        return self._last if self._last <= now else 0

    def begin(self, now: int) -> bool:
        """Begin one if it is due; whether it is."""
        if self._last <= now < self.next_at:
            return False
        self._pause = min(2 * self._pause, LONGEST) if self._expected is None else SHORTEST
        self._last, self._moves, self._expected = now, 0, None
        return True

    @property
    def next_at(self) -> int:
        """When the next one is due."""
        due = self._last + max(self._pause, self._moves * PER_MOVE)
        return due if self._expected is None else min(due, self._expected)

    def moved(self) -> None:
        """A job was moved into such a lane, or to its end."""
        self._moves += 1

    def went(self) -> None:
        """A job of such a lane was called: there may be more."""
        self._pause = min(self._pause, SHORTEST)

    def expect(self, instant: int) -> None:
        """One is due then at the latest."""
        self._expected = instant if self._expected is None else min(self._expected, instant)
