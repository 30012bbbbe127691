"""What RabbitMQ says of a queue that is declared passively: that it exists, what it holds and who consumes it.

A passive declare creates nothing and needs no permission to configure. RabbitMQ answers it for a queue that it can't
show by closing the channel, so every question here runs on a channel of its own.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pika.exceptions

from worker.errors import BrokerError
from worker.rabbitmq.connection import Connection, Parameters, closing_on_failure, connect
from worker.rabbitmq.failures import as_broker_errors

LOOKED_AT_SECONDS = 10.0
"""How long others may hold a queue's messages to look at them: a restore reads 1,000,000 addresses faster than that."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue that exists: its messages ready for delivery, and its consumers.

    ``ready`` leaves out what is unacknowledged, and of a delay queue it can be 0 however full the queue is (RabbitMQ
    reported 0 of 45): depths come from the metrics endpoint where that can be reached. Both are 0 for a quorum queue
    whose leader RabbitMQ can't reach: see :func:`certain_length`.
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


def certain_length(connection: Connection, name: str, *, patience: float = LOOKED_AT_SECONDS) -> int:
    """How many messages a quorum queue has, and 0 only where its leader says so, or where there is no such queue.

    RabbitMQ answers 0 too for a queue without a leader, which each has for a moment when a cluster starts after a power
    failure. A message can be asked of the leader alone. So where RabbitMQ says 0 one is asked for, and put back at once
    if there is one. Blocks until there is a leader, for as long as RabbitMQ waits for one (30 s), and for
    ``patience`` seconds at most while others hold messages.

    Raises:
      BrokerError: they went on holding them.
      pika.exceptions.AMQPError, OSError: there is no leader, the user may not read the queue, or the connection broke.
    """
    state = inspect_queue(connection, name)
    if not isinstance(state, QueueState):
        return 0
    # What others hold meanwhile, such as a restore that reads the journal, is not ready.
    if state.ready and not state.consumers:
        return state.ready
    channel = connection.channel()
    least = 0
    if not state.ready:
        method, _, _ = channel.basic_get(name)
        if method is not None:
            least = method.message_count + 1
            channel.basic_nack(method.delivery_tag, requeue=True)
    until = time.monotonic() + patience
    while True:
        # Whoever holds a message in this way counts as a consumer meanwhile. Many may ask at once, of one message.
        answer = channel.queue_declare(name, passive=True).method
        if answer.message_count >= least and not answer.consumer_count:
            channel.close()
            return int(answer.message_count)
        if time.monotonic() > until:
            raise BrokerError(f"queue {name}: others hold its messages, so they can't be counted; who consumes it?")
        time.sleep(0.02)


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
