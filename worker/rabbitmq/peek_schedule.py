"""When to peek into the queue of a shop that stays closed, so that uncalled jobs in it end all the same.

A shop that stays closed is not consumed, since RabbitMQ does not let a delivery be held for long. A peek consumes it
for a moment. Jobs that have expired or are cancelled end; the others are requeued, and each requeue brings a message
nearer to its queue's delivery limit of 100,000. So peeks are rare: one an hour, one soon after the first deadline that
was seen, and one when a campaign is cancelled. A peek sees as many jobs as the prefetch.

Pure; runs on the consumer's thread.
"""

from worker.instants import SECOND
from worker.model.lanes import ShopLane

LONG_CLOSED = 60 * SECOND
"""A shop that is closed for longer is not consumed, and its unstarted jobs are requeued: over one delivery that stays
unacknowledged for ``consumer_timeout`` (30 minutes by default) RabbitMQ closes the channel, and with it every shop's
consumer."""

PEEK = 2 * SECOND
"""How long a peek goes on after the last uncalled job."""

LEAST_APART = 300 * SECOND
PEEK_AGAIN = 3600 * SECOND
"""With 50 processes a job that stays is requeued 1,200 times a day: it takes 83 days until RabbitMQ dead-letters it."""


class PeekSchedule:
    """Keeps the times (microseconds) by queue. One that is not known yet is due."""

    def __init__(self) -> None:
        self._next: dict[ShopLane, int] = {}
        self._until: dict[ShopLane, int] = {}

    def is_due(self, of: ShopLane, now: int) -> bool:
        """Whether to begin a peek."""
        return self._next.get(of, 0) <= now

    def begin(self, of: ShopLane, now: int) -> None:
        """The queue is being consumed although its shop is closed."""
        self.prolong(of, now)
        self.plan(of, now, None)

    def prolong(self, of: ShopLane, now: int) -> None:
        """An uncalled job has come; there may be more behind it."""
        self._until[of] = now + PEEK

    def is_open(self, of: ShopLane, now: int) -> bool:
        """Whether the peek goes on."""
        return now < self._until.get(of, 0)

    def plan(self, of: ShopLane, now: int, deadline: int | None) -> None:
        """Peek again soon after ``deadline``, the earliest of the requeued jobs; None where none has a deadline."""
        at = now + PEEK_AGAIN
        self._next[of] = at if deadline is None else min(at, max(deadline + 1, now + LEAST_APART))

    def hurry(self) -> None:
        """Peek into every closed shop's queues now."""
        self._next.clear()
