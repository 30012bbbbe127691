"""One simulated process: the real loop, stepped from outside in place of Dramatiq's consumer thread."""

from collections.abc import Callable
from functools import partial

from worker.scheduling.context import Context
from worker.scheduling.loop import GatedConsumer
from worker.simulator.port import Queues, SimulatedPort, Ticket


class SimulatedProcess:
    """Never blocks: :meth:`step` does what there is to do at this instant and says when to come again.

    ``start`` is called with each job that a worker thread gets.
    """

    def __init__(self, context: Context, number: int, queues: Queues, start: Callable[[int, Ticket], None]) -> None:
        self._context = context
        self._number = number
        self._start = start
        self._known: set[str] = set()
        self._loop: GatedConsumer[Ticket] = GatedConsumer(
            context, partial(SimulatedPort, process=number, queues=queues), timeout=0
        )

    def offer(self, ticket: Ticket) -> None:
        """A job has been delivered."""
        gate = self._loop.gate
        if ticket.shop not in self._known:
            # Each shop when its first job comes: of thousands a process may see few.
            self._known.add(ticket.shop)
            shop = self._context.shops.get(ticket.shop)
            assert shop is not None
            gate.configure(ticket.shop, weight=shop.weight, max_in_flight=shop.max_in_flight)
        gate.offer(ticket)

    def report(self, ticket: Ticket) -> None:
        """A worker thread is done with the job; its disposition says what became of it."""
        self._loop.ack(ticket)

    def step(self, now: int) -> int | None:
        """Take up what was reported, start what may start; returns when something is due next."""
        loop = self._loop
        loop.take_reports()
        while (ticket := loop.next_granted(now)) is not None:
            self._start(self._number, ticket)
        return loop.wake_at()
