"""When the lanes of held jobs are looked through although nothing is known to have freed any of their jobs.

A lane rests while the first jobs of it may not go. Others may be behind them: jobs that somebody moved before he had
heard of an order, jobs with hours of their own, jobs that a publisher put there late. A look moves what is in hand to
the lane's end, and with it all that was moved before the look.

Pure: no I/O, no thread, no clock. Runs on the consumer's thread.
"""

from worker.instants import SECOND

SETTLED = 5 * SECOND
"""How long after an order or an opening a process that has moved jobs meanwhile looks through the lanes once more. It
hears of an order within a second, and a job that it moved before that arrives behind others that were looked at under
it. A process that has moved none doesn't: it would turn over a lane that is published into, and half of it would come
before the other."""

HEARD = 2 * SECOND
"""For so long before it hears of one, a process may have moved jobs without knowing: clocks differ a little."""

FIRST = 60 * SECOND
"""How long after its beginning a process looks for the first time."""

SHORTEST, LONGEST = 5 * SECOND, 600 * SECOND
"""Pauses between looks. Each look after which nothing went doubles them."""

PER_MOVE = 40_000
"""A pause is so long for each job that was moved since the last look: 25 a second. A process moves some 2,500 a second
at most."""

SPARED = 60 * SECOND
"""No look begins so shortly before jobs are let go by themselves. It is time for 150,000 moves."""

QUIET = 10 * SECOND
"""A look waits until no job has been put into a lane for so long, since it would leave the new ones before the old; but
no longer than the longest pause."""


class Looks:
    """A process's looks, at all lanes at once. All instants are of the wall clock."""

    def __init__(self, began: int) -> None:
        self._last, self._since = began, 0
        self._pause = FIRST
        self._moves = self._put_at = 0
        self._moved_at = -1
        self._expected: int | None = None

    def last(self, now: int) -> int:
        """When the last one was, 0 before the first: a job that came into its lane since then needs none."""
        # One that is still to come was made by a clock that has been set back.
        return self._since if self._since <= now else 0

    def begin(self, now: int, *, freed_at: int | None = None) -> bool:
        """Begin one if it is due; whether it is.

        Shortly before ``freed_at``, when jobs are let go by themselves, it is left out: the lane is looked through
        then, and one that was half turned over by then would be called from its middle on.
        """
        if self._last <= now < self.next_at:
            return False
        if freed_at is not None and self._expected is None and freed_at - now < SPARED:
            self._last = now
            return False
        self._pause = min(2 * self._pause, LONGEST) if self._expected is None else SHORTEST
        self._last = self._since = now
        self._moves, self._expected = 0, None
        return True

    @property
    def next_at(self) -> int:
        """When the next one is due."""
        quiet = min(self._put_at + QUIET - self._last, LONGEST)
        due = self._last + max(self._pause, self._moves * PER_MOVE, quiet)
        return due if self._expected is None else min(due, self._expected)

    def moved(self, now: int) -> None:
        """A job was moved from its lane's head to its end."""
        self._moves, self._moved_at = self._moves + 1, now

    def put(self, now: int) -> None:
        """A job was moved into such a lane."""
        self.moved(now)
        self._put_at = now

    def went(self) -> None:
        """A job of such a lane was called: there may be more."""
        self._pause = min(self._pause, SHORTEST)

    def follow_up(self, freed_at: int, now: int) -> None:
        """Jobs were let go at ``freed_at``, of which the process hears now: one is due soon if it moved any since."""
        if self._moved_at >= min(freed_at, now - HEARD):
            settled = now + SETTLED
            self._expected = settled if self._expected is None else min(self._expected, settled)
