"""The way by which a message came to a shop's queue.

RabbitMQ states exchange and routing key of each delivery, and no producer can forge them. So they decide whether a
message was meant for this queue, whatever the message says of itself.
"""

from collections.abc import Container

from worker.errors import DeadLetterError
from worker.model.lanes import ShopLane
from worker.rabbitmq.topology import JOBS, PRODUCER_PREFIX, RETURN, shop_queue


def check_route(exchange: str, key: str, of: ShopLane, producers: Container[str]) -> None:
    """Accept a delivery that was published for ``of`` by its own routing key, and by one of the shop's ``producers``.

    A header CC or BCC brings copies to the queues of other shops, whatever RabbitMQ's permissions say of exchanges; but
    each copy still carries its own routing key. An administrator's tools put messages back by the queue's name, through
    the default exchange. A producer's exchange may still be bound to a shop that the file no longer gives it.

    Raises:
      DeadLetterError: it was not published so (`bad_schema`).
    """
    if key != of.key and (exchange, key) != ("", shop_queue(*of)):
        problem = f"its routing key is not {of.key}: it came by a header CC or BCC, or a binding"
        raise DeadLetterError("bad_schema", problem)
    if exchange in {JOBS, RETURN} or not exchange.startswith(PRODUCER_PREFIX):
        return
    if exchange.removeprefix(PRODUCER_PREFIX) not in producers:
        raise DeadLetterError(
            "bad_schema",
            f"it came by {exchange}, whose producer the shops file does not name for {of.shop}: name it there, or "
            f"unbind the exchange from {shop_queue(*of)}",
        )
