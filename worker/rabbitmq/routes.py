"""By which way a message came to a shop's queue: RabbitMQ says that, and no producer can write it into a message."""

from collections.abc import Container

from worker.errors import DeadLetterError
from worker.rabbitmq.topology import JOBS, PRODUCER_PREFIX, RETURN, shop_queue


def check_route(exchange: str, key: str, shop: str, producers: Container[str]) -> None:
    """See that a delivery was meant for the queue of ``shop`` by its own routing key, and by one of its ``producers``.

    A producer's exchange may still be bound to the queue of a shop that the file no longer gives it.

    A header CC or BCC brings copies to the queues of other keys, past what permissions say of exchanges; each copy
    still carries its first key. An administrator's tools put messages back by the queue's name.

    Raises:
      DeadLetterError: it was not (`bad_schema`).
    """
    if key != shop and (exchange, key) != ("", shop_queue(shop)):
        problem = f"its routing key is not {shop}: it came by a header CC or BCC, or a binding"
        raise DeadLetterError("bad_schema", problem)
    if exchange in {JOBS, RETURN} or not exchange.startswith(PRODUCER_PREFIX):
        return
    if exchange.removeprefix(PRODUCER_PREFIX) not in producers:
        raise DeadLetterError(
            "bad_schema",
            f"it came by {exchange}, whose producer the shops file does not name for {shop}: name it there, or unbind "
            f"the exchange from {shop_queue(shop)}",
        )
