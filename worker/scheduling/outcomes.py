"""Carries out what worker threads report of their jobs: each disposition by one method.

Runs on the consumer's thread. Nothing here waits for RabbitMQ; only releasing a grant waits for the store.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Generic

import structlog

from worker.backoff import doubling_pause
from worker.errors import DeadLetterError
from worker.instants import SECOND, from_datetime
from worker.model.dispositions import Fenced, Finish, Later, Return
from worker.model.verdicts import Halted, Refused
from worker.scheduling.breakers import Breakers
from worker.scheduling.context import Context
from worker.scheduling.delivery import D
from worker.scheduling.gate import Gate
from worker.scheduling.grants import Grants
from worker.scheduling.operator_controls import OperatorControls
from worker.scheduling.port import Observer, Port

FIRST_BACKOFF = SECOND
LONGEST_BACKOFF = 60 * SECOND
"""Bounds of a shop's pause after a job of it went wrong outside the call, so that nothing spins: a plain nack looped
3,979 times in 3 seconds."""

REFUSED_DELAY = 5 * SECOND
"""How soon a job that was refused is called again at the earliest, and twice as long at the latest: jobs that were
refused together must not come back together, where they would look like a shop that refuses everybody."""

log = structlog.get_logger(__name__)


class Outcomes(Generic[D]):
    """What becomes of a job after its grant. ``hurry`` asks for the loop's housekeeping at its next turn.

    Three ways for a job to stay a job: it is *returned* to the head of its shop in the gate, it is *delayed* (a copy
    waits in a delay queue), or it is *requeued* (its message goes back to its queue).
    """

    def __init__(
        self,
        context: Context,
        gate: Gate[D],
        grants: Grants[D],
        breakers: Breakers,
        controls: OperatorControls,
        port: Port[D],
        observer: Observer,
        *,
        hurry: Callable[[], None],
    ) -> None:
        self._context = context
        self._gate = gate
        self._grants = grants
        self._breakers = breakers
        self._controls = controls
        self._port = port
        self._observer = observer
        self._hurry = hurry
        self._failures: dict[str, int] = {}

    def carry_out(self, delivery: D) -> None:
        """A worker thread is done with the job; its disposition says what is to become of it."""
        disposition, delivery.disposition = delivery.disposition, None
        if disposition is not None and disposition.verdict is not None:
            self._breakers.learn(
                delivery,
                disposition.verdict,
                ended=isinstance(disposition, Finish),
                # A call that is halted returns its job; only a read of the customer's referrals is put off.
                read=isinstance(disposition, Later),
            )
        if isinstance(disposition, Return):
            self._return(delivery, disposition)
            return
        self._gate.finished(delivery)
        match disposition:
            case Finish():
                # Recorded in the ledger already: if this process dies now, the next copy publishes the same result.
                self._port.publish_result(delivery, disposition)
            case Later():
                # Recorded too: the store makes a copy that comes too early wait.
                assert delivery.grant is not None
                self._observer.repeated(delivery, delivery.grant, disposition)
                self._port.publish_delayed(delivery, disposition.not_before)
            case Fenced():
                # Another worker took the job over, and its epoch is the ledger's: this result must not go out.
                log.warning("fenced", shop=delivery.shop, job_id=delivery.job.job_id)
                self._port.requeue(delivery)
            case None:
                self.back_off(delivery, "the task ended without saying what became of the job")

    def settle(self, delivery: D, finish: Finish) -> None:
        """The result is confirmed: tell the ledger, without waiting. Then the message may be acknowledged."""
        self._failures.pop(delivery.shop, None)
        # Never raises. If the store is away the ledger still says answered: another copy would publish the result again
        # and call nobody.
        request, braking = delivery.request, self._controls.braking_of(delivery.job)
        self._context.store.settle(request, finish.epoch, finish.outcome, finish.code, braking=braking)

    def back_off(self, delivery: D, problem: str) -> None:
        """The job could not be carried on for a reason that is not its own: requeue it and let its shop rest."""
        now = self._context.clock.now()
        # Jobs that were under way when the rest began don't lengthen it: a dozen of them would make it a minute.
        if self._gate.reasons(delivery.shop).get("backing_off", 0) <= now:
            failures = self._failures[delivery.shop] = self._failures.get(delivery.shop, 0) + 1
            backoff = doubling_pause(failures, FIRST_BACKOFF, LONGEST_BACKOFF)
            self._gate.close(delivery.shop, now + backoff, "backing_off")
        log.warning("job_given_back", shop=delivery.shop, job_id=delivery.job.job_id, problem=problem)
        self._port.requeue(delivery)

    def publish_recorded(self, delivery: D, epoch: int, result: str) -> None:
        """Publish the result that the ledger holds for the job, which an earlier worker recorded and nobody settled."""
        try:
            finish = Finish.recorded(epoch, result)
        except ValueError:
            # Something else has written it into the store; it reads the same however often it is asked for.
            problem = "the store holds an answer to this job that is no result"
            self._port.dead_letter(delivery, DeadLetterError("unreadable_result", problem))
        else:
            self._port.publish_result(delivery, finish)

    def hold_back(self, delivery: D, now: int, until: int) -> None:
        """The job's customer, or the job itself, has to wait: in memory if that is short enough, else delayed."""
        until = self._no_later_than_its_deadline(delivery, now, until)
        if not self._gate.set_aside(delivery, now, until):
            self._context.metrics.deferred(delivery.shop)
            self._port.publish_delayed(delivery, until)

    def _return(self, delivery: D, disposition: Return) -> None:
        grant, delivery.grant = delivery.grant, None
        if grant is not None:
            if disposition.verified:
                grant = replace(grant, unknowns=0)
            # The worker thread has released it in the store.
            self._observer.released(delivery, grant, called=disposition.verdict is not None)
        now = delivery.returned_at = self._context.clock.now()
        if self._context.shops.get(delivery.shop) is None:
            # Its shop has left the file: it goes back to its queue, which nobody consumes from then on.
            self._gate.finished(delivery)
            self._port.requeue(delivery)
            self._hurry()
            return
        if disposition.scope == "customer":
            self.hold_back(delivery, now, disposition.until)
            return
        own = isinstance(disposition.verdict, Halted) and self._breakers.others(delivery.shop).is_own(delivery)
        if own or isinstance(disposition.verdict, Refused):
            self._delay_refused(delivery, now)
            return
        self._gate.returned(delivery)
        if disposition.scope == "shop":
            self._gate.close(delivery.shop, disposition.until, "throttled")
            # What was granted ahead would be refused too.
            self._grants.release_shop(delivery.shop)

    def _delay_refused(self, delivery: D, now: int) -> None:
        # Not to the head of its shop's queue, nor into the prefetch, which a few such jobs would fill.
        self._gate.finished(delivery)
        spread = REFUSED_DELAY * int(delivery.job_id[:4], 16) >> 16
        until = self._no_later_than_its_deadline(delivery, now, now + REFUSED_DELAY + spread)
        self._port.publish_delayed(delivery, until)

    def _no_later_than_its_deadline(self, delivery: D, now: int, until: int) -> int:
        # By its deadline the job is back, to end then rather than when its customer may be called.
        if not delivery.uncalled and delivery.job.not_after is not None:
            return min(until, max(now, from_datetime(delivery.job.not_after) - self._context.clock.ahead()) + 1)
        return until
