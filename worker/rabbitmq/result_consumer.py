"""The consuming side of results: batches that are acknowledged once the caller has stored them."""

from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from worker.errors import BrokerError
from worker.rabbitmq.connection import Parameters, closing_on_failure, connect
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.failures import as_broker_errors
from worker.rabbitmq.frame_reader import discarded_body
from worker.rabbitmq.topology import RESULTS, queues
from worker.text.bounds import RESULT

PREFETCH = 1000
"""Unacknowledged results: the most in a batch, which the caller writes to disk with a single sync."""


class ResultConsumer:
    """Consumes the queue ``referrals.results``. Belongs to one thread, and every call may block.

    After a :class:`BrokerError` make a new one: results that were not acknowledged are redelivered, so the caller
    deduplicates by job id.
    """

    def __init__(self, params: Parameters) -> None:
        """Connect, declare and subscribe.

        Raises:
          BrokerError, ConfigurationError: as `connect` and `declare_topology` say.
        """
        self._received: deque[tuple[int, bytes]] = deque()
        self._cancelled = False
        self._connection = connect(params, largest=RESULT.size)
        with closing_on_failure(self._connection), self._mapped():
            declare_topology(self._connection, queues(()), strict=False)
            self._channel: BlockingChannel = self._connection.channel()
            self._channel.basic_qos(prefetch_count=PREFETCH)
            self._channel.add_on_cancel_callback(self._on_cancel)
            self._channel.basic_consume(RESULTS, self._on_message)

    def batch(self, *, seconds: float) -> list[tuple[int, bytes]]:
        """Up to :data:`PREFETCH` results as (delivery tag, body), after at most ``seconds``; the list may be empty.

        The body of a message that is larger than any result is empty.

        Raises:
          BrokerError: the connection or the channel broke, or the queue was deleted.
        """
        with self._mapped():
            if not self._received:
                self._connection.process_data_events(time_limit=seconds)
            # Everything that has arrived by now shares the batch's sync.
            self._connection.process_data_events(time_limit=0)
            if not self._channel.is_open:
                # pika's pump raises nothing when RabbitMQ closes only the channel, as it does over a delivery that was
                # held past consumer_timeout.
                raise self._channel._closing_reason or BrokerError("the channel of the results queue is closed")
        if self._cancelled:
            raise BrokerError(f"the queue {RESULTS} was deleted; it is declared anew, results in it are lost")
        taken = list(self._received)
        self._received.clear()
        return taken

    def others(self) -> int:
        """How many other consumers take results from the queue."""
        with self._mapped():
            declared = self._channel.queue_declare(RESULTS, passive=True)
        return max(0, int(declared.method.consumer_count) - 1)

    def ack(self, last: int) -> None:
        """Acknowledge every result up to this delivery tag: the caller has stored them."""
        with self._mapped():
            self._channel.basic_ack(last, multiple=True)

    def reject(self, tags: Iterable[int]) -> None:
        """Have RabbitMQ move these to ``referrals.dead``, as no results. Call it before :meth:`ack` of a later tag."""
        with self._mapped():
            for tag in tags:
                self._channel.basic_reject(tag, requeue=False)

    def close(self) -> None:
        """Disconnect."""
        with self._mapped():
            if self._connection.is_open:
                self._connection.close()

    def _on_cancel(self, _frame: object) -> None:
        # RabbitMQ cancels the consumer when the queue is deleted. pika's pump raises nothing then, and waits for ever.
        self._cancelled = True

    def _mapped(self) -> AbstractContextManager[None]:
        return as_broker_errors(self._connection.node)

    def _on_message(self, _channel: object, method: pika.spec.Basic.Deliver, properties: object, body: bytes) -> None:
        self._received.append((method.delivery_tag, body if discarded_body(properties) is None else b""))
