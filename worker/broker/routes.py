"""By which way a message came to a shop's queue: RabbitMQ says that, and no producer can write it into a message."""

from worker.broker.topology import shop_queue
from worker.errors import DeadLetterError


def check_route(exchange: str, key: str, shop: str) -> None:
    """See that a delivery was meant for the queue of ``shop`` by its own routing key.

    A header CC or BCC brings copies to the queues of other keys, past what permissions say of exchanges; each copy
    still carries its first key. An administrator's tools put messages back by the queue's name.

    Raises:
      DeadLetterError: it was not (`bad_schema`).
    """
    if key == shop or (exchange == "" and key == shop_queue(shop)):
        return
    raise DeadLetterError("bad_schema", f"its routing key is not {shop}: it came by a header CC or BCC, or a binding")
