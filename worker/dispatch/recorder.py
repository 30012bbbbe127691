"""The ledger's side of a dispatch: each outcome is recorded before anybody hears of it."""

from collections.abc import Callable
from typing import TypeVar

from worker.backoff import doubling_pause
from worker.clock import Clock
from worker.dispatch.granted import GrantedJob
from worker.dispatch.results import write_result
from worker.errors import StoreError
from worker.instants import SECOND
from worker.model.dispositions import Disposition, Fenced, Finish, Later, Return
from worker.model.outcomes import Outcome
from worker.model.verdicts import Found, Halted, Retry, Sent, Unknown, Verdict
from worker.store.protocol import AdmissionStore, AdmitRequest, Grant
from worker.store.timing import LEASE_MARGIN
from worker.telemetry.metrics.process import Metrics

RETRY_BASE = 2 * SECOND
RETRY_CAP = 300 * SECOND
"""Bounds of the wait before a repeated call; with them eight attempts last longer than an outage of five minutes."""

STORE_PAUSE = SECOND // 2
"""How long the recorder leaves a store that was out of reach alone before it offers the outcome again."""

T = TypeVar("T")


class Recorder:
    """Records outcomes in the ledger, each with the epoch of its grant. Any worker thread may call it.

    Every method may block until the job's lease ends, while the store is out of reach.

    Raises:
      worker.errors.StoreError: from every method: the outcome could not be recorded within the lease. The ledger then
        still says ``started``, and whoever meets the job after the lease takes it over.
    """

    def __init__(
        self,
        *,
        store: AdmissionStore,
        clock: Clock,
        metrics: Metrics,
        random: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._random = random
        self._sleep = sleep

    def return_unused(self, request: AdmitRequest, grant: Grant) -> Return:
        """Undo a grant that was not used: nothing was called, and no attempt is counted."""
        self.release(request, grant, called=False)
        return Return(grant.epoch)

    def release(self, request: AdmitRequest, grant: Grant, *, called: bool, verified: bool = False) -> None:
        """Give the grant back; ``called`` keeps the tokens that the call has used, ``verified`` forgets earlier calls.

        Without this the lease would run out, and the next worker would count a call of unknown outcome.
        """
        self.insist(request, grant, lambda: self._store.release(request, grant.epoch, called=called, verified=verified))

    def retry_unless_exhausted(
        self, granted: GrantedJob, verdict: Retry | Unknown, began_at: int, *, most: int
    ) -> Later | Fenced | None:
        """Record a repeat; None, and nothing recorded, once ``most`` attempts or the shop's time are used up."""
        grant = granted.grant
        wait = self.wait(granted)
        elapsed = grant.elapsed + self._clock.now() + wait - began_at
        # A probe spends no attempt of the job that it happens to use. One that may have been carried out does, or an
        # outage would repeat it without end.
        spent = not granted.probing or isinstance(verdict, Unknown)
        if spent and (grant.attempts >= most or elapsed > granted.shop.max_elapsed):
            return None
        return self.retry(granted, verdict, began_at, wait=wait, spent=spent)

    def retry(
        self, granted: GrantedJob, verdict: Halted | Retry | Unknown, began_at: int, *, wait: int, spent: bool
    ) -> Later | Fenced:
        """Record that the job waits for ``wait`` microseconds; ``spent`` counts the call as an attempt.

        The ledger learns of it before the copy goes into a delay queue: a second copy of the message then meets
        ``waiting`` and waits too, in place of calling.
        """
        grant = granted.grant
        not_before = self._clock.now() + wait
        elapsed = grant.elapsed + (not_before - began_at if spent else 0)
        unknown = isinstance(verdict, Unknown)
        recorded = self.insist(
            granted.request,
            grant,
            lambda: self._store.retry(
                granted.request, grant.epoch, not_before, unknown=unknown, spent=spent, elapsed=elapsed
            ),
        )
        if not recorded:
            # The epoch is another one by now: this worker was frozen past its lease, and the job is another's.
            return Fenced(verdict)
        self._metrics.repeated(verdict)
        return Later(grant.epoch, not_before, verdict, spent=spent, elapsed=elapsed)

    def wait(self, granted: GrantedJob) -> int:
        """Microseconds until the next attempt, with full jitter.

        After an outage the repeats of a whole campaign must not come back at one instant.
        """
        return int(doubling_pause(granted.grant.attempts, RETRY_BASE, RETRY_CAP) * self._random())

    def finish(
        self,
        granted: GrantedJob,
        outcome: Outcome,
        *,
        code: str | None = None,
        verdict: Verdict | None = None,
        found: Found | None = None,
        called_at: int | None = None,
    ) -> Disposition:
        """Record a final result: the ledger says ``answered``, and keeps the document until it is settled.

        Only after that may it be published. A worker that dies in between leaves ``answered`` behind, and the next one
        publishes the same document without a call.
        """
        grant = granted.grant
        if grant.unknowns and outcome in ("failed", "expired", "cancelled"):
            # This call was not carried out, but an earlier one may have been.
            outcome, code = "unknown", "interrupted"
        if verdict is not None and not isinstance(verdict, Sent):
            code = verdict.code
        body = write_result(
            granted.job,
            outcome,
            code=code,
            answer=verdict or found,
            # Without a call this time, the attempt that the grant counted in advance was not made.
            attempts=grant.attempts if called_at is not None else grant.attempts - 1,
            called_at=called_at,
            finished_at=self._clock.now(),
            ahead=self._clock.ahead(),
        )
        if not self.insist(granted.request, grant, lambda: self._store.answer(granted.request, grant.epoch, body)):
            return Fenced(verdict) if verdict is not None else Return(grant.epoch)
        self._metrics.finished(granted.job.shop, outcome)
        has_share_action = isinstance(verdict, Sent) and verdict.share_action is not None
        return Finish(grant.epoch, body, outcome, code, has_share_action, verdict)

    def insist(self, request: AdmitRequest, grant: Grant, record: Callable[[], T]) -> T:
        """Repeat ``record`` until the store carries it out, for as long as the lease lasts.

        An outcome that the ledger doesn't learn would count as a call of unknown outcome once the lease has ended, and
        the call would be made again. So the lease is used to its end. Where the store did carry a command out and only
        its reply was lost, the repeat is refused by its epoch; the job's message then finds the record in the ledger.
        """
        lease_ends = grant.start_by + request.lease + LEASE_MARGIN
        while True:
            try:
                return record()
            except StoreError:
                if self._clock.now() + STORE_PAUSE >= lease_ends:
                    raise
            self._sleep(STORE_PAUSE / SECOND)
