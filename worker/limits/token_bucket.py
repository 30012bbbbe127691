"""The arithmetic of limits: token buckets for a second, counters for a day. Integer microseconds, no I/O.

A token bucket is kept as one number, its *theoretical arrival time* (``tat``, GCRA): the instant at which the bucket
would be full again. That needs no refill and can't drift. With a clock that steps back it only gets stricter.

A day's quota is a counter and no bucket: as buckets, the quotas let 399 of 200 calls through in a day.
"""

import math
from dataclasses import dataclass, replace

from worker.instants import DAY, SECOND


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: one token every ``interval`` microseconds, at most ``burst`` in store.

    ``interval`` is rounded up, so that a rate that doesn't divide a second is never exceeded. At 3,000 a second this
    loses 0.2 % of the rate, below 1,000 a second less than 0.1 %.
    """

    interval: int
    burst: int

    @classmethod
    def per_second(cls, rate: float, burst: int) -> "Rate":
        """A bucket for ``rate`` calls a second; ``burst`` is at least 1."""
        return cls(interval=math.ceil(SECOND / rate), burst=max(1, burst))


@dataclass(frozen=True, slots=True)
class ShopLimits:
    """How often one shop, and one customer of it, may be called. ``resets_at`` is microseconds after midnight UTC.

    ``adapts``: the shop's pace gives way where the provider allows less. ``reads`` and ``reads_per_day`` limit how
    often one customer's referrals are read back; the defaults are the vendor's. ``reserve`` tokens of the shop's
    bucket, fewer than its burst, and ``reserve_per_day`` of its calls are kept for urgent jobs
    (:mod:`worker.limits.reserve`).
    """

    shop: Rate
    shop_per_day: int
    customer: Rate
    customer_per_day: int
    resets_at: int = 0
    adapts: bool = True
    reads: Rate = Rate(interval=SECOND // 2, burst=2)
    reads_per_day: int = 1000
    reserve: int = 0
    reserve_per_day: int = 0

    def lowered(self, interval: int) -> "ShopLimits":
        """With the shop's calls ``interval`` microseconds apart and its burst reduced in proportion; never looser."""
        if interval <= self.shop.interval:
            return self
        burst = max(1, self.shop.burst * self.shop.interval // interval)
        return replace(self, shop=Rate(interval, burst), reserve=min(self.reserve, burst - 1))


@dataclass(frozen=True, slots=True)
class Taken:
    """Tokens are there at ``at`` (now, or within the horizon); ``tat`` is the bucket once they are taken."""

    at: int
    tat: int


@dataclass(frozen=True, slots=True)
class Limited:
    """No tokens before ``until``; None for never, where more are asked for than the bucket holds."""

    until: int | None


def earliest(tat: int, now: int, rate: Rate, cost: int = 1) -> int:
    """The first instant, ``now`` or later, at which ``cost`` tokens (at most the burst) may be taken."""
    # Conditions in place of `max`, which takes as long as all the rest: every job asks this twice.
    at = (tat if tat > now else now) + (cost - rate.burst) * rate.interval
    return at if at > now else now


def after(tat: int, at: int, rate: Rate, cost: int = 1) -> int:
    """The bucket once ``cost`` tokens are taken at ``at``, an instant that :func:`earliest` allows."""
    return (tat if tat > at else at) + cost * rate.interval


def refund(tat: int, interval: int, cost: int = 1) -> int:
    """The bucket once ``cost`` tokens are put back that were taken by ``interval`` and not used.

    The interval is the one that was charged, since the rate may have changed meanwhile. By the rate in force a token
    too many or too few would come back.
    """
    # No bound below: a bucket that lies in the past is full, however far.
    return tat - cost * interval


def try_take(tat: int, now: int, rate: Rate, *, cost: int = 1, horizon: int = 0) -> Taken | Limited:
    """Ask a bucket for ``cost`` tokens at ``now``, or at the latest ``horizon`` microseconds later.

    Changes nothing: a caller that goes ahead keeps ``Taken.tat``. A bucket that was never used has ``tat`` 0.
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
