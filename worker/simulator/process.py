"""One simulated process: the real loop, stepped from outside in place of Dramatiq's consumer thread."""

from collections.abc import Callable
from functools import partial

from worker.instants import SECOND
from worker.scheduling.context import Context
from worker.scheduling.loop import GatedConsumer
from worker.simulator.port import Queues, SimulatedPort, Ticket


class SimulatedProcess:
    """Never blocks: :meth:`step` does what there is to do at this instant and says when to come again.

    ``start`` is called with each job that a worker thread gets. The process looks for orders once a second, ``phase``
    after each full one: where nothing is new, a look would find nothing, and is left out.
    """

    def __init__(
        self, context: Context, number: int, queues: Queues, start: Callable[[int, Ticket], None], phase: int
    ) -> None:
        self._context = context
        self._number = number
        self._start = start
        self._phase = phase
        self._known: set[str] = set()
        self._look_at: int | None = None
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
        if self._look_at is not None and self._look_at <= now:
            self._look_at = None
            loop.follow_orders(now)
        while (ticket := loop.next_granted(now)) is not None:
            self._start(self._number, ticket)
        wake_at = loop.wake_at()
        ends_at = loop.orders_change_at(now)
        if ends_at is not None:
            self.look_after(ends_at)
        if self._look_at is None or (wake_at is not None and wake_at < self._look_at):
            return wake_at
        return self._look_at

    def look_after(self, instant: int) -> int:
        """Something is new from the instant on; returns when this process sees it."""
        look_at = instant + (self._phase - instant) % SECOND
        if self._look_at is None or look_at < self._look_at:
            self._look_at = look_at
        return look_at
