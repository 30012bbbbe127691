"""The use case: one granted job, one call, one disposition."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from worker.backoff import doubling_pause
from worker.clock import Clock
from worker.errors import StoreError
from worker.instants import DAY, SECOND, from_datetime, to_datetime
from worker.model.dispositions import Disposition, Fenced, Finish, GiveBack, Later
from worker.model.job import Job, is_expired
from worker.model.result import Outcome, Result
from worker.model.verdicts import (
    Found,
    Halted,
    Missing,
    Reading,
    Refused,
    Rejected,
    Retry,
    Sent,
    Throttled,
    Unknown,
    Verdict,
)
from worker.shops.config import ShopConfig
from worker.store.protocol import AdmissionStore, AdmitRequest, Grant
from worker.store.timing import GRANT_LIFETIME, LEASE_MARGIN
from worker.telemetry.metrics.process import Metrics

DEFAULT_THROTTLE = SECOND
"""How long a 429 without a readable ``Retry-After`` blocks; the vendor's shortest window is a second."""

RETRY_BASE = 2 * SECOND
RETRY_CAP = 300 * SECOND
"""Bounds of the wait before a repeated call; an outage of five minutes is seen through in eight attempts."""

VERIFY_AFTER = 10 * SECOND
"""How soon after a lost answer the customer's referrals are read at the earliest: a call that was cut off may still be
held back (by up to 5 s) and carried out after that."""

STORE_PAUSE = SECOND // 2
"""How long a store that was out of reach is left alone before an outcome is offered to it again."""

LONGEST_WAIT = 30 * DAY
"""From a job's publication to its call, as the metrics tell it; a producer that says more is hardly right."""

LONGEST_OF_A_PACE = 60 * SECOND
"""A shop's 429 that asks for a longer wait speaks of a day's quota, not of its pace."""


T = TypeVar("T")


