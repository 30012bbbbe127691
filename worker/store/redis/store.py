"""Limits and ledger in Redis."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import structlog

from worker.clock import Clock
from worker.errors import StoreError
from worker.instants import DAY
from worker.limits.token_bucket import ShopLimits
from worker.model.outcomes import Outcome
from worker.model.suppression import NO_KEY
from worker.store.braking import Braking, braked_reason, code_counted
from worker.store.counting import counter_of
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, Known, Reply
from worker.store.redis.arguments import admit_call
from worker.store.redis.client import Server, Watch
from worker.store.redis.controls import RedisControls
from worker.store.redis.epochs import Epochs
from worker.store.redis.keys import (
    CLOSED_WORKERS_KEY,
    PREFIX,
    closure_key,
    customer_key,
    member,
    pace_key,
    prefix,
    reader_key,
    record_key,
    results_key,
    shop_key,
    token,
)
from worker.store.redis.replies import KNOWN, read_replies, read_state, readable
from worker.store.redis.scripts import sources
from worker.store.redis.tallies import RedisTallies
from worker.store.shop_state import Closure, ShopState
from worker.store.timing import CLOSED_WORKER_KEPT, CLOSURE_OUTLIVES, GRANT_LIFETIME, HORIZON

_MOST_LOOKED_UP = 200
"""Jobs in one look-up: some 5 us each, so that the server is kept from others for a millisecond."""

log = structlog.get_logger(__name__)


class RedisStore(RedisControls, RedisTallies):
    """Limits and ledger that any number of processes share.

    The server's clock decides; instants are converted to ours as they pass. What a lost reply may have left behind is
    undone when the same process asks again, or else by the job's lease.

    One thread, ``store``, speaks to the server; methods may be called on any. Callbacks run on that thread and must not
    block it: every other caller's reply waits behind them.
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
        address_key: bytes = NO_KEY,
    ) -> None:
        """``url`` is ``redis://``, ``rediss://`` (TLS, verified) or ``unix://``, with an ACL's user and password.

        ``retention`` is how long finished jobs are remembered, in microseconds, a second at least; with another one the
        jobs finished before are unknown. ``horizon`` is how many microseconds ahead a call may be granted.
        ``server_clock`` as in :func:`worker.store.redis.scripts.sources`. ``watch`` is called after each round trip.
        ``address_key`` is the fingerprint of the key by which requests' addresses are hashed.

        Raises:
          ConfigurationError: no address can be read from the URL. Nothing is connected yet.
        """
        scripts = sources(server_clock)
        server = Server(url, scripts, watch) if watch is not None else Server(url, scripts)
        # Periods of half the retention, of which three are kept: a job is remembered for one to one and a half times.
        self._period = retention // 2
        RedisControls.__init__(self, server, clock, retention, address_key)
        # Counters are kept as long as any job that they count may be known.
        RedisTallies.__init__(self, server, retention + self._period)
        self._horizon = horizon
        self._epochs = Epochs(clock)

    def check(self) -> None:
        """Check that the server can be relied on.

        Raises:
          StoreError: it is out of reach, or a replica.
          ConfigurationError: it refuses us, or may drop our keys when its memory is full.
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
        """As :class:`worker.store.protocol.AdmissionStore` says; ``reply`` runs on the store's thread."""
        asked_at = self._clock.now()
        # A kept epoch takes back the grant whose reply was lost; the ledger then counts no attempt for it.
        epochs = [self._epochs.choose(request.job_id) for request in requests]
        call = admit_call(
            requests,
            [epoch for epoch, _ in epochs],
            asked_at,
            turn=turn,
            holds=holds,
            period=self._period,
            horizon=self._horizon,
            keep=self._keep,
            listed=self._listed,
            address_key=self._address_key,
        )

        def done(answer: Any) -> None:
            replies: list[Reply] | StoreError
            if isinstance(answer, StoreError):
                replies = answer
            else:
                try:
                    with readable:
                        replies = read_replies(answer, asked_at, self._clock.now(), call.batch)
                except StoreError as error:
                    # The caller holds room for these jobs until it has a reply, so an unreadable one is a reply too.
                    replies = error
            for number, (request, (epoch, kept)) in enumerate(zip(requests, epochs, strict=True)):
                # A kept epoch stays kept after a refusal: the request whose reply was lost may be slower than this one.
                lost = isinstance(replies, StoreError) or (
                    kept and not isinstance(replies[number], Grant | AlreadyAnswered)
                )
                if lost:
                    # For as long as such a grant can hold the job: until the latest start, and its lease from there.
                    self._epochs.keep(request.job_id, epoch, self._horizon + GRANT_LIFETIME + call.lease)
            reply(replies)

        self._server.send("admit", call.keys, call.arguments, done)

    def admit(self, request: AdmitRequest) -> Reply:
        """Ask for one job and wait for the reply.

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
        # As a duration, like all that follow: the server's clock may differ from ours by any amount.
        wait = max(0, not_before - self._clock.now())
        arguments += [self._keep, wait, int(unknown), int(spent), elapsed]
        return bool(self._server.call("retry", keys, arguments))

    def release(self, request: AdmitRequest, epoch: int, *, called: bool, verified: bool = False) -> None:
        shop, limits = request.shop, request.limits
        keys = [record_key(shop, request.job_id), shop_key(shop), customer_key(shop, request.customer)]
        if request.pace is not None:
            keys.append(pace_key(shop, request.campaign))
        # The record says what was charged. Only records of an older version don't, and take today's rates for it.
        has_customer = int(bool(request.customer) and not request.uncalled)
        rates = [limits.shop.interval, limits.customer.interval]
        arguments = [token(epoch), int(called), self._keep, *rates, has_customer, int(verified), int(request.urgent)]
        self._server.call("release", keys, arguments)

    def take_read(self, request: AdmitRequest) -> int | None:
        limits = request.limits
        arguments = [limits.reads.interval, limits.reads.burst, limits.reads_per_day, limits.resets_at]
        answer = self._server.call("take_read", [reader_key(request.shop, request.customer)], arguments)
        with readable:
            now, until = answer
            return until + self._clock.now() - now if until else None

    def settle(
        self,
        request: AdmitRequest,
        epoch: int,
        outcome: Outcome,
        code: str | None = None,
        *,
        braking: Braking | None = None,
    ) -> None:
        """As :class:`worker.store.protocol.AdmissionStore` says. A called job's outcome is kept as a count only."""

        def done(answer: Any) -> None:
            if isinstance(answer, StoreError):
                # The record stays answered: another copy would publish the result again without a call.
                log.warning("settle_failed", job_id=request.job_id, problem=str(answer))
            elif braking is not None and answer is not None:
                bad, leading, of_code = answer
                reason = braked_reason(bad, braking.brake.window, leading.decode(), of_code)
                self.brake_campaign(request.campaign, request.shop, braking, reason)

        keys, arguments = self._job(request, epoch)
        arguments += [request.campaign.encode(), counter_of(outcome, code)]
        if braking is not None and (counted := code_counted(outcome, code)) is not None:
            brake = braking.brake
            keys.append(results_key(request.shop, request.campaign))
            arguments += [brake.share, brake.window, brake.armed, counted]
        self._server.send("settle", keys, arguments, done)

    def known(self, jobs: Sequence[tuple[str, str]]) -> list[Known | None]:
        of_shops: dict[str, list[int]] = {}
        for number, (shop, _) in enumerate(jobs):
            of_shops.setdefault(shop, []).append(number)
        # All are sent before the first reply is awaited, so that they share a few round trips.
        asked: list[tuple[list[int], Future[Any]]] = []
        for shop, numbers in of_shops.items():
            for first in range(0, len(numbers), _MOST_LOOKED_UP):
                part = numbers[first : first + _MOST_LOOKED_UP]
                keys = [record_key(shop, jobs[number][1]) for number in part]
                members = [member(jobs[number][1]) for number in part]
                future: Future[Any] = Future()
                self._server.send("known", keys, [prefix(shop), self._period, *members], future.set_result)
                asked.append((part, future))
        found: list[Known | None] = [None] * len(jobs)
        for part, future in asked:
            answer = future.result()
            if isinstance(answer, StoreError):
                raise answer
            for number, code in zip(part, answer, strict=True):
                found[number] = KNOWN[code]
        return found

    def block(self, shop: str, customer: str | None, until: int) -> None:
        key = shop_key(shop) if customer is None else customer_key(shop, customer)
        self._server.call("block", [key], [max(0, until - self._clock.now())])

    def slow_down(self, request: AdmitRequest, granted_at: int) -> None:
        # The script compares it with the last fall on the server's clock.
        ago = max(0, self._clock.now() - granted_at)
        rate, resets_at = request.limits.shop, request.limits.resets_at
        self._server.call("slow_down", [shop_key(request.shop)], [rate.interval, ago, resets_at])

    def note(self, shop: str, closure: Closure | None) -> None:
        """As :class:`worker.store.protocol.ShopStateStore` says, without waiting."""
        arguments: list[Any] = []
        if closure is not None:
            lasts = max(0, closure.until - self._clock.now())
            arguments = [closure.reason, closure.code, lasts, CLOSURE_OUTLIVES]

        def done(answer: Any) -> None:
            if isinstance(answer, StoreError):
                log.warning("note_failed", shop=shop, problem=str(answer))

        self._server.send("note", [closure_key(shop)], arguments, done)

    def inspect(self, shop: str, limits: ShopLimits, campaign: str = "") -> ShopState:
        arguments = [limits.shop.interval, limits.resets_at, int(limits.adapts)]
        keys = [shop_key(shop), closure_key(shop), pace_key(shop, campaign)]
        answer = self._server.call("inspect", keys, arguments)
        return read_state(answer, self._clock.now())

    def note_closed(self, worker: str, reason: str) -> None:
        """As :class:`worker.store.protocol.ShopStateStore` says. A lost one is repeated within a second."""
        arguments = [CLOSED_WORKER_KEPT, worker, reason]
        self._server.send("closed", [CLOSED_WORKERS_KEY], arguments, lambda _: None)

    def closed_workers(self) -> dict[str, str]:
        answer = self._server.call("closed", [CLOSED_WORKERS_KEY], [])
        with readable:
            return {worker.decode(): reason.decode() for worker, reason, _ in answer}

    def _job(self, request: AdmitRequest, epoch: int) -> tuple[list[bytes], list[Any]]:
        # What the scripts share that end a grant.
        shop, job_id = request.shop, request.job_id
        return [record_key(shop, job_id)], [prefix(shop), self._period, member(job_id), token(epoch)]
