"""What is kept of a shop or a customer: token bucket, block, day counts, the last turn or place in line.

``worker/store/redis/lua/scopes.lua`` keeps the same, packed into one string, and has the same units.
"""

from itertools import islice

from worker.limits.adaptive import Slowdown, pace
from worker.limits.reserve import beside_bulk
from worker.limits.token_bucket import Rate, ShopLimits, after


class Bucket:
    """What shops and customers have in common.

    ``tat`` is when the bucket is full again, ``base`` as :func:`take` says. ``last_given`` is the last turn (of a shop,
    given to a process) or place in line (of a customer, given to a job). ``blocked_until`` is the provider's block.
    """

    __slots__ = ("base", "blocked_until", "last_given", "tat")

    def __init__(self) -> None:
        self.tat = 0
        self.base = 0
        self.last_given = 0
        self.blocked_until = 0

    def idle(self, now: int) -> bool:
        """Whether it holds nothing back any more: a full bucket is the same as none."""
        return self.tat <= now and self.last_given <= now and self.blocked_until <= now


class Reader:
    """A customer's reads: its bucket, and how many there were on the shop's day of reading."""

    __slots__ = ("reads", "tat")

    def __init__(self) -> None:
        self.tat = 0
        self.reads = 0


class Paced(Bucket):
    """A campaign that has a pace of its own. ``day`` is the quota day that ``calls`` counts."""

    __slots__ = ("calls", "day")

    def __init__(self) -> None:
        super().__init__()
        self.day = -1
        self.calls = 0

    def count(self, day: int) -> None:
        """Count a call on its quota day."""
        if day > self.day:
            self.day, self.calls = day, 0
        self.calls += 1


class Shop(Bucket):
    """A shop with its customers. ``day`` is the quota day that ``calls`` and ``customer_calls`` count.

    ``urgent_calls`` are those among them that were urgent, ``urgent_tat`` is their bucket beside bulk, and
    ``urgent_given`` the last turn that was given to a process for them.
    """

    __slots__ = (
        "calls",
        "campaigns",
        "customer_calls",
        "customers",
        "day",
        "readers",
        "reading_day",
        "slowdown",
        "urgent_calls",
        "urgent_given",
        "urgent_tat",
    )

    def __init__(self) -> None:
        super().__init__()
        self.slowdown = Slowdown()
        self.day = -1
        self.calls = 0
        self.customers: dict[str, Bucket] = {}
        self.campaigns: dict[str, Paced] = {}
        # Keyed by hash: one entry for each customer of the day, and an int is a third of its string. Two customers
        # that share a 64-bit hash would share a quota, which errs on the strict side.
        self.customer_calls: dict[int, int] = {}
        self.readers: dict[str, Reader] = {}
        self.reading_day = -1
        self.urgent_calls = 0
        self.urgent_given = 0
        self.urgent_tat = 0

    def rate(self, limits: ShopLimits, now: int) -> Rate:
        """The rate in force: the shops file's, or less after the provider found the shop too fast."""
        if not (limits.adapts and self.slowdown.interval):
            return limits.shop
        return Rate(pace(self.slowdown, now, limits.shop.interval), limits.shop.burst)

    def count(self, customer: str, day: int, *, urgent: bool = False) -> None:
        """Count a call on its quota day. One of an earlier day than that which has begun counts for nothing."""
        if day < self.day:
            return
        if day > self.day:
            self.day, self.calls, self.urgent_calls = day, 0, 0
            self.customer_calls.clear()
        self.calls += 1
        if urgent:
            self.urgent_calls += 1
        if customer:
            key = hash(customer)
            self.customer_calls[key] = self.customer_calls.get(key, 0) + 1

    def uncount(self, customer: str, day: int, *, urgent: bool = False) -> None:
        """Take a call that was not made out of its day's counts; those of another day stay as they are."""
        if day != self.day:
            return
        self.calls = max(0, self.calls - 1)
        if urgent:
            self.urgent_calls = max(0, self.urgent_calls - 1)
        calls = self.customer_calls.get(hash(customer), 0) if customer else 0
        if calls:
            self.customer_calls[hash(customer)] = calls - 1


def quota_day(shop: Shop, today: int) -> int:
    """The day whose quota counts. A day that has begun stays the day, also when the clock steps back or the reset is
    moved to later: no process would count a call in an older one.
    """
    return today if today > shop.day else shop.day


def let_catch_up(shop: Bucket, now: int, horizon: int, rate: Rate) -> None:
    """Empty a bucket that is emptier than empty, where its rate was raised since: an operator's limit has ended.

    Charges that are cut off can't be refunded any more (:func:`take`). Turns were given by the slower pace.
    """
    empty = now + horizon + rate.interval * rate.burst
    if shop.tat > empty:
        shop.tat = shop.base = empty
        shop.last_given = min(shop.last_given, empty)


def take(bucket: Bucket, at: int, rate: Rate) -> None:
    """Take a token for a call that starts at ``at``, an instant that ``earliest`` allows.

    Tokens can be refunded for as long as that can't cheat a window. ``base`` is where the bucket stood when a call last
    overtook it. Calls that start at or before it have only added to it, so that each of them can be taken out,
    whichever and in any order. Once a later call overtakes the bucket, tokens of the earlier ones have come back by
    themselves, and none is refunded.
    """
    # The start overtakes the bucket: tokens of earlier calls can't be put back from here on.
    if at > bucket.base:
        bucket.base = max(bucket.tat, at)
    bucket.tat = after(bucket.tat, at, rate)


def take_urgent(shop: Shop, now: int, rate: Rate) -> None:
    """Count an urgent call against what urgent jobs may have beside bulk; never emptier than empty."""
    beside = beside_bulk(rate)
    shop.urgent_tat = min(after(shop.urgent_tat, now, beside), now + beside.interval * beside.burst)


def next_place(customer: Bucket, due: int, interval: int) -> int:
    """Give the next place in a customer's line: the first when a token is there, each other one an interval later."""
    customer.last_given = max(customer.last_given + interval, due)
    return customer.last_given


def forget_idle(customers: dict[str, Bucket], now: int, most: int = 2) -> None:
    """Drop idle customers, looking at ``most`` for each one used: a constant price keeps the table small.

    Those that stay go to the end, so that two customers blocked for hours don't hide the others.
    """
    # A dict keeps the order of insertion: the first are those that were looked at longest ago.
    for name in list(islice(customers, most)):
        customer = customers.pop(name)
        if not customer.idle(now):
            customers[name] = customer
