"""Which producers' exchanges are bound to which shops' queues.

RabbitMQ's permissions are per exchange. A producer that may write to its own exchange alone reaches only the shops
whose queues are bound to it. These bindings lead to the queues themselves: through the exchange of all jobs, a
message's headers CC and BCC would be routed too, and would reach every shop.
"""

from collections.abc import Callable, Collection, Iterable

import pika.exceptions
import structlog

from worker.model.lanes import ShopLane
from worker.rabbitmq.connection import Connection
from worker.rabbitmq.declare import NOT_FOUND, declare_topology
from worker.rabbitmq.failures import ACCESS_REFUSED
from worker.rabbitmq.topology import producer_exchange, shop_queue

SAFE_FROM = 4
"""The first RabbitMQ whose dead-lettering no header of a producer can stop; on 3.10 one can."""

log = structlog.get_logger(__name__)

ProducersOf = Callable[[str], Collection[str] | None]
"""The names of a shop's producers, by the shops file as it is now; None where it has no such shop."""


class ProducerBindings:
    """Binds and unbinds as the shops file changes. For the declarer's thread; each call blocks for round trips.

    AMQP has no way to list bindings, so this doesn't know what an earlier process bound. The consumer refuses messages
    that come by such a binding (:mod:`worker.rabbitmq.routes`).
    """

    def __init__(self, producers_of: ProducersOf) -> None:
        self._producers_of = producers_of
        self._bound: dict[ShopLane, frozenset[str]] = {}
        self._warned = False

    def follow(self, connection: Connection, queues: Iterable[ShopLane]) -> list[str]:
        """Bind these queues as the file says of their shops; returns a line for each difference on RabbitMQ's side.

        A shop that has left the file has no producers, so its bindings go. A user that may not configure changes
        nothing: another user must have bound them.

        Raises:
          ConfigurationError: an exchange is missing and can't be made by this user, or is of another type.
          BrokerError: the connection broke.
        """
        wanted = {of: frozenset(self._producers_of(of.shop) or ()) for of in queues}
        names = sorted(frozenset().union(*wanted.values()))
        differences: list[str] = []
        if names:
            self._warn(connection)
            differences = declare_topology(connection, (), exchanges=map(producer_exchange, names))
        for of, producers in wanted.items():
            before = self._bound.get(of, frozenset())
            for producer in before - producers:
                log.info("producer_removed", shop=of.key, producer=producer)
                _change(connection, of, producer, bind=False)
            # Bound again each time, which costs a round trip: queue or exchange may have been deleted meanwhile.
            if not all(_change(connection, of, producer, bind=True) for producer in producers):
                break
            self._bound[of] = producers
        return differences

    def _warn(self, connection: Connection) -> None:
        if connection.major < SAFE_FROM and not self._warned:
            self._warned = True
            log.warning(
                "rabbitmq_trusts_headers",
                problem=f"RabbitMQ before {SAFE_FROM} can be stopped from delaying any shop's jobs by a producer's "
                "header; for producers that you don't trust, upgrade it",
            )


def _change(connection: Connection, of: ShopLane, producer: str, *, bind: bool) -> bool:
    # Returns whether this user may change bindings.
    channel = connection.channel()
    act = channel.queue_bind if bind else channel.queue_unbind
    try:
        act(shop_queue(*of), producer_exchange(producer).name, of.key)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND and not bind:
            # Queue or exchange is gone, and the binding with it.
            return True
        if error.reply_code != ACCESS_REFUSED:
            raise
        return False
    channel.close()
    return True
