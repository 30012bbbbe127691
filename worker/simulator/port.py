"""The gated consumer of one simulated process."""

from collections.abc import Callable
from typing import Protocol

from worker.errors import DeadLetterError
from worker.model.dispositions import Finish, Later
from worker.model.job import Customer, Job
from worker.scheduling.context import Context
from worker.scheduling.delivery import Delivery
from worker.scheduling.loop import GatedConsumer
from worker.store.protocol import AdmitRequest, Grant

_JOB = Job.create(shop="any", campaign="simulation", customer=Customer(bhid="any"), channel="sms")
"""All jobs look alike to a simulation; their ids are in their questions."""


class Ticket(Delivery):
    """A job in hand. A message around it would cost more than all the rest of it."""

    def __init__(self, request: AdmitRequest, published_at: int) -> None:
        self.job = _JOB
        self.request = request
        self.shop = request.shop
        self.customer = request.customer
        self.grant: Grant | None = None
        self.probing = False
        self.trouble = None
        self.disposition = None
        self.published_at = published_at


class Queues(Protocol):
    """Where a simulated consumer's jobs come from and go to."""

    def done(self, process: int, ticket: Ticket) -> None:
        """The job is done with."""

    def back(self, process: int, ticket: Ticket) -> None:
        """The job is to be delivered again at once."""

    def delayed(self, process: int, ticket: Ticket, until: int) -> None:
        """The job comes back at ``until``, behind what waits by then."""


class SimulatedConsumer(GatedConsumer[Ticket]):
    """Never blocks: :meth:`step` does what there is to do at this instant and says when to come again."""

    def __init__(self, context: Context, process: int, queues: Queues, start: Callable[[int, Ticket], None]) -> None:
        self._process = process
        self._queues = queues
        self._start = start
        self._known: set[str] = set()
        super().__init__(context, timeout=0)

    def offer(self, ticket: Ticket) -> None:
        """A job has been delivered."""
        if ticket.shop not in self._known:
            self._known.add(ticket.shop)
            shop = self.context.shops.get(ticket.shop)
            assert shop is not None
            self.gate.configure(ticket.shop, weight=shop.weight, max_in_flight=shop.max_in_flight)
        self.gate.offer(ticket)

    def step(self, now: int) -> int | None:
        """Take up what was reported, start what may start; returns when something is due next."""
        self._take_returned()
        while (ticket := self._grant(now)) is not None:
            self._start(self._process, ticket)
        wake_at = self.gate.wake_at()
        if self._granted and (wake_at is None or self._granted[0][0] < wake_at):
            return self._granted[0][0]
        return wake_at

    def configure_shops(self) -> None:
        """Each shop when its first job comes: of thousands a process may see few."""

    def granted(self, delivery: Ticket, grant: Grant) -> None:
        """The store's ledger knows."""

    def released(self, delivery: Ticket, grant: Grant, *, called: bool) -> None:
        """As :meth:`granted`."""

    def wait(self, until: int) -> None:
        """Nothing here waits; time is the simulation's."""

    def wake(self) -> None:
        """The simulation steps whom it told something."""

    def acknowledge(self, delivery: Ticket) -> None:
        self._queues.done(self._process, delivery)

    def put_back(self, delivery: Ticket) -> None:
        self._queues.back(self._process, delivery)

    def publish_result(self, delivery: Ticket, finish: Finish) -> None:
        self.settle(delivery, finish)
        self.acknowledge(delivery)

    def repeat(self, delivery: Ticket, grant: Grant, later: Later) -> None:
        del grant
        self.defer(delivery, later.not_before)

    def defer(self, delivery: Ticket, until: int) -> None:
        self._queues.delayed(self._process, delivery, until)

    def bury(self, delivery: Ticket, error: DeadLetterError) -> None:
        del delivery
        raise AssertionError(f"no simulated job is to be parked: {error.reason}")
