"""The limits of a single process: what a call is charged to.

``worker/store/redis/lua/admit.lua`` decides alike; docs/store.md shows the units of both side by side. Nothing here
locks: the store holds its lock around each call. ``now`` is the store's steady time in microseconds.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from worker.limits.adaptive import Slowdown, count_since, fall
from worker.limits.reserve import URGENT_AHEAD, of_bulk
from worker.limits.token_bucket import Rate, ShopLimits, after, day_of, earliest, refund, reset_of
from worker.model.names import campaign_key
from worker.store.memory.refusals import (
    campaign_refusal,
    customer_refusal,
    reserve_refusal,
    shop_refusal,
    turn_away,
    urgent_refusal,
)
from worker.store.memory.scopes import (
    Bucket,
    Paced,
    Reader,
    Shop,
    forget_idle,
    let_catch_up,
    quota_day,
    take,
    take_urgent,
)
from worker.store.protocol import AdmitRequest, ShopClosed, Wait
from worker.store.shop_state import ShopState


class Charge(NamedTuple):
    """What a grant's tokens were taken from: enough to put them back.

    ``start_at`` is when the call may start. The bases say which stand of each bucket was charged (-1: no customer), the
    intervals by how much. ``day`` is the quota day that counted the call, whatever a corrected clock says later.
    ``calls_today`` is the shop's count on it, this call included.
    """

    start_at: int
    shop_base: int
    customer_base: int
    shop_interval: int
    customer_interval: int
    day: int
    calls_today: int


class Buckets:
    """All shops. ``ahead`` tells by how much the wall clock is ahead of the steady one; ``horizon`` how many
    microseconds ahead of its instant a call may be granted. With horizon 0 no turns are given either.
    """

    def __init__(self, ahead: Callable[[], int], horizon: int) -> None:
        self._ahead = ahead
        self._horizon = horizon
        # Urgent calls are granted farther ahead.
        self._farthest = max(horizon, URGENT_AHEAD) if horizon else 0
        self._shops: defaultdict[str, Shop] = defaultdict(Shop)

    def shop(self, name: str) -> Shop:
        """The shop of that name, as if never called where it is new."""
        return self._shops[name]

    def charge(self, request: AdmitRequest, now: int, *, turn: bool, holds: int) -> Charge | ShopClosed | Wait:
        """Take the tokens of a call at the first instant that shop and customer both allow, or say why not."""
        limits, shop = request.limits, self._shops[request.shop]
        # A day begins when the provider's does, by the wall clock; everything else goes by the steady one.
        ahead = self._ahead()
        today = day_of(now + ahead, limits.resets_at)
        reset = reset_of(today, limits.resets_at) - ahead
        # The reset in steady time: where the wall clock was corrected, the two differ by as much.
        day = quota_day(shop, today)
        closed = shop_refusal(shop, now, limits.shop_per_day, day, reset)
        if closed is None and limits.reserve_per_day and not request.urgent:
            closed = reserve_refusal(shop, now, limits, day, reset)
        if closed is not None:
            return closed
        rate = shop.rate(limits, now)
        # Only a bucket that is not full can be emptier than empty: the common case pays for a comparison.
        if shop.tat > now:
            let_catch_up(shop, now, self._farthest if shop.urgent_tat else self._horizon, rate)
        # No call is booked into the next day: it would be counted in this one.
        horizon = self._horizon if now + self._horizon < reset else reset - 1 - now
        start_at = earliest(shop.tat, now, rate if request.urgent else of_bulk(rate, limits.reserve))
        # A token that is there now was left by those whose turn it was: any process may take it. One that is on its way
        # belongs to the processes that were given a turn.
        if request.urgent:
            ahead_by = min(URGENT_AHEAD, reset - 1 - now) if self._horizon else 0
            closed = urgent_refusal(shop, start_at, now, rate, ahead_by)
            if closed is not None:
                return closed
        elif start_at > now and not (start_at <= now + horizon and (turn or shop.last_given <= now)):
            return turn_away(shop, start_at, now, rate, self._horizon, holds)
        paced: Paced | None = None
        pace = rate
        if request.pace is not None:
            paced = shop.campaigns.setdefault(campaign_key(request.campaign), Paced())
            # No campaign goes faster than its shop.
            pace = Rate(max(request.pace.interval, rate.interval), 1)
            # Two intervals, since a call may come half of one early.
            let_catch_up(paced, now, self._farthest, Rate(pace.interval, 2))
            # Half an interval early, so that a call which its shop delays by less than that loses nothing of the pace.
            due = max(now, paced.tat - pace.interval // 2)
            over = 0 < request.pace.per_day <= paced.calls and paced.day == day
            wait = campaign_refusal(
                paced, due, now, request.pace.place, pace.interval, horizon, reset if over else None
            )
            if wait is not None:
                return wait
            start_at = max(start_at, due)
        customer, interval = None, 0
        if request.customer:
            customer, interval = self._customer(shop, request.customer, now), limits.customer.interval
            used_up = shop.day == day and shop.customer_calls.get(hash(request.customer), 0) >= limits.customer_per_day
            due = earliest(customer.tat, now, limits.customer)
            until = customer_refusal(
                customer, due, now, request.place_in_line, interval, horizon, reset if used_up else None
            )
            if until is not None:
                return Wait("customer", until)
            if due > start_at:
                start_at = due
            take(customer, start_at, limits.customer)
        if paced is not None:
            take(paced, start_at, pace)
            paced.count(day)
        # Both buckets are charged at the one instant at which the call may start, so that neither window is cheated.
        if shop.slowdown.interval:
            shop.slowdown = count_since(shop.slowdown, start_at, shop.tat)
        take(shop, start_at, rate)
        shop.count(request.customer, day, urgent=request.urgent)
        if request.urgent:
            take_urgent(shop, now, rate)
        customer_base = -1 if customer is None else customer.base
        return Charge(start_at, shop.base, customer_base, rate.interval, interval, day, shop.calls)

    def next_turn(self, request: AdmitRequest, now: int, holds: int) -> ShopClosed | None:
        """The next turn of a process that holds so many jobs more than it asked for; None while a token is there."""
        shop = self.shop(request.shop)
        rate = shop.rate(request.limits, now)
        due = earliest(shop.tat, now, of_bulk(rate, request.limits.reserve))
        return turn_away(shop, due, now, rate, self._horizon, holds) if due > now else None

    def refund(self, request: AdmitRequest, charge: Charge) -> None:
        """Put the tokens of a call that was not made back, wherever that can't cheat a window (:func:`take`)."""
        shop = self.shop(request.shop)
        # A bucket that a later call has overtaken since has this token back already (`take`).
        if shop.base == charge.shop_base:
            shop.tat = refund(shop.tat, charge.shop_interval)
        shop.uncount(request.customer, charge.day, urgent=request.urgent)
        customer = shop.customers.get(request.customer)
        if customer is not None and customer.base == charge.customer_base:
            customer.tat = refund(customer.tat, charge.customer_interval)
        paced = shop.campaigns.get(campaign_key(request.campaign)) if request.pace is not None else None
        if paced is not None and paced.day == charge.day and paced.calls:
            # The call of the day alone: the place in its line has gone by.
            paced.calls -= 1

    def take_read(self, request: AdmitRequest, now: int) -> int | None:
        """Take a token for reading a customer's referrals back; otherwise when there will be one."""
        limits, shop = request.limits, self.shop(request.shop)
        ahead = self._ahead()
        day = day_of(now + ahead, limits.resets_at)
        # A new day forgets the readers whose bucket is full, so the table holds those of one day.
        if day > shop.reading_day:
            shop.reading_day = day
            shop.readers = {name: reader for name, reader in shop.readers.items() if reader.tat > now}
            for reader in shop.readers.values():
                reader.reads = 0
        reader = shop.readers.setdefault(request.customer, Reader())
        if reader.reads >= limits.reads_per_day:
            return reset_of(day, limits.resets_at) - ahead
        due = earliest(reader.tat, now, limits.reads)
        if due > now:
            return due
        reader.tat = after(reader.tat, now, limits.reads)
        reader.reads += 1
        return None

    def block(self, shop: str, customer: str | None, until: int) -> None:
        """Grant nothing of the customer (of the whole shop if None) before ``until``."""
        state = self.shop(shop)
        scope = state if customer is None else state.customers.setdefault(customer, Bucket())
        scope.blocked_until = max(scope.blocked_until, until)

    def slow_down(self, request: AdmitRequest, granted_at: int, now: int) -> None:
        """Lower the shop's pace, unless the refused call was granted before the pace fell last."""
        shop = self.shop(request.shop)
        # Calls that were granted before the fall are refused by the old pace, and say nothing of the new one.
        if granted_at > shop.slowdown.at:
            shop.slowdown = fall(shop.slowdown, now, request.limits.shop.interval)

    def calls_today(self, shop: str, limits: ShopLimits, now: int, campaign: str) -> tuple[int, int, int]:
        """How many calls the shop has had since the day's reset; how many of them were urgent, how many of the campaign
        while it has a pace.
        """
        state = self.shop(shop)
        day = quota_day(state, day_of(now + self._ahead(), limits.resets_at))
        paced = state.campaigns.get(campaign_key(campaign))
        own = paced.calls if paced is not None and paced.day == day else 0
        return (state.calls, state.urgent_calls, own) if state.day == day else (0, 0, own)

    def load_shop(self, name: str, limits: ShopLimits, state: ShopState, now: int, campaign: str) -> None:
        """Put in what another store knows of the shop, and of the campaign."""
        shop = self.shop(name)
        if state.campaign_today:
            paced = shop.campaigns[campaign_key(campaign)] = Paced()
            paced.day, paced.calls = day_of(now + self._ahead(), limits.resets_at), state.campaign_today
        shop.day, shop.calls = day_of(now + self._ahead(), limits.resets_at), state.calls_today
        shop.blocked_until = state.blocked_until
        if state.interval > limits.shop.interval:
            shop.slowdown = Slowdown(state.interval, now)

    def count_earlier_call(self, request: AdmitRequest, at: int, now: int) -> None:
        """Count a call that an earlier process made at ``at`` against the limits; calls may come in any order."""
        shop = self.shop(request.shop)
        shop.count(request.customer, day_of(at + self._ahead(), request.limits.resets_at))
        # The base stays: these calls were made, so that their tokens are never refunded.
        shop.tat = after(shop.tat, at, request.limits.shop)
        rate = request.limits.customer
        if request.customer and at > now - rate.interval * rate.burst:
            # An older call has left no trace in the bucket.
            customer = shop.customers.setdefault(request.customer, Bucket())
            customer.tat = after(customer.tat, at, rate)

    @staticmethod
    def _customer(shop: Shop, name: str, now: int) -> Bucket:
        forget_idle(shop.customers, now)
        customer = shop.customers.get(name)
        if customer is None:
            customer = shop.customers[name] = Bucket()
        return customer
