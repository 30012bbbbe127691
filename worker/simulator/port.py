"""The simulation underneath the loop of one simulated process: queues instead of RabbitMQ, and no wait at all."""

from functools import lru_cache
from typing import Protocol

from worker.errors import DeadLetterError
from worker.model.dispositions import Finish
from worker.model.job import Customer, Job
from worker.model.lanes import Lane
from worker.scheduling.delivery import Delivery
from worker.scheduling.port import Intake
from worker.store.protocol import AdmitRequest, Grant


@lru_cache(maxsize=4096)
def job_like(channel: str, window: str | None, shop: str = "any", campaign: str = "simulation") -> Job:
    """A job of that channel, window and campaign. All such jobs look alike to a simulation; their ids are in their
    requests. The shop matters only to orders about its campaign.
    """
    who = Customer(bhid="any")
    return Job.create(
        shop=shop, campaign=campaign, customer=who, channel=channel, destination="any@example.com", window=window
    )


class Ticket(Delivery):
    """A job in hand. A message around it would cost more than all the rest of it.

    ``ahead``: nobody waits for its end. ``rejected``: it ends so.
    """

    def __init__(
        self,
        job: Job,
        request: AdmitRequest,
        published_at: int,
        lane: Lane,
        *,
        ahead: bool = False,
        rejected: bool = False,
    ) -> None:
        self.ahead = ahead
        self.rejected = rejected
        self.job = job
        self.request = request
        self.shop = request.shop
        self.lane = lane
        self.customer = request.customer
        self.grant: Grant | None = None
        self.probing = False
        self.trouble = None
        self.disposition = None
        self.moved_at = 0
        self.moved_from: Lane | None = None
        self.looked_up = 0
        self.suppressed = False
        self.unanswered = False
        self.published_at = published_at


class Queues(Protocol):
    """Where a simulated process's jobs come from and go to."""

    def done(self, process: int, ticket: Ticket) -> None:
        """The job is done."""

    def requeued(self, process: int, ticket: Ticket) -> None:
        """The job is to be delivered again at once."""

    def moved(self, process: int, ticket: Ticket, lane: Lane) -> None:
        """The job goes to the end of another lane of its shop, or of its own."""

    def delayed(self, process: int, ticket: Ticket, until: int) -> None:
        """The job comes back at ``until``, behind what waits by then."""


class SimulatedPort:
    """Implements :class:`worker.scheduling.port.Port`. Runs on the simulation's one thread, on virtual time."""

    def __init__(self, intake: Intake[Ticket], process: int, queues: Queues) -> None:
        self._intake = intake
        self._process = process
        self._queues = queues

    @property
    def unconfirmed(self) -> int:
        """Nothing is ever on its way: what is published has arrived."""
        return 0

    @property
    def disconnected(self) -> str | None:
        """Never: there is nothing to connect to."""
        return None

    def poll(self, until: int) -> None:
        """Nothing here waits; time is the simulation's."""

    def wake(self) -> None:
        """Nothing sleeps: the simulation steps each process when it is due."""

    def housekeep(self, now: int) -> None:
        """Shops stay as they are."""

    def ack(self, delivery: Ticket) -> None:
        self._queues.done(self._process, delivery)

    def requeue(self, delivery: Ticket) -> None:
        self._queues.requeued(self._process, delivery)

    def publish_result(self, delivery: Ticket, finish: Finish) -> None:
        self._intake.settle(delivery, finish)
        self.ack(delivery)

    def publish_delayed(self, delivery: Ticket, until: int) -> None:
        self._queues.delayed(self._process, delivery, until)

    def move(self, delivery: Ticket, lane: Lane, until: int) -> None:
        del until
        self._queues.moved(self._process, delivery, lane)

    def dead_letter(self, delivery: Ticket, error: DeadLetterError) -> None:
        """No simulated process dies, so this never happens."""
        del delivery
        raise AssertionError(f"no simulated job is to be dead-lettered: {error.reason}")

    def failed(self, error: Exception) -> None:
        """An error ends the simulation."""
        raise error

    def close(self) -> None:
        """Nothing is open."""
