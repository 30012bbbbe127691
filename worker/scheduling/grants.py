"""Jobs that the store has granted a call and that no worker thread has yet, by the instant at which they may start.

Runs on the consumer's thread. A grant may lie up to 250 ms ahead of its instant (``HORIZON``), so that a process need
not ask for every single token. What is not used is *released*: the store takes tokens and lease back, and no other
process has to wait for the lease to end.
"""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Generic

import structlog

from worker.errors import StoreError
from worker.scheduling.context import Context
from worker.scheduling.delivery import D
from worker.scheduling.gate import Gate
from worker.scheduling.port import Observer
from worker.store.protocol import Grant

log = structlog.get_logger(__name__)


class Grants(Generic[D]):
    """A heap by ``start_at``. Jobs granted for the same instant leave it in the order in which they came."""

    def __init__(self, context: Context, gate: Gate[D], observer: Observer) -> None:
        self._context = context
        self._gate = gate
        self._observer = observer
        self._heap: list[tuple[int, int, D]] = []
        self._order = count()

    @property
    def next_start(self) -> int | None:
        """When the next of them may start; None where there is none."""
        return self._heap[0][0] if self._heap else None

    def add(self, delivery: D, grant: Grant) -> None:
        """The job may start at ``grant.start_at``."""
        # The observer before the heap: the journal must hold a call before the job is handed to a worker thread.
        self._gate.granted(delivery)
        self._observer.granted(delivery, grant)
        heapq.heappush(self._heap, (grant.start_at, next(self._order), delivery))

    def due(self, now: int) -> D | None:
        """Take out the next job whose instant has come."""
        return self.pop() if self._heap and self._heap[0][0] <= now else None

    def pop(self) -> D | None:
        """Take out the next job, whenever it may start."""
        if not self._heap:
            return None
        delivery = heapq.heappop(self._heap)[2]
        self._gate.started(delivery)
        return delivery

    def release(self, delivery: D) -> None:
        """Undo the job's unused grant in the store, if it has one. The job stays where it is in the gate.

        Waits for the store, at most for its time-out of 0.5 s. A store out of reach is logged and not raised.
        """
        grant, delivery.grant = delivery.grant, None
        if grant is not None:
            try:
                self._context.store.release(delivery.request, grant.epoch, called=False)
            except StoreError as error:
                # The lease ends by itself; until then the job waits, counted as a call that was never answered.
                log.warning("release_failed", job_id=delivery.job.job_id, problem=str(error))
            self._observer.released(delivery, grant, called=False)

    def release_shop(self, shop: str) -> None:
        """Release all grants of the shop that have not started, and return their jobs to the gate."""
        self.release_those(lambda delivery: delivery.shop == shop)

    def release_those(self, is_meant: Callable[[D], bool]) -> None:
        """Release the grants of such jobs that have not started, and return the jobs to the gate."""
        meant = [entry for entry in self._heap if is_meant(entry[2])]
        if not meant:
            return
        # Backwards, since what is returned goes to the front of its shop's queue.
        for _, _, delivery in sorted(meant, reverse=True):
            self.release(delivery)
            self._gate.started(delivery)
            self._gate.returned(delivery)
        gone = {id(entry[2]) for entry in meant}
        self._heap = [entry for entry in self._heap if id(entry[2]) not in gone]
        heapq.heapify(self._heap)
