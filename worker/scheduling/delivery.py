"""A job in a worker's hands."""

from typing import TypeVar

import dramatiq

from worker.model.dispositions import Disposition
from worker.model.job import Job
from worker.model.lanes import Lane
from worker.model.message import ACTOR, QUEUE
from worker.model.trace_context import TraceContext
from worker.scheduling.attribution import Trouble
from worker.store.protocol import AdmitRequest, Grant


class Delivery(dramatiq.MessageProxy):
    """A job in hand: Dramatiq's message, the gate's ticket, and what became of it.

    The consumer's thread fills it and hands it to one worker thread, which sets ``disposition`` and reports it.

    Without a ``disposition`` the job counts as not done. ``probing``: its call finds out whether a failing upstream
    works again. ``paused``: its shop is paused, so it may only end without a call. ``ends_if_refused``: a page in place
    of an answer, or a refused token, is about this job alone; ``waits_alone``: a 429 is. ``trouble`` is what its calls
    have met so far. ``arrived_at`` is when the job came, 0 where nobody needs to know. ``moved_at`` is when
    it was moved into the held lane or to its end, by the wall clock, and ``moved_from`` the lane that it came by first;
    None where a publisher has put it there. ``looked_up`` is the number of the last change of the suppression lists in
    which its addresses were looked up while it waited, and ``suppressed`` says that one of them was found.
    ``unanswered``: the store failed when it was asked last, and may have granted a call all the same.
    ``trace``, ``asked_at``, ``returned_at`` and ``is_copy`` are those of :class:`worker.telemetry.tracing.TracedJob`.
    """

    # Dramatiq reads ten fields of its message a job. Without these and those below, each is a call to the proxy.
    queue_name = QUEUE
    actor_name = ACTOR
    args = ()

    def __init__(self, job: Job, request: AdmitRequest) -> None:
        # The job itself goes along as the argument: its repr is masked, and Dramatiq logs arguments.
        super().__init__(
            dramatiq.Message(
                queue_name=QUEUE,
                actor_name=ACTOR,
                args=(),
                kwargs={"job": job},
                options={},
                message_id=job.job_id,
                message_timestamp=0,
            )
        )
        self.kwargs, self.options, self.message_id = self._message.kwargs, self._message.options, job.job_id
        self.job = job
        self.request = request
        self.shop = job.shop
        self.lane: Lane = "bulk"
        self.customer = request.customer
        self.grant: Grant | None = None
        self.probing = False
        self.paused = False
        self.ends_if_refused = False
        self.waits_alone = False
        self.trouble: Trouble | None = None
        self.disposition: Disposition | None = None
        self.arrived_at = 0
        self.moved_at = 0
        self.moved_from: Lane | None = None
        self.looked_up = 0
        self.suppressed = False
        self.trace: TraceContext | None = None
        self.asked_at = 0
        self.unanswered = False
        self.returned_at = 0
        self.is_copy = False

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.request.job_id

    @property
    def uncalled(self) -> bool:
        """Whether the job ends without a call: it has expired, or its campaign is cancelled."""
        return self.request.uncalled is not None


D = TypeVar("D", bound=Delivery)
"""What a port hands out: RabbitMQ's carries its message along."""
