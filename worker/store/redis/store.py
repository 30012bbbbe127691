"""Limits and ledger in Redis."""

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from importlib import resources
from typing import Any

import structlog

from worker.clock import Clock
from worker.errors import StoreError
from worker.instants import DAY
from worker.limits.token_bucket import ShopLimits
from worker.model.controls import Controls, Pause, RateLimit
from worker.model.result import Outcome
from worker.store.counting import counter_of
from worker.store.protocol import AdmitRequest, AlreadyAnswered, ClosedReason, Grant, Known, Reply, ShopClosed, Wait
from worker.store.redis.client import Server, Watch
from worker.store.redis.epochs import Epochs
from worker.store.shop_state import Closure, ShopState
from worker.store.timing import (
    CANCELLED_FOR,
    CLOSURE_OUTLIVES,
    GRANT_LIFETIME,
    HORIZON,
    LEASE_MARGIN,
    NO_DEADLINE,
    turn_of,
)

PREFIX = "rd:"

_CONTROLS_KEY = f"{PREFIX}controls".encode()
# The second one is never there; its braces put it where the first is.
_WATCH_KEYS = [_CONTROLS_KEY, f"{PREFIX}none:{{{PREFIX}controls}}".encode()]

_SCRIPTS = {
    "admit": ("scopes", "records", "done"),
    "answer": ("records", "done"),
    "retry": ("records", "done"),
    "release": ("scopes", "records"),
    "known": ("records", "done"),
    "settle": ("records", "done", "tallies"),
    "block": ("scopes",),
    "slow_down": ("scopes",),
    "take_read": ("scopes",),
    "note": (),
    "inspect": ("scopes",),
    "watch": ("controls",),
    "control": ("controls",),
    "tally": ("tallies",),
    "tallied": (),
}
"""What each script is put together from; each part costs a script time, so it gets no more than it needs."""

_PAGE = 100
"""Campaigns of a shop that are asked for at once."""

_INTEGERS = struct.Struct(">15q")
_KNOWN: tuple[Known | None, ...] = (None, "answered", "under_way", "expired", "cancelled")
_MOST_LOOKED_UP = 200
"""Jobs in one look-up: some 5 us each, so that the server is kept from others for a millisecond."""

_REASONS: dict[int, ClosedReason] = {1: "rate", 2: "day_quota", 3: "throttled"}

log = structlog.get_logger(__name__)


