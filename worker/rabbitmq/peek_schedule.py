"""When to look into the queue of a shop that stays closed: jobs in it that need no call are to end all the same.

Such a shop is not consumed, since a delivery may not be held for long. A look consumes it for a moment: what has
expired or was called off ends, the rest goes back, one return nearer to its delivery limit. So looks are rare, but for
one at the first deadline that was seen and one when a campaign is called off. They reach as deep as the prefetch.
"""

from worker.instants import SECOND

LOOK = 2 * SECOND
"""How long a look goes on after the last job that needed no call."""

LEAST_APART = 300 * SECOND
LOOK_AGAIN = 3600 * SECOND
"""With 50 processes a job that stays is returned 1,200 times a day: 83 days until RabbitMQ parks it."""


class PeekSchedule:
    """Keeps the times, in microseconds, by shop. A shop that is not known yet is due."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._until: dict[str, int] = {}

    def is_due(self, shop: str, now: int) -> bool:
        """Whether to begin a look."""
        return self._next.get(shop, 0) <= now

    def begin(self, shop: str, now: int) -> None:
        """The shop is being consumed although it is closed."""
        self.prolong(shop, now)
        self.plan(shop, now, None)

    def prolong(self, shop: str, now: int) -> None:
        """A job has come that needs no call; there may be more behind it."""
        self._until[shop] = now + LOOK

    def is_open(self, shop: str, now: int) -> bool:
        """Whether the look goes on."""
        return now < self._until.get(shop, 0)

    def plan(self, shop: str, now: int, deadline: int | None) -> None:
        """Look again soon after ``deadline``, the first of the jobs that went back, if any has one."""
        at = now + LOOK_AGAIN
        self._next[shop] = at if deadline is None else min(at, max(deadline + 1, now + LEAST_APART))

    def hurry(self) -> None:
        """Look into every closed shop now."""
        self._next.clear()
