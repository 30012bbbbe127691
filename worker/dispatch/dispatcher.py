"""The dispatcher: checks a grant, makes the call, and turns its verdict into a disposition."""

import random
import time
from collections.abc import Callable
from contextlib import suppress

from worker.clock import Clock
from worker.dispatch.granted import GrantedJob
from worker.dispatch.recorder import Recorder
from worker.dispatch.verification import DEFAULT_THROTTLE, VERIFY_AFTER, Verifier
from worker.errors import StoreError
from worker.instants import DAY, SECOND, from_datetime
from worker.model.dispositions import Disposition, Return
from worker.model.job import Job, is_expired
from worker.model.outcomes import Outcome
from worker.model.verdicts import Halted, Reading, Refused, Rejected, Retry, Sent, Throttled, Unknown, Verdict
from worker.shops.config import ShopConfig
from worker.store.protocol import AdmissionStore, AdmitRequest, Grant
from worker.store.timing import GRANT_LIFETIME
from worker.telemetry.metrics.process import Metrics

LONGEST_WAIT = 30 * DAY
"""The longest time from publication to call that the metrics take; a producer that states more has a wrong clock."""

LONGEST_OF_A_PACE = 60 * SECOND
"""A shop's 429 that asks for a longer wait is about a day's quota, not about its pace."""


