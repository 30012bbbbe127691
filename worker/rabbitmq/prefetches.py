"""How much each queue gives at once: one message where its messages crowd the memory, a few where it is skimmed.

A prefetch belongs to a consumer, so a queue whose prefetch changes is consumed anew: here is which, and from when.

Pure; runs on the consumer's thread.
"""

from collections.abc import Collection, Mapping

from worker.instants import SECOND
from worker.model.lanes import ShopLane
from worker.text.bounds import IN_HAND

REST = SECOND
NARROW = 60 * SECOND
"""How long a shop whose messages filled the memory is not consumed, and how long it then gets one message at a time."""

MANY_MOVED = 64
SKIMMED = 250
WIDE = 5 * SECOND
"""A queue of which so many jobs were moved to another lane within a second is handed over in so many at a time until
none has been moved for so long."""

FEWEST_SHARES = 8
"""A shop's share of the memory is at most one of so many, however few shops hold something. Three shops whose waiting
jobs were as large as allowed kept another shop's job of 3 KB, and thirty ordinary ones behind it, from being called."""


class Prefetches:
    """Keeps the times (microseconds) by queue. One that is not known gives as many messages as the channel does."""

    def __init__(self) -> None:
        self._resting: dict[ShopLane, int] = {}
        self._narrow: dict[ShopLane, int] = {}
        self._wide: dict[ShopLane, int] = {}
        self._skimmed: set[ShopLane] = set()
        self._moved: dict[ShopLane, tuple[int, int]] = {}

    def of(self, queue: ShopLane) -> int | None:
        """The queue's own prefetch; None for the channel's."""
        return 1 if queue in self._narrow else SKIMMED if queue in self._skimmed else None

    def rests(self, queue: ShopLane) -> bool:
        """Whether the queue is not to be consumed at all."""
        return queue in self._resting

    def is_narrow(self, queue: ShopLane) -> bool:
        """Whether the queue gives one message at a time, once it has rested."""
        return queue in self._narrow

    def crowding(self, held: Mapping[ShopLane, int], queues: Collection[ShopLane]) -> Collection[ShopLane]:
        """Which queues make room where there was no memory for a message of each of ``queues``: as many of those that
        hold most (``held`` in bytes), if that is more than their share, else ``queues`` themselves.
        """
        share = IN_HAND // max(FEWEST_SHARES, len(held.keys() | set(queues)))
        # A queue that gives one message at a time has nothing left to requeue.
        heavy = [of for of, weight in held.items() if weight > share and of not in self._narrow]
        return sorted(heavy, key=held.__getitem__, reverse=True)[: len(queues)] or queues

    def rest(self, queue: ShopLane, now: int) -> None:
        """The queue makes room: it rests, and then gives one message at a time for a while."""
        self._resting[queue], self._narrow[queue] = now + REST, now + NARROW

    def skims(self, queue: ShopLane, now: int) -> None:
        """A job of the queue was moved to another lane. If many are, the queue gives more at once for a while, since
        others wait behind them.
        """
        since, moved = self._moved.get(queue, (now, 0))
        if now >= since + SECOND:
            since, moved = now, 0
        self._moved[queue] = since, moved + 1
        if moved + 1 >= MANY_MOVED or queue in self._wide:
            self._wide[queue] = now + WIDE

    def changed(self, now: int) -> list[ShopLane]:
        """What has ended or begun by now: the queues whose prefetch is another one than at the last call."""
        self._resting = {of: until for of, until in self._resting.items() if until > now}
        ended = {of for of, until in self._narrow.items() if until <= now}
        self._narrow = {of: until for of, until in self._narrow.items() if until > now}
        self._moved = {of: moved for of, moved in self._moved.items() if now < moved[0] + SECOND}
        self._wide = {of: until for of, until in self._wide.items() if until > now}
        changed = [*ended, *((self._wide.keys() ^ self._skimmed) - ended)]
        self._skimmed = set(self._wide)
        return changed
