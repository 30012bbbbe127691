"""Dramatiq's broker for a run in this process, without a message broker."""

from functools import partial
from typing import Any

import dramatiq
from dramatiq.middleware import CurrentMessage

from worker.embedded.observer import RunObserver
from worker.embedded.port import EmbeddedPort
from worker.embedded.state import RunState
from worker.errors import BrokerError
from worker.model.message import QUEUE
from worker.scheduling.context import Context
from worker.scheduling.loop import GatedConsumer


class EmbeddedBroker(dramatiq.Broker):
    """Serves a single run; nothing is enqueued, the run brings its jobs."""

    def __init__(self, context: Context, state: RunState) -> None:
        super().__init__(middleware=[CurrentMessage()])
        self.queues: set[str] = set()
        self._context = context
        self._state = state

    def declare_queue(self, queue_name: str) -> None:
        """Only the queue of referrals; no delay queue is announced, since that would start a second consumer."""
        if queue_name != QUEUE:
            raise ValueError(f"the embedded broker has one queue, {QUEUE!r}")
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        return set(self.queues)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> dramatiq.Consumer:
        """The gated consumer over the run's jobs; prefetch and queue have no meaning here."""
        del queue_name, prefetch
        observer = RunObserver(self._context, self._state)
        return GatedConsumer(
            self._context, partial(EmbeddedPort, state=self._state), timeout=timeout, observer=observer
        )

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Raises BrokerError: what is enqueued here would be gone with the process."""
        del message, delay
        raise BrokerError("the embedded broker takes its jobs from its run; nothing can be enqueued on it")
