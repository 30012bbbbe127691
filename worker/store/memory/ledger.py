"""The ledger of a single process: the records of jobs, their states, and what leads from one to the next.

The states are those that :mod:`worker.store.protocol` draws. A job with a record is ``started``, ``waiting`` or
``answered``; one without is unknown, or among the :class:`~worker.store.memory.finished.FinishedJobs`.

Nothing here locks or reads a clock: the store holds its lock around each call and passes the time. A job is named by
the 16 bytes of its id, which take a third of the memory of its text.
"""

import json
from typing import Literal, NamedTuple

from worker.instants import DAY
from worker.model.outcomes import Outcome
from worker.store.memory.buckets import Charge
from worker.store.memory.finished import FinishedJobs
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, Known, Wait
from worker.store.timing import GRANT_LIFETIME, LEASE_MARGIN, NO_DEADLINE, UNKNOWN_DEADLINE


class Started(NamedTuple):
    """A call was granted and has not been answered.

    ``lease`` is when the job may be granted to another worker. ``deadline`` is the latest among the copies that were
    granted a call. ``charge`` is what the tokens were taken from, None where none were. ``uncalled``: the grant was one
    to end without a call, so that no call is lost with it.
    """

    epoch: int
    lease: int
    attempts: int
    takeovers: int
    unknowns: int = 0
    elapsed: int = 0
    deadline: int = UNKNOWN_DEADLINE
    charge: Charge | None = None
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


Record = Started | Waiting | Answered

_NEW = Waiting(attempts=0, takeovers=0, not_before=0)


