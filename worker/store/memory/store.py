"""The store of a single process."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from worker.clock import Clock
from worker.errors import StoreError
from worker.instants import DAY
from worker.limits.adaptive import Slowdown, count_since, fall, pace
from worker.limits.token_bucket import Rate, ShopLimits, after, day_of, earliest, next_reset, refund
from worker.model.controls import Controls
from worker.model.result import OUTCOMES, UNCALLED, Outcome
from worker.store.counting import MOST_COUNTERS, counter_of
from worker.store.memory.tallies import counts_of
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, Known, Reply, ShopClosed, Wait
from worker.store.shop_state import Closure, ShopState
from worker.store.timing import (
    CANCELLED_FOR,
    CLOSURE_OUTLIVES,
    GRANT_LIFETIME,
    LEASE_MARGIN,
    NO_DEADLINE,
    UNKNOWN_DEADLINE,
    turn_of,
)


class Started(NamedTuple):
    """A call was granted and has not been answered. ``deadline`` is the latest of the copies that were granted one;
    ``day`` is the one whose quota was charged, whatever a corrected clock makes of the time since.
    """

    epoch: int
    lease: int
    attempts: int
    takeovers: int
    day: int = -1
    unknowns: int = 0
    shop_base: int = -1
    customer_base: int = -1
    elapsed: int = 0
    shop_interval: int = 0
    customer_interval: int = 0
    deadline: int = UNKNOWN_DEADLINE
    uncalled: bool = False


class Waiting(NamedTuple):
    """A call is to be repeated from ``not_before``."""

    attempts: int
    takeovers: int
    not_before: int
    unknowns: int = 0
    elapsed: int = 0
    deadline: int = UNKNOWN_DEADLINE


class Answered(NamedTuple):
    """A final result is recorded and not yet known to be published."""

    epoch: int
    result: str


class _Charged(NamedTuple):
    """When the call may start, what its tokens were charged to, by which intervals, and the day of the quota."""

    at: int
    shop_base: int
    customer_base: int
    shop_interval: int
    customer_interval: int
    day: int


_FREE = _Charged(0, -1, -1, 0, 0, -1)

Record = Started | Waiting | Answered

_NEW = Waiting(attempts=0, takeovers=0, not_before=0)
_OUTCOME_CODE = {outcome: code for code, outcome in enumerate(OUTCOMES)}


class _Customer:
    """A customer's bucket while it isn't full, its line while somebody waits in it, its block while it lasts."""

    __slots__ = ("base", "blocked_until", "line", "tat")

    def __init__(self) -> None:
        self.tat = 0
        self.base = 0
        self.line = 0
        self.blocked_until = 0

    def idle(self, now: int) -> bool:
        return self.tat <= now and self.line <= now and self.blocked_until <= now


class _Reader:
    """A customer's reads: its bucket, and how many there were on the shop's day of reading."""

    __slots__ = ("reads", "tat")

    def __init__(self) -> None:
        self.tat = 0
        self.reads = 0


class _Shop:
    __slots__ = (
        "base",
        "blocked_until",
        "closure",
        "customer_counts",
        "customers",
        "day",
        "day_count",
        "line",
        "readers",
        "reading_day",
        "slowdown",
        "tallies",
        "tat",
    )

    def __init__(self) -> None:
        self.slowdown = Slowdown()
        self.tallies: dict[str, Counter[str]] = {}
        self.closure: Closure | None = None
        self.tat = 0
        self.base = 0
        self.line = 0
        self.blocked_until = 0
        self.day = -1
        self.day_count = 0
        self.customers: dict[str, _Customer] = {}
        # Keyed by hash: one entry for each customer of the day, and an int is a third of its string. Two customers
        # that share a 64-bit hash would share a quota, which errs on the strict side.
        self.customer_counts: dict[int, int] = {}
        self.readers: dict[str, _Reader] = {}
        self.reading_day = -1


class MemoryStore:
    """Limits and ledger in this process's memory; they go with it, so one process must be the only one.

    A finished job costs about 100 bytes until ``retention`` (microseconds) has passed; with 0 it is forgotten at
    once, which suits a caller that offers each job once only. ``horizon`` is how far ahead calls are granted; with 0
    nobody takes turns either, which suits one process: several come up in simulations only.
    """

    def __init__(self, clock: Clock, *, retention: int = 30 * DAY, horizon: int = 0) -> None:
        self._clock = clock
        self._horizon = horizon
        self._retention_days = -(-retention // DAY)
        self._lock = threading.Lock()
        self._epoch = 0
        self._shops: dict[str, _Shop] = {}
        self._open: dict[bytes, Record] = {}
        self._done: dict[int, dict[bytes, int]] = {}
        self._controls = Controls()

    def check(self) -> None:
        """Memory is always there."""

    def close(self) -> None:
        """Nothing is held open."""

    def submit(
        self,
        requests: Sequence[AdmitRequest],
        reply: Callable[[list[Reply] | StoreError], None],
        *,
        turn: bool,
        holds: int,
    ) -> None:
        """As :class:`worker.store.protocol.Store` says; replies at once."""
        replies: list[Reply] = []
        for request in requests:
            refused = replies and isinstance(replies[-1], ShopClosed)
            replies.append(replies[-1] if refused else self._admit(request, turn=turn, holds=holds))
        reply(replies)

    def admit(self, request: AdmitRequest) -> Reply:
        return self._admit(request, turn=False, holds=1)

    def _admit(self, request: AdmitRequest, *, turn: bool, holds: int) -> Reply:
        now = self._clock.now()
        job = bytes.fromhex(request.job_id)
        with self._lock:
            record = self._open.get(job)
            match record:
                case None:
                    outcome = self._outcome(job)
                    if outcome is not None and (request.uncalled or outcome not in UNCALLED):
                        return AlreadyAnswered(epoch=0, result=None)
                    record = _NEW
                case Answered(epoch, result):
                    if request.uncalled or _uncalled_outcome(result) is None:
                        return AlreadyAnswered(epoch, result)
                    record = _NEW
                case Started(lease=lease) if lease > now:
                    return Wait("job", lease)
                case Waiting(not_before=not_before) if not_before > now:
                    return Wait("job", not_before)
            if request.uncalled and record.deadline > (
                NO_DEADLINE if request.uncalled == "cancelled" else request.deadline
            ):
                # Only the copy with the latest deadline may end what was begun: for another one its message is still to
                # come.
                return AlreadyAnswered(epoch=0, result=None)
            charged = _FREE._replace(at=now) if request.uncalled else self._take(request, now, turn=turn, holds=holds)
            if not isinstance(charged, _Charged):
                return charged
            overtaken = isinstance(record, Started)
            # Whoever was to end it without a call has made none.
            lost = isinstance(record, Started) and not record.uncalled
            self._epoch += 1
            start_by = charged.at + GRANT_LIFETIME
            started = Started(
                self._epoch,
                start_by + request.lease + LEASE_MARGIN,
                record.attempts + 1,
                record.takeovers + overtaken,
                charged.day,
                record.unknowns + lost,
                charged.shop_base,
                charged.customer_base,
                record.elapsed,
                charged.shop_interval,
                charged.customer_interval,
                record.deadline if request.uncalled else max(record.deadline, request.deadline),
                uncalled=bool(request.uncalled),
            )
            self._open[job] = started
            return Grant(
                started.epoch,
                charged.at,
                start_by,
                started.attempts,
                started.takeovers,
                started.unknowns,
                started.elapsed,
                overtaken,
                None if request.uncalled else self._shop(request.shop).day_count,
            )

    def answer(self, request: AdmitRequest, epoch: int, result: str) -> bool:
        job = bytes.fromhex(request.job_id)
        with self._lock:
            if not self._holds(job, epoch):
                return False
            self._open[job] = Answered(epoch, result)
            return True

    def retry(
        self,
        request: AdmitRequest,
        epoch: int,
        not_before: int,
        *,
        unknown: bool = False,
        spent: bool = True,
        elapsed: int = 0,
    ) -> bool:
        job = bytes.fromhex(request.job_id)
        with self._lock:
            if not self._holds(job, epoch):
                return False
            record = self._open.get(job)
            if not isinstance(record, Started):
                record = Started(epoch, 0, attempts=1, takeovers=0)
            attempts = record.attempts if spent else record.attempts - 1
            unknowns = record.unknowns + unknown
            self._open[job] = Waiting(attempts, record.takeovers, not_before, unknowns, elapsed, record.deadline)
            return True

    def release(self, request: AdmitRequest, epoch: int, *, called: bool, verified: bool = False) -> None:
        job = bytes.fromhex(request.job_id)
        with self._lock:
            record = self._open.get(job)
            if not isinstance(record, Started) or record.epoch != epoch:
                return
            unknowns = 0 if verified else record.unknowns
            if record.attempts == 1 and not unknowns:
                del self._open[job]
            else:
                self._open[job] = Waiting(
                    record.attempts - 1, record.takeovers, 0, unknowns, record.elapsed, record.deadline
                )
            if not called and not request.uncalled:
                self._refund(request, record)

    def take_read(self, request: AdmitRequest) -> int | None:
        now, limits = self._clock.now(), request.limits
        with self._lock:
            state = self._shop(request.shop)
            day = self._day(now, limits)
            if day > state.reading_day:
                state.reading_day = day
                state.readers = {name: reader for name, reader in state.readers.items() if reader.tat > now}
                for reader in state.readers.values():
                    reader.reads = 0
            reader = state.readers.setdefault(request.customer, _Reader())
            if reader.reads >= limits.reads_per_day:
                return self._reset(now, limits)
            due = earliest(reader.tat, now, limits.reads)
            if due > now:
                return due
            reader.tat = after(reader.tat, now, limits.reads)
            reader.reads += 1
            return None

    def settle(self, request: AdmitRequest, epoch: int, outcome: Outcome, code: str | None = None) -> None:
        job = bytes.fromhex(request.job_id)
        today = self._clock.now() // DAY
        with self._lock:
            record = self._open.get(job)
            holds = isinstance(record, Answered) and record.epoch == epoch
            if holds:
                del self._open[job]
                self._mark_done(job, today, outcome)
            # A copy that ended without a call, while another one was granted its call, is counted all the same: its
            # result is out.
            if holds or outcome in UNCALLED:
                counts = counts_of(self._shop(request.shop).tallies, request.campaign)
                counter = counter_of(outcome, code if len(counts) < MOST_COUNTERS else "other")
                counts[counter] += 1

    def known(self, jobs: Sequence[tuple[str, str]]) -> list[Known | None]:
        with self._lock:
            return [self._known(bytes.fromhex(job_id)) for _, job_id in jobs]

    def tally(
        self, shop: str, campaign: str, counts: Mapping[str, int], *, lost: Callable[[StoreError], None] | None = None
    ) -> None:
        del lost
        with self._lock:
            counts_of(self._shop(shop).tallies, campaign).update(counts)

    def tallies(self, shop: str) -> dict[str, dict[str, int]]:
        with self._lock:
            return {campaign: dict(counts) for campaign, counts in self._shop(shop).tallies.items()}

    def block(self, shop: str, customer: str | None, until: int) -> None:
        with self._lock:
            state = self._shop(shop)
            if customer is None:
                state.blocked_until = max(state.blocked_until, until)
            else:
                entry = state.customers.setdefault(customer, _Customer())
                entry.blocked_until = max(entry.blocked_until, until)

    def slow_down(self, request: AdmitRequest, granted_at: int) -> None:
        now = self._clock.now()
        with self._lock:
            state = self._shop(request.shop)
            if granted_at > state.slowdown.at:
                state.slowdown = fall(state.slowdown, now, request.limits.shop.interval)

    def note(self, shop: str, closure: Closure | None) -> None:
        with self._lock:
            self._shop(shop).closure = closure

    def inspect(self, shop: str, limits: ShopLimits) -> ShopState:
        now = self._clock.now()
        with self._lock:
            state = self._shop(shop)
            is_today = state.day == max(self._day(now, limits), state.day)
            return ShopState(
                at=now,
                interval=self._rate(state, limits, now).interval,
                blocked_until=state.blocked_until if state.blocked_until > now else 0,
                calls_today=state.day_count if is_today else 0,
                closure=state.closure if state.closure and now < state.closure.until + CLOSURE_OUTLIVES else None,
            )

    def watch(self, known: int, reply: Callable[[Controls | StoreError | None], None]) -> None:
        """As :class:`worker.store.protocol.Store` says; replies at once."""
        controls = self._controls
        reply(None if controls.version == known else controls)

    def controls(self) -> Controls:
        return self._controls

    def pause(self, shop: str, reason: str) -> Controls:
        with self._lock:
            self._controls = self._controls.with_pause(shop, reason, self._clock.now())
            return self._controls

    def resume(self, shop: str) -> Controls:
        with self._lock:
            self._controls = self._controls.without_pause(shop, self._clock.now())
            return self._controls

    def limit(self, shop: str, interval: int, reason: str, until: int) -> Controls:
        with self._lock:
            self._controls = self._controls.with_limit(shop, interval, reason, self._clock.now(), until)
            return self._controls

    def unlimit(self, shop: str) -> Controls:
        with self._lock:
            self._controls = self._controls.without_limit(shop, self._clock.now())
            return self._controls

    def cancel(self, campaign: str, shop: str) -> Controls:
        now = self._clock.now()
        with self._lock:
            self._controls = self._controls.with_cancelled(campaign, shop, now, now + CANCELLED_FOR)
            return self._controls

    def restore(self, campaign: str, shop: str) -> Controls:
        with self._lock:
            self._controls = self._controls.without_cancelled(campaign, shop, self._clock.now())
            return self._controls

    def count_earlier_call(self, request: AdmitRequest, at: int) -> None:
        """Count a call that an earlier process made at ``at`` against the limits; calls may come in any order."""
        with self._lock:
            state = self._shop(request.shop)
            self._count(state, request, self._day(at, request.limits))
            state.tat = after(state.tat, at, request.limits.shop)
            rate = request.limits.customer
            if request.customer and at > self._clock.now() - rate.interval * rate.burst:
                # Of an older call the bucket shows nothing any more.
                customer = state.customers.setdefault(request.customer, _Customer())
                customer.tat = after(customer.tat, at, rate)

    def load_record(self, job_id: str, record: Record) -> None:
        """Put back a job that an earlier process left open."""
        with self._lock:
            self._open[bytes.fromhex(job_id)] = record

    def _take(self, request: AdmitRequest, now: int, *, turn: bool, holds: int) -> "_Charged | ShopClosed | Wait":
        limits, state = request.limits, self._shop(request.shop)
        # A day that has begun stays the day, also when the clock steps back or the reset is moved to later: an older
        # one would be counted by nobody.
        day = max(self._day(now, limits), state.day)
        reset = self._reset(now, limits)
        if state.blocked_until > now:
            return ShopClosed(state.blocked_until, "throttled")
        if state.day == day and state.day_count >= limits.shop_per_day:
            return ShopClosed(reset, "day_quota")
        rate = self._rate(state, limits, now)
        if state.tat > now:
            _let_catch_up(state, now, self._horizon, rate)
        # No call is booked into the next day: it would be counted in this one.
        horizon = min(self._horizon, reset - 1 - now)
        start_at = earliest(state.tat, now, rate)
        if start_at > now and not (start_at <= now + horizon and (turn or state.line <= now)):
            return self._turn_away(state, start_at, now, rate, holds)
        customer = None
        if request.customer:
            customer = self._customer(state, request.customer, now)
            due = earliest(customer.tat, now, limits.customer)
            refusal = self._hold_back(customer, request, state, now, day, due, horizon)
            if refusal is not None:
                return refusal
            start_at = max(start_at, due)
            _charge(customer, start_at, limits.customer)
        # Both buckets are charged at the one instant at which the call may start, so that neither window is cheated.
        if state.slowdown.interval:
            state.slowdown = count_since(state.slowdown, start_at, state.tat)
        _charge(state, start_at, rate)
        self._count(state, request, day)
        if customer is None:
            return _Charged(start_at, state.base, -1, rate.interval, 0, day)
        return _Charged(start_at, state.base, customer.base, rate.interval, limits.customer.interval, day)

    def _turn_away(self, state: _Shop, due: int, now: int, rate: Rate, holds: int) -> ShopClosed:
        if not self._horizon:
            return ShopClosed(due, "rate", interval=rate.interval)
        # Each process that is turned away gets a time of its own: all at once, all but one would come in vain.
        step = turn_of(rate.interval, holds)
        state.line = max(state.line + step, due - self._horizon // 2, now + 1)
        return ShopClosed(state.line, "rate", step // rate.interval + 1, rate.interval)

    @staticmethod
    def _rate(state: _Shop, limits: ShopLimits, now: int) -> Rate:
        if not (limits.adapts and state.slowdown.interval):
            return limits.shop
        return Rate(pace(state.slowdown, now, limits.shop.interval), limits.shop.burst)

    @staticmethod
    def _customer(state: _Shop, name: str, now: int) -> _Customer:
        _forget_idle(state.customers, now)
        customer = state.customers.get(name)
        if customer is None:
            customer = state.customers[name] = _Customer()
        return customer

    def _hold_back(
        self, customer: _Customer, request: AdmitRequest, state: _Shop, now: int, day: int, due: int, horizon: int
    ) -> Wait | None:
        limits = request.limits
        if customer.blocked_until > now:
            return Wait("customer", _next_place(customer, customer.blocked_until, limits.customer))
        if state.day == day and state.customer_counts.get(hash(request.customer), 0) >= limits.customer_per_day:
            # A place after the reset, not the reset itself: all would come at that one instant, again and again.
            reset = self._reset(now, limits)
            if request.place_in_line is not None and request.place_in_line >= reset:
                return Wait("customer", request.place_in_line)
            return Wait("customer", _next_place(customer, reset, limits.customer))
        if request.place_in_line is None and customer.line > now:
            # Others were told to come back in turn; a newcomer that took their token would send them to the end.
            return Wait("customer", _next_place(customer, due, limits.customer))
        if due > now + horizon:
            # Jobs that come back late, after standing behind others in their queue, all missed their places: told the
            # same instant they would come back together again and again, 28 times each of 300. They line up anew.
            on_time = request.place_in_line is not None and now <= request.place_in_line + limits.customer.interval
            return Wait("customer", due if on_time else _next_place(customer, due, limits.customer))
        return None

    def _refund(self, request: AdmitRequest, record: Started) -> None:
        state = self._shop(request.shop)
        if state.base == record.shop_base:
            state.tat = refund(state.tat, record.shop_interval)
        if state.day == record.day:
            state.day_count = max(0, state.day_count - 1)
            calls = state.customer_counts.get(hash(request.customer), 0) if request.customer else 0
            if calls:
                state.customer_counts[hash(request.customer)] = calls - 1
        customer = state.customers.get(request.customer)
        if customer is not None and customer.base == record.customer_base:
            customer.tat = refund(customer.tat, record.customer_interval)

    # A day begins when the provider's does, by the right time; all else goes by the steady one.

    def _day(self, now: int, limits: ShopLimits) -> int:
        return day_of(now + self._clock.ahead(), limits.resets_at)

    def _reset(self, now: int, limits: ShopLimits) -> int:
        ahead = self._clock.ahead()
        return next_reset(now + ahead, limits.resets_at) - ahead

    def _count(self, state: _Shop, request: AdmitRequest, day: int) -> None:
        if day < state.day:
            return
        if day > state.day:
            state.day, state.day_count = day, 0
            state.customer_counts.clear()
        state.day_count += 1
        if request.customer:
            key = hash(request.customer)
            state.customer_counts[key] = state.customer_counts.get(key, 0) + 1

    def _shop(self, shop: str) -> _Shop:
        state = self._shops.get(shop)
        if state is None:
            state = self._shops[shop] = _Shop()
        return state

    def _holds(self, job: bytes, epoch: int) -> bool:
        # A missing record is a store that lost its data: the call was made, so its result must not be lost too.
        record = self._open.get(job)
        if record is None:
            outcome = self._outcome(job)
            return outcome is None or outcome in UNCALLED
        return isinstance(record, Started) and record.epoch == epoch

    def _outcome(self, job: bytes) -> Outcome | None:
        # The final one, if there is any: a job that ended without a call may have been called later.
        found: Outcome | None = None
        for bucket in self._done.values():
            code = bucket.get(job)
            if code is not None:
                found = OUTCOMES[code]
                if found not in UNCALLED:
                    return found
        return found

    def _known(self, job: bytes) -> Known | None:
        record = self._open.get(job)
        match record:
            case None:
                outcome = self._outcome(job)
            case Answered(result=result):
                outcome = _uncalled_outcome(result) or "sent"
            case _:
                return "under_way"
        if outcome is None:
            return None
        return outcome if outcome == "expired" or outcome == "cancelled" else "answered"

    def _mark_done(self, job: bytes, today: int, outcome: Outcome) -> None:
        if not self._retention_days:
            return
        if today not in self._done:
            self._done[today] = {}
            for day in [day for day in self._done if day < today - self._retention_days]:
                del self._done[day]
        self._done[today][job] = _OUTCOME_CODE[outcome]


def _uncalled_outcome(result: str) -> Literal["expired", "cancelled"] | None:
    # As what an answered job ended without a call; None if it was called.
    try:
        read = json.loads(result)
    except (ValueError, RecursionError):
        return None
    outcome = read.get("outcome") if isinstance(read, dict) else None
    return outcome if outcome == "expired" or outcome == "cancelled" else None


def _let_catch_up(state: _Shop, now: int, horizon: int, rate: Rate) -> None:
    # A bucket is emptier than empty where its rate was raised since: a limit of an operator's has ended. Charges that
    # were cut off can't be taken out any more, and turns were counted by the slower pace.
    empty = now + horizon + rate.interval * rate.burst
    if state.tat > empty:
        state.tat = state.base = empty
        state.line = min(state.line, empty)


def _charge(bucket: _Shop | _Customer, at: int, rate: Rate) -> None:
    # Tokens can be put back for as long as that can't cheat a window. `base` is where the bucket stood when it was last
    # overtaken by a call; calls that start at or before it have only added to it, so that any of them can be taken out.
    # Once a later call overtakes the bucket, tokens of the earlier ones have come back by themselves.
    if at > bucket.base:
        bucket.base = max(bucket.tat, at)
    bucket.tat = after(bucket.tat, at, rate)


def _next_place(customer: _Customer, due: int, rate: Rate) -> int:
    # The first of the line comes when a token is there, each further one an interval later.
    customer.line = max(customer.line + rate.interval, due)
    return customer.line


def _forget_idle(customers: dict[str, _Customer], now: int, most: int = 2) -> None:
    # A full bucket is the same as none. Looking at two for each one used keeps the table small for a constant price;
    # those that stay go to the end, so that two customers blocked for hours don't hide the others.
    for name in list(islice(customers, most)):
        customer = customers.pop(name)
        if not customer.idle(now):
            customers[name] = customer
