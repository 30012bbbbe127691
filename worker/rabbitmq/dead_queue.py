"""Reading the dead queue: a person looks through it, and nothing leaves it but what is taken out."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Self

from pika.adapters.blocking_connection import BlockingChannel

from worker.rabbitmq.connection import Parameters, closing_on_failure, connect
from worker.rabbitmq.dead_letters import DeadLetter
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.failures import as_broker_errors
from worker.rabbitmq.frame_reader import discarded_body
from worker.rabbitmq.properties import is_unambiguous
from worker.rabbitmq.topology import DEAD, queues
from worker.text.bounds import LETTER


class DeadQueue:
    """Reads the dead queue from its head. Belongs to one thread, and every call may block; a context manager.

    A letter that was read stays unacknowledged, so nobody else can read it until this is closed. Then the letters that
    were not removed are requeued. A ``with`` that ends without an error keeps their order among each other; after an
    error, or where the connection breaks, it may be another one. Each such return counts towards the queue's delivery
    limit (100,000), at which RabbitMQ drops a message.
    """

    def __init__(self, params: Parameters) -> None:
        """Connect.

        Raises:
          BrokerError, ConfigurationError: as `connect` and `declare_topology` say.
        """
        self._left: int | None = None
        self._held: set[int] = set()
        self._connection = connect(params, largest=LETTER.size)
        with closing_on_failure(self._connection), self._mapped():
            declare_topology(self._connection, queues(()), strict=False)
            self._channel: BlockingChannel = self._connection.channel()

    def letters(self) -> Iterator[DeadLetter]:
        """The messages that are there now, the oldest first.

        Raises:
          BrokerError: the connection broke; nothing is removed by that.
        """
        while (letter := self._get()) is not None:
            yield letter

    def remove(self, letters: Iterable[DeadLetter]) -> None:
        """Take letters out for good; returns once RabbitMQ has done so.

        Raises:
          BrokerError: the connection broke, and each of them may be removed or not.
        """
        with self._mapped():
            for letter in letters:
                self._channel.basic_ack(letter.tag)
                self._held.remove(letter.tag)
            self._settle()

    def close(self) -> None:
        """Requeue the letters that were not removed, and disconnect."""
        with self._mapped():
            if not self._connection.is_open:
                return
            if not self._channel.is_open:
                # RabbitMQ closed the channel and has requeued everything. The caller was told why by the call before.
                self._connection.close()
                return
            # One by one, in order: when the end of the connection returned 30 letters, RabbitMQ 3.10 put them back in
            # the order 9, 10 …
            for tag in sorted(self._held):
                self._channel.basic_nack(tag, requeue=True)
            self._settle()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A requeued letter goes behind those that were requeued before. If only a part of the queue were read and
        # returned, its order would change, so the rest is read too.
        while kind is None and self._left != 0 and self._get() is not None:
            pass
        self.close()

    def _get(self) -> DeadLetter | None:
        if self._left == 0:
            # Letters that came after the start are for another time: a replay must not chase what it made itself.
            return None
        with self._mapped():
            method, properties, body = self._channel.basic_get(DEAD)
        if method is None:
            self._left = 0
            return None
        self._left = method.message_count if self._left is None else self._left - 1
        self._held.add(method.delivery_tag)
        key, headers, discarded = _text(method.routing_key), properties.headers or {}, discarded_body(properties)
        clear, body = is_unambiguous(properties), body if discarded is None else b""
        return DeadLetter(method.delivery_tag, method.exchange, key, headers, clear, body, discarded)

    def _settle(self) -> None:
        # RabbitMQ answers a channel's commands in order and acks not at all. So the answer to this harmless question
        # says that everything before it was carried out.
        self._channel.queue_declare(DEAD, passive=True)

    def _mapped(self) -> AbstractContextManager[None]:
        return as_broker_errors(self._connection.node)


def _text(key: str | bytes) -> str:
    # pika hands a routing key that is not UTF-8 on as bytes.
    return key.decode(errors="backslashreplace") if isinstance(key, bytes) else key