class Ledger:
    """The records of all jobs, and those that are ``finished``. ``last_epoch`` is the highest that was ever given."""

    def __init__(self, retention_days: int, *, last_epoch: int = 0) -> None:
        self._epoch = last_epoch
        self._open: dict[bytes, Record] = {}
        self.finished = FinishedJobs(retention_days)

    def find(self, request: AdmitRequest, job: bytes, now: int) -> Started | Waiting | Wait | AlreadyAnswered:
        """What a grant would follow: an overtaken one, or a wait that is over (also of a new job, with no attempts).

        Otherwise why there is nothing to grant. Changes nothing.
        """
        record = self._open.get(job)
        match record:
            case None:
                if self.finished.is_done(job) or (request.uncalled and self.finished.uncalled_as(job)):
                    return AlreadyAnswered(epoch=0, result=None)
                record = _NEW
            case Answered(epoch, result):
                # An end without a call is not final: a copy that is to be called is called all the same. With any other
                # answer this copy publishes the result again, since the worker that recorded it may have ended before
                # RabbitMQ confirmed it.
                if request.uncalled or uncalled_outcome(result) is None:
                    return AlreadyAnswered(epoch, result)
                record = _NEW
            case Started(lease=lease) if lease > now:
                # The call may be under way, so its outcome is not unknown yet: this copy waits for the other worker.
                return Wait("job", lease)
            case Waiting(not_before=not_before) if not_before > now:
                return Wait("job", not_before)
        # A campaign is cancelled for every copy, whatever its deadline.
        if request.uncalled and record.deadline > (
            NO_DEADLINE if request.uncalled == "cancelled" else request.deadline
        ):
            # Only the copy with the latest deadline may end what was begun: its message is still to come.
            return AlreadyAnswered(epoch=0, result=None)
        return record

    def start(
        self, request: AdmitRequest, job: bytes, earlier: Started | Waiting, charge: Charge | None, now: int
    ) -> Grant:
        """Grant the job that :meth:`find` found; ``charge`` is None where it ends without a call."""
        overtaken = isinstance(earlier, Started)
        # A worker that was to end the job without a call has made none, so none is lost with it.
        lost = isinstance(earlier, Started) and not earlier.uncalled
        # The fencing token: from now on an answer under an earlier epoch is refused.
        self._epoch += 1
        start_at = now if charge is None else charge.start_at
        start_by = start_at + GRANT_LIFETIME
        started = self._open[job] = Started(
            self._epoch,
            # From the latest start, since a grant may lie unused until then.
            start_by + request.lease + LEASE_MARGIN,
            earlier.attempts + 1,
            earlier.takeovers + overtaken,
            earlier.unknowns + lost,
            # What dispatch measured of the earlier tries; the ledger only keeps it.
            earlier.elapsed,
            # A copy that ends without a call is no reason to wait for its deadline.
            earlier.deadline if charge is None else max(earlier.deadline, request.deadline),
            charge,
            charge is None,
        )
        return Grant(
            started.epoch,
            start_at,
            start_by,
            started.attempts,
            started.takeovers,
            started.unknowns,
            started.elapsed,
            overtaken,
            None if charge is None else charge.calls_today,
        )

    def answer(self, job: bytes, epoch: int, result: str) -> bool:
        """Record a final result; False if another epoch holds the job."""
        if not self.holds(job, epoch):
            return False
        self._open[job] = Answered(epoch, result)
        return True

    def retry(self, job: bytes, epoch: int, not_before: int, *, unknown: bool, spent: bool, elapsed: int) -> bool:
        """Record that the call is to be repeated; False if another epoch holds the job."""
        if not self.holds(job, epoch):
            return False
        record = self._open.get(job)
        if not isinstance(record, Started):
            # The store has lost the record, so this counts as the first attempt.
            record = Started(epoch, 0, attempts=1, takeovers=0)
        # The grant counted this attempt. Reading referrals back, to verify an earlier call, is none.
        attempts = record.attempts if spent else record.attempts - 1
        unknowns = record.unknowns + unknown
        self._open[job] = Waiting(attempts, record.takeovers, not_before, unknowns, elapsed, record.deadline)
        return True

    def release(self, job: bytes, epoch: int, *, verified: bool) -> Started | None:
        """Undo a grant, and return what it was; None, and nothing done, where another epoch holds the job."""
        record = self._open.get(job)
        if not isinstance(record, Started) or record.epoch != epoch:
            return None
        waiting = undo_attempt(record, 0 if verified else record.unknowns)
        if waiting is None:
            del self._open[job]
        else:
            self._open[job] = waiting
        return record

    def settle(self, job: bytes, epoch: int, outcome: Outcome, now: int) -> bool:
        """Erase the result and remember the job as ended; False if this epoch's answer is not what is recorded."""
        record = self._open.get(job)
        if not isinstance(record, Answered) or record.epoch != epoch:
            return False
        # The result goes with the record: only the outcome is kept of a job that has ended.
        del self._open[job]
        self.finished.remember(job, outcome, now // DAY)
        return True

    def known(self, job: bytes) -> Known | None:
        """What the ledger knows of the job."""
        match self._open.get(job):
            case None:
                return "answered" if self.finished.is_done(job) else self.finished.uncalled_as(job)
            case Answered(result=result):
                return uncalled_outcome(result) or "answered"
            case _:
                return "under_way"

    def holds(self, job: bytes, epoch: int) -> bool:
        """Whether a call of this epoch may still be recorded.

        A missing record means that the store lost its data, or that the job has ended. Lost, the call was made all the
        same, so its result must not be lost too.
        """
        record = self._open.get(job)
        if record is None:
            return not self.finished.is_done(job)
        return isinstance(record, Started) and record.epoch == epoch

    def record_of(self, job: bytes) -> Record | None:
        """The job's record, None if it has none."""
        return self._open.get(job)

    def load(self, job: bytes, record: Record) -> None:
        """Put in the record of a job that an earlier process left open."""
        self._open[job] = record


def undo_attempt(record: Started, unknowns: int) -> Waiting | None:
    """What is left of a grant that is undone: of the first one nothing."""
    if record.attempts == 1 and not unknowns:
        return None
    # From instant 0 on, which has passed: the next copy may be granted at once. Takeovers stay counted, since a job
    # during whose calls workers ended is dead-lettered after five.
    return Waiting(record.attempts - 1, record.takeovers, 0, unknowns, record.elapsed, record.deadline)


def uncalled_outcome(result: str) -> Literal["expired", "cancelled"] | None:
    """How an answered job ended without a call; None if it was called, or where its result can't be read."""
    try:
        read = json.loads(result)
    except (ValueError, RecursionError):
        # Taken for the result of a call: then no customer is called twice.
        return None
    outcome = read.get("outcome") if isinstance(read, dict) else None
    return outcome if outcome == "expired" or outcome == "cancelled" else None
