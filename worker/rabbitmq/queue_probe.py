"""Queues that RabbitMQ refused to have consumed, and whether they can be by now.

Each is tried on a thread and a connection of its own: RabbitMQ may close the connection over it, or leave it unanswered
for long, and all other shops' jobs go on meanwhile.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

import pika.exceptions
import structlog

from worker.errors import BrokerError, ConfigurationError, raised_at
from worker.model.lanes import ShopLane
from worker.rabbitmq.channel import LONGEST_CONSENT_SECONDS
from worker.rabbitmq.connection import Parameters, closing_on_failure, connect
from worker.rabbitmq.failures import failure
from worker.rabbitmq.queue_declarer import Unusable
from worker.rabbitmq.topology import shop_queue

MOST_AT_ONCE = 5
"""Threads that try a queue at the same time: a few that aren't answered for keep no others waiting."""

log = structlog.get_logger(__name__)


class QueueProbe:
    """Tries such queues again, after pauses that grow until the queue is consumed: it may answer here and not there.

    ``wake``, which reports a finding, is called on the threads. The methods are for the consumer's and never block.
    ``patience``: seconds that RabbitMQ may take to answer.
    """

    def __init__(
        self, params: Parameters, wake: Callable[[], None], *, patience: float = LONGEST_CONSENT_SECONDS
    ) -> None:
        self._params = params
        self._wake = wake
        self._patience = patience
        self._unusable: dict[ShopLane, Unusable] = {}
        self._asking: set[ShopLane] = set()
        self._answered: set[ShopLane] = set()
        self.findings: deque[tuple[ShopLane, BrokerError | None]] = deque()
        """For :meth:`take`: the queues that were tried, and why each can't be consumed; None: it can be."""

    def failed(self, of: ShopLane, error: BrokerError) -> None:
        """The queue could not be consumed."""
        self._answered.discard(of)
        self._unusable[of] = Unusable.found(of, error, self._unusable.get(of))

    def consumed(self, of: ShopLane) -> None:
        """The queue is consumed."""
        if self._unusable.pop(of, None) is not None:
            self._answered.discard(of)
            log.info("shop_queue_usable", shop=of.key)

    def is_usable(self, of: ShopLane) -> bool:
        """Whether the queue can be consumed as far as is known. One that could not be is tried if it is time to."""
        before = self._unusable.get(of)
        if before is None or of in self._answered:
            return True
        if of not in self._asking and len(self._asking) < MOST_AT_ONCE and before.again_at <= time.monotonic():
            self._asking.add(of)
            threading.Thread(target=self._run, args=(of,), name="queue-probe", daemon=True).start()
        return False

    def take(self) -> None:
        """Take note of what was found out."""
        while self.findings:
            of, problem = self.findings.popleft()
            self._asking.discard(of)
            if problem is not None:
                self._unusable[of] = Unusable.found(of, problem, self._unusable[of])
            else:
                self._answered.add(of)

    def _run(self, of: ShopLane) -> None:
        try:
            problem = self._problem_with(of)
        except Exception as error:  # noqa: BLE001 - the queue would not be consumed any more, and nobody told
            problem = BrokerError(f"the probe failed: {type(error).__name__} at {raised_at(error)}")
        self.findings.append((of, problem))
        self._wake()

    def _problem_with(self, of: ShopLane) -> BrokerError | None:
        """Why the queue can't be consumed; tried with one message at the most, which RabbitMQ requeues."""
        try:
            connection = connect(self._params)
        except (BrokerError, ConfigurationError) as error:
            return error if isinstance(error, BrokerError) else BrokerError(str(error))
        try:
            with closing_on_failure(connection), connection.answered_within(self._patience):
                channel = connection.channel()
                channel.basic_qos(prefetch_count=1)
                channel.basic_consume(shop_queue(*of), lambda *_: None)
                connection.close()
        except (pika.exceptions.AMQPError, OSError) as error:
            return failure(error, connection.node)
        return None
