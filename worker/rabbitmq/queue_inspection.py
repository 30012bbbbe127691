"""What RabbitMQ says of a queue that is declared passively: that it exists, what it holds and who consumes it.

A passive declare creates nothing and needs no permission to configure. RabbitMQ answers it for a queue that it can't
show by closing the channel, so every question here runs on a channel of its own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pika.exceptions

from worker.rabbitmq.connection import Connection, Parameters, closing_on_failure, connect
from worker.rabbitmq.failures import as_broker_errors


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue that exists: its messages ready for delivery, and its consumers.

    ``ready`` leaves out what is unacknowledged, and of a delay queue it can be 0 however full the queue is (RabbitMQ
    reported 0 of 45): depths come from the metrics endpoint where that can be reached.
    """

    ready: int
    consumers: int


Refusal = int
"""RabbitMQ's reply code in place of a state: 404 for no such queue, 405 for another connection's exclusive one, 403."""


def inspect_queue(connection: Connection, name: str) -> QueueState | Refusal:
    """One queue's state now, or the code by which RabbitMQ refuses it. Blocks for two round trips.

    Raises:
      pika.exceptions.AMQPError, OSError: the connection broke.
    """
    ((_, answer),) = inspect_queues(connection, [name])
    return answer


def inspect_queues(connection: Connection, names: Iterable[str]) -> Iterator[tuple[str, QueueState | Refusal]]:
    """Each queue's state in the given order, or the code of its refusal. Blocks for a round trip for each.

    Raises:
      pika.exceptions.AMQPError, OSError: the connection broke.
    """
    channel = connection.channel()
    for name in names:
        try:
            method = channel.queue_declare(name, passive=True).method
        except pika.exceptions.ChannelClosedByBroker as refusal:
            # The refusal took the channel with it.
            channel = connection.channel()
            yield name, refusal.reply_code
        else:
            yield name, QueueState(method.message_count, method.consumer_count)
    channel.close()


def queue_length(params: Parameters, name: str) -> int:
    """How many messages of a queue are ready, over a connection of its own; 0 where there is no such queue. Blocks.

    Raises:
      BrokerError: RabbitMQ is out of reach.
    """
    connection = connect(params)
    with closing_on_failure(connection), as_broker_errors(connection.node):
        state = inspect_queue(connection, name)
        connection.close()
    return state.ready if isinstance(state, QueueState) else 0
