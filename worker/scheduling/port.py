"""The border between the loop and the world that its jobs come from and go to.

RabbitMQ, the embedded run, the simulator and the test bench each implement :class:`Port` and inherit nothing from it. A
port is made with an :class:`Intake`, which is the loop as the port sees it. A job crosses the border four times:

1. The port reads a job and puts it into ``intake.gate``.
2. Once its call is over the loop hands it to the port: publish its result, or a copy for later, or requeue it.
3. RabbitMQ confirms the result, and the port calls :meth:`Intake.settle`.
4. The port acknowledges the message.

Everything here runs on the consumer's thread. Only :meth:`Port.wake` may be called from any thread.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from worker.errors import DeadLetterError
from worker.model.dispositions import Finish, Later
from worker.model.job import Job
from worker.model.lanes import Lane
from worker.scheduling.breaker import BreakerOpen
from worker.scheduling.context import Context
from worker.scheduling.delivery import D, Delivery
from worker.scheduling.gate import Gate
from worker.scheduling.operator_controls import OperatorControls
from worker.scheduling.suppression import SuppressionGuard
from worker.shops.config import ShopConfig
from worker.store.protocol import AdmitRequest, Grant

D_contra = TypeVar("D_contra", bound=Delivery, contravariant=True)


class Port(Protocol[D_contra]):
    """Where jobs come from and where their results go. All instants are microseconds of the context's clock."""

    @property
    def unconfirmed(self) -> int:
        """How many published messages wait for their confirm. The loop drains them before it closes the port."""

    @property
    def disconnected(self) -> str | None:
        """Why no jobs can come and no results can go, in one word for the readiness probe; None while they can."""

    def poll(self, until: int) -> None:
        """Do I/O until ``until``, :meth:`wake`, or until something has come that may let another job go.

        The one method that may block. It returns at once while :attr:`Intake.has_news` holds.
        """

    def wake(self) -> None:
        """End a running :meth:`poll` soon. Safe to call from any thread."""

    def housekeep(self, now: int) -> None:
        """Once a second: follow the shops, and let go of what has been held for too long."""

    def ack(self, delivery: D_contra) -> None:
        """The job is done: acknowledge its message. The job has left the gate."""

    def requeue(self, delivery: D_contra) -> None:
        """The job is not done: its message goes back to its queue. The job has left the gate."""

    def publish_result(self, delivery: D_contra, finish: Finish) -> None:
        """Publish the result. Once it is confirmed call :meth:`Intake.settle` and acknowledge; else
        :meth:`Intake.back_off`.

        The order matters: a message acknowledged before its result is confirmed is a job without a result.
        """

    def publish_delayed(self, delivery: D_contra, until: int) -> None:
        """Publish a copy of the job that comes back at ``until``; once it is confirmed, acknowledge the message.

        The job has left the gate.
        """

    def move(self, delivery: D_contra, lane: Lane, until: int) -> None:
        """Publish the job into another lane of its shop; once it is confirmed, acknowledge the message.

        The job has left the gate, and may go at ``until`` as far as is known. It may wait here for some seconds while
        the lane's queue is declared. Where that lane takes nothing, it comes back sooner, by the lane it came by.
        """

    def dead_letter(self, delivery: D_contra, error: DeadLetterError) -> None:
        """Put the job where a person finds it, then acknowledge. The job has left the gate for good."""

    def failed(self, error: Exception) -> None:
        """The loop met an error that nobody expected. It goes on afterwards, so the port must not raise for it."""

    def close(self) -> None:
        """Let go of all connections. What is in hand and was not acknowledged is delivered again."""


class Intake(Protocol[D]):
    """What a port may use of the loop."""

    @property
    def context(self) -> Context:
        """Store, shops, clock and metrics."""

    @property
    def gate(self) -> Gate[D]:
        """Jobs are put in with ``offer``; ``held`` and ``remove`` serve housekeeping, ``closed_until`` shows a shop."""

    @property
    def controls(self) -> OperatorControls:
        """What operators have paused, limited and cancelled, to look at."""

    @property
    def suppression(self) -> SuppressionGuard:
        """Hears how many changes of the suppression lists the port knows of."""

    @property
    def has_news(self) -> bool:
        """Whether another thread has reported something that is not seen yet."""

    def request_for(
        self, job: Job, shop: ShopConfig, *, place_in_line: int | None = None, urgent: bool = False
    ) -> AdmitRequest:
        """What the store is to be asked for the job; ``place_in_line`` is what a worker noted on its message, and
        ``urgent`` whether it came by that lane.
        """

    def settle(self, delivery: D, finish: Finish) -> None:
        """The result is confirmed: tell the ledger. Only then may the message be acknowledged."""

    def back_off(self, delivery: D, problem: str) -> None:
        """The job could not be carried on for a reason that is not its own: requeue it and let its shop rest."""

    def hurry(self) -> None:
        """Do the housekeeping at the next turn of the loop rather than within a second."""


Connect = Callable[[Intake[D]], Port[D]]
"""Makes the port. It may use the intake's context, gate and controls at once, and the rest from its first poll on."""


class Observer(Protocol):
    """Hears what becomes of grants and shops, on the consumer's thread. The embedded run keeps its journal by it."""

    def granted(self, delivery: Delivery, grant: Grant) -> None:
        """A call is about to start: the job will be handed to a worker thread at ``grant.start_at``."""

    def released(self, delivery: Delivery, grant: Grant, *, called: bool) -> None:
        """The grant was undone in the store; ``called`` says whether the call was made all the same."""

    def repeated(self, delivery: Delivery, grant: Grant, later: Later) -> None:
        """The ledger has recorded that the call is repeated from ``later.not_before``."""

    def shops_closed(self, shops: Sequence[str], opening: BreakerOpen) -> None:
        """The answer to one job's call has closed these shops."""


class NoObserver:
    """Listens to nothing: on RabbitMQ the store's ledger knows all of it."""

    def granted(self, delivery: Delivery, grant: Grant) -> None:
        """Nothing to do."""

    def released(self, delivery: Delivery, grant: Grant, *, called: bool) -> None:
        """Nothing to do."""

    def repeated(self, delivery: Delivery, grant: Grant, later: Later) -> None:
        """Nothing to do."""

    def shops_closed(self, shops: Sequence[str], opening: BreakerOpen) -> None:
        """Nothing to do."""