class Dispatcher:
    """Calls Refer2 for granted jobs. Safe to use from many threads; each call runs on its worker thread.

    ``shop_of`` looks a shop up, ``refer`` makes the call and ``read_back`` looks for the job's referral (each may block
    for the longest call that a lease allows for). ``stopping`` says whether the process drains, so that no call may
    start any more. ``random`` (0 to 1) spreads repeats, and ``sleep`` (seconds) waits for a store that is out of reach.
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
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._stopping = stopping
        self._recorder = Recorder(store=store, clock=clock, metrics=metrics, random=random, sleep=sleep)
        self._verifier = Verifier(
            recorder=self._recorder, read_back=read_back, store=store, clock=clock, metrics=metrics
        )

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

        Blocks for the longest call, and for the rest of the lease while the store is out of reach. The ledger knows the
        outcome when this returns; the caller still has to carry the disposition out. A worker that dies before it does
        leaves a job that the next worker continues from the ledger.

        ``probing``: the upstream fails for everybody, and this call only finds out whether it still does. It spends an
        attempt of the job's only where it may have been carried out.
        ``paused``: nothing may be asked of the shop at all, so a job that ends without a call ends by what is known.
        ``ends_if_refused``: the job was refused before while others were not, so one more refusal fails it.
        ``waits_alone``: the job was answered 429 before while others were not, so a 429 now blocks only its customer.

        Raises:
          worker.errors.StoreError: the outcome could not be recorded. Whoever meets the job after its lease takes over.
        """
        called_at = self._clock.now()
        shop = self._shop_of(job.shop)
        if shop is None or self._stopping() or called_at > grant.start_by:
            # A late start would bunch calls up against the vendor's window, and could outlast the lease.
            return self._recorder.return_unused(request, grant)
        granted = GrantedJob(job, shop, request, grant, probing, ends_if_refused, waits_alone)
        if grant.unknowns and granted.verifies and not (paused and request.uncalled):
            # Also for a job that ends without a call: a read changes nothing, and shows whether it ended as sent.
            return self._verifier.verify(granted)
        if request.uncalled is not None:
            return self._recorder.finish(granted, request.uncalled, code="suppressed" if grant.suppressed else None)
        if is_expired(job, called_at + self._clock.ahead()):
            # The deadline has passed since the grant. Other copies may have a later one, which only the ledger knows:
            # the job asks again and ends, or doesn't, by its answer.
            return self._recorder.return_unused(request, grant)
        if grant.unknowns and shop.on_unknown == "report":
            return self._recorder.finish(granted, "unknown", code="interrupted")
        if grant.attempts > shop.max_attempts or grant.elapsed > shop.max_elapsed:
            # Calls that were lost without a trace may have used the attempts up; verified ones had no effect.
            return (
                self._recorder.finish(granted, "unknown", code="interrupted")
                if grant.unknowns
                else self._recorder.finish(granted, "failed", code="unanswered")
            )
        window = shop.window_of(job)
        if window is not None and not window.is_open(called_at + self._clock.ahead()):
            # It has closed since the grant: the job asks again, and then waits for the next opening.
            return self._recorder.return_unused(request, grant)
        return self._call(granted, called_at)

    def _call(self, granted: GrantedJob, called_at: int) -> Disposition:
        job = granted.job
        if granted.grant.attempts == 1 and job.published_at is not None:
            waited = called_at + self._clock.ahead() - from_datetime(job.published_at)
            # A producer's clock may be wrong: one job dated 1970 would spoil the histogram's sum for ever.
            seconds = min(max(0, waited), LONGEST_WAIT) / SECOND
            self._metrics.publish_to_call.observe(seconds)
            if granted.request.urgent:
                self._metrics.urgent_publish_to_call.observe(seconds)
        with self._metrics.calling(job.shop):
            verdict = self._refer(granted.shop, job)
        answered_at = self._clock.now()
        try:
            return self._conclude(granted, verdict, called_at)
        finally:
            # Counted after the outcome is recorded: counting can fail too (no file descriptor left), and must not cost
            # an answer.
            # A job that was rejected without a call has no response to count.
            if not (isinstance(verdict, Rejected) and verdict.status is None):
                self._metrics.answered(job.shop, verdict, (answered_at - called_at) / SECOND)

    def _conclude(self, granted: GrantedJob, verdict: Verdict, called_at: int) -> Disposition:
        recorder, shop = self._recorder, granted.shop
        match verdict:
            case Sent():
                return recorder.finish(granted, "sent", verdict=verdict, called_at=called_at)
            case Rejected():
                return recorder.finish(granted, "rejected", verdict=verdict, called_at=called_at)
            case Throttled():
                return self._throttled(granted, verdict)
            case Refused() | Halted(every_shop=False) if granted.ends_if_refused:
                return recorder.finish(granted, "failed", verdict=verdict, called_at=called_at)
            case Halted() | Refused() | Retry(status=None):
                # The call did no harm and the job is not to blame, so no attempt is spent: the shop's breaker decides
                # when to try again.
                recorder.release(granted.request, granted.grant, called=True)
                return Return(granted.grant.epoch, verdict=verdict)
            case Unknown() if granted.verifies:
                # Also after the last attempt, since there is still something to find out.
                wait = VERIFY_AFTER + recorder.wait(granted)
                return recorder.retry(granted, verdict, called_at, wait=wait, spent=True)
            case Unknown() if shop.on_unknown == "report":
                return recorder.finish(granted, "unknown", verdict=verdict, called_at=called_at)
            case Retry() | Unknown():
                again = recorder.retry_unless_exhausted(granted, verdict, called_at, most=shop.max_attempts)
                outcome: Outcome = "unknown" if isinstance(verdict, Unknown) else "failed"
                return again or recorder.finish(granted, outcome, verdict=verdict, called_at=called_at)

    def _throttled(self, granted: GrantedJob, verdict: Throttled) -> Return:
        # A 429 without a scope blocks the customer, the smaller mistake: if the limit was the shop's, the next
        # customer's call is answered 429 too.
        request, grant = granted.request, granted.grant
        wait = verdict.retry_after or DEFAULT_THROTTLE
        until = self._clock.now() + wait
        scope = verdict.scope or ("customer" if request.customer else "shop")
        if granted.waits_alone and request.customer:
            scope = "customer"
        # Without the store only this process knows of the block, and keeps to it by the disposition.
        with suppress(StoreError):
            if scope == "shop" and wait <= LONGEST_OF_A_PACE and request.limits.adapts:
                # A grant may lie 250 ms ahead of its call. One that was made before an earlier 429 lowered the pace
                # says nothing against the lower pace.
                self._store.slow_down(request, grant.start_at - GRANT_LIFETIME)
            self._store.block(request.shop, request.customer if scope == "customer" else None, until)
        self._recorder.release(request, grant, called=True)
        return Return(grant.epoch, scope=scope, until=until, verdict=verdict)
