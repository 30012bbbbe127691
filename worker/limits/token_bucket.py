"""The arithmetic of limits: token buckets for a second, counters for a day. Integer microseconds, no I/O.

A token bucket is kept as one number, its *theoretical arrival time* (GCRA): the instant at which the bucket would be
full again. That needs no refill and can't drift; with a clock that steps back it only gets stricter.
"""

import math
from dataclasses import dataclass, replace

from worker.instants import DAY, SECOND


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: one token every ``interval`` microseconds, at most ``burst`` in store.

    ``interval`` is rounded up, so a rate that doesn't divide a second is never exceeded: at 3,000 a second this
    gives away 0.2 %, below 1,000 a second less than 0.1 %.
    """

    interval: int
    burst: int

    @classmethod
    def per_second(cls, rate: float, burst: int) -> "Rate":
        """A bucket for ``rate`` calls a second; ``burst`` is at least 1."""
        return cls(interval=math.ceil(SECOND / rate), burst=max(1, burst))


@dataclass(frozen=True, slots=True)
class ShopLimits:
    """What one shop may be called, and one customer of it. ``resets_at`` is microseconds after midnight UTC.

    ``adapts`` tells whether the shop's pace gives way where the provider allows less. ``reads`` and ``reads_per_day``
    are of one customer, for reading its referrals back; by default the vendor's.
    """

    shop: Rate
    shop_per_day: int
    customer: Rate
    customer_per_day: int
    resets_at: int = 0
    adapts: bool = True
    reads: Rate = Rate(interval=SECOND // 2, burst=2)
    reads_per_day: int = 1000

    def lowered(self, interval: int) -> "ShopLimits":
        """With the shop's calls ``interval`` microseconds apart and its burst less in proportion; never looser."""
        if interval <= self.shop.interval:
            return self
        return replace(self, shop=Rate(interval, max(1, self.shop.burst * self.shop.interval // interval)))


@dataclass(frozen=True, slots=True)
class Taken:
    """Tokens may be taken, first at ``at`` (now, or within the horizon); ``tat`` is the bucket afterwards."""

    at: int
    tat: int


@dataclass(frozen=True, slots=True)
class Limited:
    """Not now; first at ``until``, or never (None) where more tokens are asked for than the bucket holds."""

    until: int | None


def earliest(tat: int, now: int, rate: Rate, cost: int = 1) -> int:
    """The first instant, ``now`` or later, at which ``cost`` tokens (at most the burst) may be taken."""
    # Conditions, since `max` takes as long as all the rest and this is asked for every job, twice.
    at = (tat if tat > now else now) + (cost - rate.burst) * rate.interval
    return at if at > now else now


def after(tat: int, at: int, rate: Rate, cost: int = 1) -> int:
    """The bucket once ``cost`` tokens are taken at ``at``, an instant that :func:`earliest` allows."""
    return (tat if tat > at else at) + cost * rate.interval


def refund(tat: int, interval: int, cost: int = 1) -> int:
    """The bucket once ``cost`` tokens that were taken at ``interval`` and not used are put back.

    The rate may have changed since: by another one, a token too much or too little would be there.
    """
    return tat - cost * interval


def try_take(tat: int, now: int, rate: Rate, *, cost: int = 1, horizon: int = 0) -> Taken | Limited:
    """Ask a bucket for ``cost`` tokens at ``now``, or at the latest ``horizon`` microseconds later.

    Pure: the caller keeps ``Taken.tat`` if it goes ahead. A bucket never used has ``tat`` 0.
    """
    if cost > rate.burst:
        return Limited(until=None)
    at = earliest(tat, now, rate, cost)
    if at > now + horizon:
        return Limited(until=at)
    return Taken(at=at, tat=after(tat, at, rate, cost))


def day_of(now: int, resets_at: int) -> int:
    """The number of the quota day that ``now`` lies in; a day runs from one reset to the next."""
    return (now - resets_at) // DAY


def reset_of(day: int, resets_at: int) -> int:
    """When a quota day ends."""
    return (day + 1) * DAY + resets_at


def next_reset(now: int, resets_at: int) -> int:
    """When the quota day of ``now`` ends."""
    return reset_of(day_of(now, resets_at), resets_at)