class Dispatcher:
    """Calls Refer2 for granted jobs. Safe to use from many threads.

    ``shop_of`` looks a shop up, ``refer`` makes the call and ``read_back`` looks for the job's referral (each may block
    for the longest call that a lease allows for), ``stopping`` tells that no call may start any more, ``random`` (0 to
    1) spreads repeats, ``sleep`` (seconds) waits for a store that is out of reach.
    """

    def __init__(
        self,
        *,
        shop_of: Callable[[str], ShopConfig | None],
        refer: Callable[[ShopConfig, Job], Verdict],
        read_back: Callable[[ShopConfig, Job], Reading],
        store: AdmissionStore,
        clock: Clock,
        metrics: Metrics,
        stopping: Callable[[], bool],
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shop_of = shop_of
        self._refer = refer
        self._read_back = read_back
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._stopping = stopping
        self._random = random
        self._sleep = sleep

    def dispatch(
        self,
        job: Job,
        request: AdmitRequest,
        grant: Grant,
        *,
        probing: bool = False,
        paused: bool = False,
        ends_if_refused: bool = False,
        waits_alone: bool = False,
    ) -> Disposition:
        """Make the call that the grant allows, or find out first what became of an earlier one; record the outcome.

        ``probing`` says that the upstream has failed for everybody and this call only finds out whether it still does:
        it spends an attempt of the job's only where it may have been carried out. ``paused`` says that nothing of its
        shop may be asked for either, so that a job that ends without a call ends by what is known. ``ends_if_refused``
        says that the job was refused before while others were not, so that refused again it has failed; ``waits_alone``
        the same of a 429, which then holds back nobody but its customer. What the disposition says has still to be
        carried out; the ledger already knows it, so that whoever meets the job again carries on from there.

        Raises:
          worker.errors.StoreError: the outcome could not be recorded; the ledger's lease decides who goes on.
        """
        called_at = self._clock.now()
        shop = self._shop_of(job.shop)
        if self._stopping() or called_at > grant.start_by or shop is None:
            return self._give_back(request, grant)
        if grant.unknowns and _verifies(shop, request) and not (paused and request.uncalled):
            # Also for a job that ends without a call: a read does nothing, and tells how it has ended.
            return self._verify(shop, job, request, grant, probing=probing, ends_if_refused=ends_if_refused)
        if request.uncalled is not None:
            return self._finish(job, request, grant, request.uncalled)
        if is_expired(job, called_at + self._clock.ahead()):
            # Since it was granted its call: whether the job ends by this copy's deadline is for the ledger to say.
            return self._give_back(request, grant)
        if grant.unknowns and shop.on_unknown == "report":
            return self._finish(job, request, grant, "unknown", code="interrupted")
        if grant.attempts > shop.max_attempts or grant.elapsed > shop.max_elapsed:
            return self._exhausted(job, request, grant)

        if grant.attempts == 1 and job.published_at is not None:
            waited = called_at + self._clock.ahead() - from_datetime(job.published_at)
            # A producer's clock may be wrong, or its word: one job of 1970 would spoil the sum for ever.
            self._metrics.publish_to_call.observe(min(max(0, waited), LONGEST_WAIT) / SECOND)
        with self._metrics.calling(job.shop):
            verdict = self._refer(shop, job)
        answered_at = self._clock.now()
        try:
            return self._conclude(
                shop,
                job,
                request,
                grant,
                verdict,
                called_at,
                probing=probing,
                ends_if_refused=ends_if_refused,
                waits_alone=waits_alone,
            )
        finally:
            # Only now: counting can fail too, and must not cost an answer.
            if not (isinstance(verdict, Rejected) and verdict.status is None):
                self._metrics.answered(job.shop, verdict, (answered_at - called_at) / SECOND)

    def _conclude(
        self,
        shop: ShopConfig,
        job: Job,
        request: AdmitRequest,
        grant: Grant,
        verdict: Verdict,
        called_at: int,
        *,
        probing: bool,
        ends_if_refused: bool,
        waits_alone: bool,
    ) -> Disposition:
        match verdict:
            case Sent():
                return self._finish(job, request, grant, "sent", verdict=verdict, called_at=called_at)
            case Rejected():
                return self._finish(job, request, grant, "rejected", verdict=verdict, called_at=called_at)
            case Throttled():
                return self._throttled(request, grant, verdict, alone=waits_alone)
            case Refused() | Halted(every_shop=False) if ends_if_refused:
                return self._finish(job, request, grant, "failed", verdict=verdict, called_at=called_at)
            case Halted() | Refused() | Retry(status=None):
                # A job that never got there can't be the reason: the shop's breaker decides when to try again.
                self._release(request, grant, called=True)
                return GiveBack(grant.epoch, verdict=verdict)
            case Unknown() if _verifies(shop, request):
                # Also after the last attempt: there is still something to find out.
                wait = VERIFY_AFTER + self._wait(grant)
                return self._later(request, grant, verdict, called_at, wait=wait, spent=True)
            case Unknown() if shop.on_unknown == "report":
                return self._finish(job, request, grant, "unknown", verdict=verdict, called_at=called_at)
            case Retry() | Unknown():
                again = self._again(shop, request, grant, verdict, called_at, most=shop.max_attempts, probing=probing)
                outcome: Outcome = "unknown" if isinstance(verdict, Unknown) else "failed"
                return again or self._finish(job, request, grant, outcome, verdict=verdict, called_at=called_at)

    def _verify(
        self, shop: ShopConfig, job: Job, request: AdmitRequest, grant: Grant, *, probing: bool, ends_if_refused: bool
    ) -> Disposition:
        # One exchange for each grant, so that neither its lease nor its start has to allow for two: what is not there
        # is released as a plain repeat, whose next grant is for the call.
        now = self._clock.now()
        until = self._insist(request, grant, lambda: self._store.take_read(request))
        if until is not None:
            self._release(request, grant, called=False)
            return GiveBack(grant.epoch, scope="customer", until=until)
        reading = self._read_back(shop, job)
        self._metrics.verified(reading)
        match reading:
            case Found():
                return self._finish(job, request, grant, "sent", found=reading)
            case Missing():
                self._release(request, grant, called=False, verified=True)
                return GiveBack(grant.epoch, verified=True)
            case Rejected():
                # Another read would be refused alike, and this one doesn't tell.
                return self._finish(job, request, grant, "unknown", code=reading.code)
            case Throttled(retry_after=wait):
                self._release(request, grant, called=False)
                return GiveBack(grant.epoch, scope="customer", until=self._clock.now() + (wait or DEFAULT_THROTTLE))
            case Halted() if ends_if_refused:
                # The token may call, and not read.
                return self._finish(job, request, grant, "unknown", code=reading.code)
            case Halted():
                # Away from the head of the shop's line: where a token may call and not read, the others go on.
                wait = RETRY_CAP // 2 + self._wait(grant)
                return self._later(request, grant, reading, now, wait=wait, spent=False)
            case Refused(status=status, code=code) | Unknown(status=status, code=code):
                # A read does nothing, so what became of it doesn't matter.
                return self._read_failed(shop, job, request, grant, Retry(status, code), now, probing=probing)
            case Retry(status=None):
                return self._later(request, grant, reading, now, wait=self._wait(grant), spent=False)
            case Retry():
                return self._read_failed(shop, job, request, grant, reading, now, probing=probing)

    def _read_failed(
        self,
        shop: ShopConfig,
        job: Job,
        request: AdmitRequest,
        grant: Grant,
        verdict: Retry,
        began_at: int,
        *,
        probing: bool,
    ) -> Disposition:
        # An attempt, like a call that failed; of twice as many, so that the last call's outcome gets its turns too.
        again = self._again(shop, request, grant, verdict, began_at, most=2 * shop.max_attempts, probing=probing)
        return again or self._finish(job, request, grant, "unknown", code="unverified")

    def _exhausted(self, job: Job, request: AdmitRequest, grant: Grant) -> Disposition:
        # Calls that were lost without a trace may have used up the attempts; those that were verified had no effect.
        if grant.unknowns:
            return self._finish(job, request, grant, "unknown", code="interrupted")
        return self._finish(job, request, grant, "failed", code="unanswered")

    def _give_back(self, request: AdmitRequest, grant: Grant) -> GiveBack:
        self._release(request, grant, called=False)
        return GiveBack(grant.epoch)

    def _release(self, request: AdmitRequest, grant: Grant, *, called: bool, verified: bool = False) -> None:
        # A grant that its lease takes back counts as a call whose outcome nobody knows.
        self._insist(
            request, grant, lambda: self._store.release(request, grant.epoch, called=called, verified=verified)
        )

    def _throttled(self, request: AdmitRequest, grant: Grant, verdict: Throttled, *, alone: bool) -> GiveBack:
        # Where the answer doesn't tell whose limit it was, blocking the customer is the smaller mistake; a shop's
        # limit then answers 429 to the next customer too.
        wait = verdict.retry_after or DEFAULT_THROTTLE
        until = self._clock.now() + wait
        scope = verdict.scope or ("customer" if request.customer else "shop")
        if alone and request.customer:
            scope = "customer"
        # This process keeps to it in any case.
        with suppress(StoreError):
            if scope == "shop" and wait <= LONGEST_OF_A_PACE and request.limits.adapts:
                # Booked up to so long ahead, perhaps before an earlier refusal: that fall has allowed for it already.
                self._store.slow_down(request, grant.start_at - GRANT_LIFETIME)
            self._store.block(request.shop, request.customer if scope == "customer" else None, until)
        self._release(request, grant, called=True)
        return GiveBack(grant.epoch, scope=scope, until=until, verdict=verdict)

    def _again(
        self,
        shop: ShopConfig,
        request: AdmitRequest,
        grant: Grant,
        verdict: Retry | Unknown,
        began_at: int,
        *,
        most: int,
        probing: bool,
    ) -> Later | Fenced | None:
        # None once the attempts (``most``) or the time are used up.
        wait = self._wait(grant)
        elapsed = grant.elapsed + self._clock.now() + wait - began_at
        # A call that may have been carried out counts also where it only probed, or an outage would repeat it for ever.
        spent = not probing or isinstance(verdict, Unknown)
        if spent and (grant.attempts >= most or elapsed > shop.max_elapsed):
            return None
        return self._later(request, grant, verdict, began_at, wait=wait, spent=spent)

    def _wait(self, grant: Grant) -> int:
        # Full jitter: after an outage the repeats of a whole campaign must not come back at one instant.
        return int(doubling_pause(grant.attempts, RETRY_BASE, RETRY_CAP) * self._random())

    def _later(
        self,
        request: AdmitRequest,
        grant: Grant,
        verdict: Halted | Retry | Unknown,
        began_at: int,
        *,
        wait: int,
        spent: bool,
    ) -> Later | Fenced:
        not_before = self._clock.now() + wait
        elapsed = grant.elapsed + (not_before - began_at if spent else 0)
        unknown = isinstance(verdict, Unknown)
        recorded = self._insist(
            request,
            grant,
            lambda: self._store.retry(request, grant.epoch, not_before, unknown=unknown, spent=spent, elapsed=elapsed),
        )
        if not recorded:
            return Fenced(verdict)
        self._metrics.repeated(verdict)
        return Later(grant.epoch, not_before, verdict, spent=spent, elapsed=elapsed)

    def _insist(self, request: AdmitRequest, grant: Grant, record: Callable[[], T]) -> T:
        # What the ledger doesn't hear would count as a call of unknown outcome once its lease is over, and be made
        # again; so the lease is used to the end.
        # What was recorded unheard is refused the second time; the job's message then finds it in the ledger.
        lease_ends = grant.start_by + request.lease + LEASE_MARGIN
        while True:
            try:
                return record()
            except StoreError:
                if self._clock.now() + STORE_PAUSE >= lease_ends:
                    raise
            self._sleep(STORE_PAUSE / SECOND)

    def _finish(
        self,
        job: Job,
        request: AdmitRequest,
        grant: Grant,
        outcome: Outcome,
        *,
        code: str | None = None,
        verdict: Verdict | None = None,
        found: Found | None = None,
        called_at: int | None = None,
    ) -> Disposition:
        if grant.unknowns and outcome in ("failed", "expired", "cancelled"):
            # This call was not carried out, but an earlier one may have been.
            outcome, code = "unknown", code or "interrupted"
        finished_at = self._clock.now()
        # The same for both, so that a clock that was put back meanwhile doesn't end a call before it began.
        ahead = self._clock.ahead()
        answer = verdict if isinstance(verdict, Sent) else None
        told = verdict or found
        if verdict is not None and not isinstance(verdict, Sent):
            code = verdict.code
        result = Result(
            job_id=job.job_id,
            campaign=job.campaign,
            shop=job.shop,
            run=job.run,
            line=job.line,
            reference=job.reference,
            customer=job.customer,
            channel=job.channel,
            destination=job.destination,
            sender=job.sender,
            outcome=outcome,
            code=code,
            status=told.status if told is not None else None,
            message=getattr(verdict, "message", None),
            referral=dict(told.referral) if isinstance(told, Sent | Found) else None,
            share_action=answer.share_action if answer else None,
            # Without a call this time, the attempt that the grant counted was not made.
            attempts=grant.attempts if called_at is not None else grant.attempts - 1,
            published_at=job.published_at,
            called_at=to_datetime(called_at + ahead) if called_at is not None else None,
            finished_at=to_datetime(finished_at + ahead),
            latency_seconds=(finished_at - called_at) / SECOND if called_at is not None else None,
        )
        body = result.to_json()
        if not self._insist(request, grant, lambda: self._store.answer(request, grant.epoch, body)):
            return Fenced(verdict) if verdict is not None else GiveBack(grant.epoch)
        self._metrics.finished(job.shop, outcome)
        return Finish(grant.epoch, body, outcome, code, result.share_action is not None, verdict)


def _verifies(shop: ShopConfig, request: AdmitRequest) -> bool:
    # Refer2 refuses a job that names no customer, however often it is called, and there is nobody to ask about.
    return shop.on_unknown == "verify" and bool(request.customer)