class RedisStore:
    """Limits and ledger that any number of processes share.

    The server's clock decides; instants are converted to ours as they pass. What a lost answer may have left behind is
    undone when the same process asks again, else by the job's lease.

    ``url`` is ``redis://``, ``rediss://`` (TLS, verified) or ``unix://``, with user and password of an ACL if any.
    ``retention`` is how long finished jobs are remembered, in microseconds, a second at least; a changed retention
    knows nothing of the jobs finished before.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        retention: int = 30 * DAY,
        horizon: int = HORIZON,
        server_clock: str = "",
        watch: Watch | None = None,
    ) -> None:
        """``horizon`` is how far ahead a call may be granted, in microseconds.

        ``server_clock`` is Lua that defines ``now_us()`` anew: for tests that move the server's time. ``watch``
        hears of each round trip.

        Raises:
          ConfigurationError: the URL can't be meant. Nothing is connected yet.
        """
        self._clock = clock
        # Periods of half the retention, of which three are kept: a job is remembered for one to one and a half times.
        self._keep = retention
        self._period = retention // 2
        self._horizon = horizon
        self._epochs = Epochs(clock)
        scripts = {name: _source(name, server_clock) for name in _SCRIPTS}
        self._server = Server(url, scripts, watch) if watch is not None else Server(url, scripts)

    def check(self) -> None:
        """See that the server can be relied on.

        Raises:
          StoreError: it is out of reach, or a replica.
          ConfigurationError: it turns us away, or may drop our keys when its memory is full.
        """
        self._server.check(f"{PREFIX}check")

    def close(self) -> None:
        """Send what is waiting and disconnect; whatever is asked after that is refused."""
        self._server.close()

    def submit(
        self,
        requests: Sequence[AdmitRequest],
        reply: Callable[[list[Reply] | StoreError], None],
        *,
        turn: bool,
        holds: int,
    ) -> None:
        """As :class:`worker.store.protocol.Store` says; ``reply`` runs in the store's thread."""
        asked_at = self._clock.now()
        first = requests[0]
        shop, limits, lease = first.shop, first.limits, first.lease + LEASE_MARGIN
        step = turn_of(limits.shop.interval, holds)
        keys = [self._shop_key(shop)]
        arguments: list[Any] = [
            self._prefix(shop),
            _INTEGERS.pack(
                self._period,
                self._horizon,
                GRANT_LIFETIME,
                lease,
                self._keep,
                turn,
                limits.shop.interval,
                limits.shop.burst,
                limits.shop_per_day,
                limits.customer.interval,
                limits.customer.burst,
                limits.customer_per_day,
                limits.resets_at,
                step,
                limits.adapts,
            ),
        ]
        epochs = [self._epochs.choose(request.job_id) for request in requests]
        for request, (epoch, _) in zip(requests, epochs, strict=True):
            keys += [self._customer_key(shop, request.customer), self._record_key(shop, request.job_id)]
            arguments += [_member(request.job_id), _token(epoch), _place(request, asked_at), _deadline(request)]

        def done(answer: Any) -> None:
            replies: list[Reply] | StoreError
            if isinstance(answer, StoreError):
                replies = answer
            else:
                try:
                    # What a turn can find, and one more that is told of the next turn in the same breath.
                    with _readable():
                        replies = _replies(answer, asked_at, self._clock.now(), step // limits.shop.interval + 1)
                except StoreError as error:
                    # Whoever asked holds room for these jobs until it is told.
                    replies = error
            for number, (request, (epoch, kept)) in enumerate(zip(requests, epochs, strict=True)):
                # A kept one stays kept after a refusal: the lost question may be slower than the one that was answered.
                lost = isinstance(replies, StoreError) or (
                    kept and not isinstance(replies[number], Grant | AlreadyAnswered)
                )
                if lost:
                    self._epochs.keep(request.job_id, epoch, self._horizon + GRANT_LIFETIME + lease)
            reply(replies)

        self._server.send("admit", keys, arguments, done)

    def admit(self, request: AdmitRequest) -> Reply:
        """Ask for one job and wait for the answer.

        Raises:
          StoreError: the store is out of reach.
        """
        future: Future[list[Reply] | StoreError] = Future()
        self.submit([request], future.set_result, turn=False, holds=1)
        replies = future.result()
        if isinstance(replies, StoreError):
            raise replies
        return replies[0]

    def answer(self, request: AdmitRequest, epoch: int, result: str) -> bool:
        keys, arguments = self._job(request, epoch)
        return bool(self._server.call("answer", keys, [*arguments, self._keep, result]))

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
        keys, arguments = self._job(request, epoch)
        wait = max(0, not_before - self._clock.now())
        arguments += [self._keep, wait, int(unknown), int(spent), elapsed]
        return bool(self._server.call("retry", keys, arguments))

    def release(self, request: AdmitRequest, epoch: int, *, called: bool, verified: bool = False) -> None:
        shop, limits = request.shop, request.limits
        keys = [
            self._record_key(request.shop, request.job_id),
            self._shop_key(shop),
            self._customer_key(shop, request.customer),
        ]
        has_customer = int(bool(request.customer) and not request.uncalled)
        rates = [limits.shop.interval, limits.customer.interval]
        arguments = [_token(epoch), int(called), self._keep, *rates, has_customer, int(verified)]
        self._server.call("release", keys, arguments)

    def take_read(self, request: AdmitRequest) -> int | None:
        limits = request.limits
        arguments = [limits.reads.interval, limits.reads.burst, limits.reads_per_day, limits.resets_at]
        answer = self._server.call("take_read", [self._reader_key(request.shop, request.customer)], arguments)
        with _readable():
            now, until = answer
            return until + self._clock.now() - now if until else None

    def settle(self, request: AdmitRequest, epoch: int, outcome: Outcome, code: str | None = None) -> None:
        """As :class:`worker.store.protocol.Store` says, without waiting; the outcome is kept as a count only."""

        def done(answer: Any) -> None:
            if isinstance(answer, StoreError):
                # The ledger still says answered: another copy would publish the result again and call nobody.
                log.warning("settle_failed", job_id=request.job_id, problem=str(answer))

        keys, arguments = self._job(request, epoch)
        self._server.send("settle", keys, [*arguments, request.campaign.encode(), counter_of(outcome, code)], done)

    def known(self, jobs: Sequence[tuple[str, str]]) -> list[Known | None]:
        of_shops: dict[str, list[int]] = {}
        for number, (shop, _) in enumerate(jobs):
            of_shops.setdefault(shop, []).append(number)
        asked: list[tuple[list[int], Future[Any]]] = []
        for shop, numbers in of_shops.items():
            for first in range(0, len(numbers), _MOST_LOOKED_UP):
                part = numbers[first : first + _MOST_LOOKED_UP]
                keys = [self._record_key(shop, jobs[number][1]) for number in part]
                members = [_member(jobs[number][1]) for number in part]
                future: Future[Any] = Future()
                self._server.send("known", keys, [self._prefix(shop), self._period, *members], future.set_result)
                asked.append((part, future))
        found: list[Known | None] = [None] * len(jobs)
        for part, future in asked:
            answer = future.result()
            if isinstance(answer, StoreError):
                raise answer
            for number, code in zip(part, answer, strict=True):
                found[number] = _KNOWN[code]
        return found

    def block(self, shop: str, customer: str | None, until: int) -> None:
        key = self._shop_key(shop) if customer is None else self._customer_key(shop, customer)
        self._server.call("block", [key], [max(0, until - self._clock.now())])

    def slow_down(self, request: AdmitRequest, granted_at: int) -> None:
        ago = max(0, self._clock.now() - granted_at)
        rate, resets_at = request.limits.shop, request.limits.resets_at
        self._server.call("slow_down", [self._shop_key(request.shop)], [rate.interval, ago, resets_at])

    def note(self, shop: str, closure: Closure | None) -> None:
        """As :class:`worker.store.protocol.Store` says, without waiting."""
        arguments: list[Any] = []
        if closure is not None:
            lasts = max(0, closure.until - self._clock.now())
            arguments = [closure.reason, closure.code, lasts, CLOSURE_OUTLIVES]

        def done(answer: Any) -> None:
            if isinstance(answer, StoreError):
                log.warning("note_failed", shop=shop, problem=str(answer))

        self._server.send("note", [self._note_key(shop)], arguments, done)

    def inspect(self, shop: str, limits: ShopLimits) -> ShopState:
        keys = [self._shop_key(shop), self._note_key(shop)]
        arguments = [limits.shop.interval, limits.resets_at, int(limits.adapts)]
        answer = self._server.call("inspect", keys, arguments)
        with _readable():
            return self._to_state(answer)

    def _to_state(self, answer: list[Any]) -> ShopState:
        now, interval, blocked_until, calls, *noted = answer
        at = self._clock.now()
        ahead = at - now
        closure = None
        if noted:
            until, reason, code = noted
            if now < until + CLOSURE_OUTLIVES:
                closure = Closure(reason.decode(), code.decode(), until + ahead)
        return ShopState(at, interval, blocked_until + ahead if blocked_until else 0, calls, closure)

    def watch(self, known: int, reply: Callable[[Controls | StoreError | None], None]) -> None:
        """As :class:`worker.store.protocol.Store` says; ``reply`` runs in the store's thread."""

        def done(answer: Any) -> None:
            match answer:
                case StoreError():
                    reply(answer)
                case [_, version] if version == known:
                    reply(None)
                case _:
                    news: Controls | StoreError
                    try:
                        news = self._to_controls(answer)
                    except StoreError as error:
                        # Whoever looks lets no call start until it has heard.
                        news = error
                    reply(news)

        self._server.send("watch", _WATCH_KEYS, [known], done)

    def controls(self) -> Controls:
        return self._to_controls(self._server.call("watch", _WATCH_KEYS, [-1]))

    def pause(self, shop: str, reason: str) -> Controls:
        return self._control("pause", shop, reason)

    def resume(self, shop: str) -> Controls:
        return self._control("resume", shop)

    def limit(self, shop: str, interval: int, reason: str, until: int) -> Controls:
        return self._control("limit", shop, interval, reason, max(0, until - self._clock.now()))

    def unlimit(self, shop: str) -> Controls:
        return self._control("unlimit", shop)

    def cancel(self, campaign: str, shop: str) -> Controls:
        return self._control("cancel", campaign, shop, max(CANCELLED_FOR, self._keep))

    def restore(self, campaign: str, shop: str) -> Controls:
        return self._control("restore", campaign, shop)

    def _control(self, *arguments: str | int) -> Controls:
        return self._to_controls(self._server.call("control", [_CONTROLS_KEY], arguments))

    def _to_controls(self, answer: list[Any]) -> Controls:
        with _readable():
            now, version, pauses, cancelled, limits = answer
            ahead = self._clock.now() - now
            return Controls(
                version,
                {shop.decode(): Pause(reason.decode(), since + ahead) for shop, reason, since in pauses},
                {(campaign.decode(), shop.decode()): until + ahead for campaign, shop, until in cancelled},
                {
                    shop.decode(): RateLimit(interval, reason.decode(), since + ahead, until + ahead)
                    for shop, interval, reason, since, until in limits
                },
            )

    def tally(
        self, shop: str, campaign: str, counts: Mapping[str, int], *, lost: Callable[[StoreError], None] | None = None
    ) -> None:
        """As :class:`worker.store.protocol.Store` says, without waiting."""
        arguments: list[Any] = [self._prefix(shop), self._keep + self._period, campaign.encode()]
        for counter, number in counts.items():
            arguments += [counter, number]

        def done(answer: Any) -> None:
            if isinstance(answer, StoreError) and lost is not None:
                lost(answer)
            elif isinstance(answer, StoreError):
                log.warning("tally_failed", shop=shop, problem=str(answer))

        self._server.send("tally", [self._campaigns_key(shop)], arguments, done)

    def tallies(self, shop: str) -> dict[str, dict[str, int]]:
        """As :class:`worker.store.protocol.Store` says, in pages: a script holds up every worker while it runs."""
        told: dict[str, dict[str, int]] = {}
        cursor = b"0"
        while True:
            arguments = [self._prefix(shop), cursor, _PAGE]
            answer = self._server.call("tallied", [self._campaigns_key(shop)], arguments)
            with _readable():
                cursor, *page = answer
                for campaign, counters in page:
                    pairs = zip(counters[::2], counters[1::2], strict=True)
                    told[campaign.decode()] = {counter.decode(): int(number) for counter, number in pairs}
            if cursor == b"0":
                return told

    def _job(self, request: AdmitRequest, epoch: int) -> tuple[list[bytes], list[Any]]:
        key, member = self._record_key(request.shop, request.job_id), _member(request.job_id)
        return [key], [self._prefix(request.shop), self._period, member, _token(epoch)]

    @staticmethod
    def _prefix(shop: str) -> bytes:
        # The braces keep a shop's keys together on a cluster.
        return f"{PREFIX}{{{shop}}}:".encode()

    def _shop_key(self, shop: str) -> bytes:
        return self._prefix(shop) + b"s"

    def _note_key(self, shop: str) -> bytes:
        return self._prefix(shop) + b"g"

    def _campaigns_key(self, shop: str) -> bytes:
        return self._prefix(shop) + b"k"

    def _record_key(self, shop: str, job_id: str) -> bytes:
        # 96 bits: among a thousand million jobs of a shop two collide with a probability of 1 in 10^11.
        return self._prefix(shop) + b"j:" + job_id[8:].encode()

    def _customer_key(self, shop: str, customer: str) -> bytes:
        return self._prefix(shop) + b"c:" + _hashed(customer)

    def _reader_key(self, shop: str, customer: str) -> bytes:
        return self._prefix(shop) + b"r:" + _hashed(customer)


@contextmanager
def _readable() -> Iterator[None]:
    # Whoever can write to the server can put anything under our keys, and scripts pass on what they find.
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, AssertionError) as error:
        raise StoreError(f"the store's answer can't be read: {type(error).__name__}") from error


