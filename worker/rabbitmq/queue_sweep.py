"""Takes single messages out of a queue that workers use meanwhile, and leaves all others where they are."""

from collections.abc import Callable

from worker.rabbitmq.connection import Parameters, closing_on_failure, connect
from worker.rabbitmq.failures import as_broker_errors
from worker.rabbitmq.queue_inspection import QueueState, inspect_queue
from worker.text.bounds import LETTER


def sweep(params: Parameters, queue: str, is_wanted: Callable[[bytes], bool]) -> list[bytes]:
    """Remove the messages whose body ``is_wanted``, and return their bodies; blocks while it reads the queue once.

    It reads some 300 messages a second on a slow disk, each a write of the queue's; those that come meanwhile are not
    read. Whatever is read stays unacknowledged until the end: meanwhile nobody else gets it, and what expires in a
    delay queue returns a moment late. Then it goes back, beyond some 30 messages not quite in its old order on RabbitMQ
    3.10. If the connection breaks, RabbitMQ puts back whatever was not removed. A queue that is not there has none.

    Raises:
      BrokerError: RabbitMQ is out of reach, or this user may not read the queue.
    """
    removed: list[bytes] = []
    connection = connect(params, largest=LETTER.size)
    with closing_on_failure(connection), as_broker_errors(connection.node):
        if isinstance(inspect_queue(connection, queue), QueueState):
            channel = connection.channel()
            held, left = [], None
            while left != 0 and (got := channel.basic_get(queue))[0] is not None:
                method, _, body = got
                # Publishers may be faster than this is.
                left = method.message_count if left is None else left - 1
                if is_wanted(body):
                    channel.basic_ack(method.delivery_tag)
                    removed.append(body)
                else:
                    held.append(method.delivery_tag)
            for tag in held:
                channel.basic_nack(tag, requeue=True)
            # Its answer says that RabbitMQ has carried out everything before it.
            channel.queue_declare(queue, passive=True)
        connection.close()
    return removed