def _hashed(customer: str) -> bytes:
    # An address is not to be read in a key, and it may be long.
    return hashlib.blake2b(customer.encode(), digest_size=12).digest()


def _replies(answer: list[Any], asked_at: int, answered_at: int, batch: int) -> list[Reply]:
    # From the server's clock to ours. Its time lies between our question and its answer here: what may not be too early
    # is counted from the latter, and what may not be too late from the former.
    server_now = answer[0]
    latest, earliest = answered_at - server_now, asked_at - server_now
    return [_reply(item, latest, earliest, batch) for item in answer[1:]]


def _reply(item: list[Any], latest: int, earliest: int, batch: int) -> Reply:
    match item:
        case [1, epoch, start_at, start_by, attempts, takeovers, unknowns, elapsed, overtaken, calls]:
            return Grant(
                int.from_bytes(epoch),
                start_at + latest,
                start_by + earliest,
                attempts,
                takeovers,
                unknowns,
                elapsed,
                overtaken=bool(overtaken),
                calls_today=calls,
            )
        case [2, until, reason, interval]:
            by_rate = _REASONS[reason] == "rate"
            return ShopClosed(until + latest, _REASONS[reason], batch if by_rate else 1, interval if by_rate else 0)
        case [3, scope, until]:
            return Wait("customer" if scope == 1 else "job", until + latest)
        case [4, _, None]:
            return AlreadyAnswered(epoch=0, result=None)
        case [4, epoch, result]:
            return AlreadyAnswered(int.from_bytes(epoch), result.decode())
        case _:
            raise AssertionError("a script's reply has a form that only another version of it could give")


def _member(job_id: str) -> int:
    # Redis keeps whole numbers of 64 bits in 8 bytes. Which of the sets a job is in is told by other bits.
    return int(job_id[16:], 16) - (1 << 63)


def _deadline(request: AdmitRequest) -> int:
    # A campaign is cancelled for every copy, whatever its deadline.
    return NO_DEADLINE if request.uncalled == "cancelled" else request.deadline


def _place(request: AdmitRequest, now: int) -> int | bytes:
    if request.uncalled:
        return b"free"
    if not request.customer:
        return b"nobody"
    return b"none" if request.place_in_line is None else request.place_in_line - now


def _token(epoch: int) -> bytes:
    # Scripts only compare epochs.
    return epoch.to_bytes(8)


def _source(name: str, server_clock: str) -> str:
    folder = resources.files("worker.store.redis") / "lua"
    keys, *parts = [(folder / f"{part}.lua").read_text() for part in ("keys", *_SCRIPTS[name], name)]
    return "\n".join([keys, server_clock, *parts])
