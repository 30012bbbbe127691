"""Which producers' exchanges lead to which shops' queues: RabbitMQ lets a user write to the one, and to nothing beyond.

A producer's exchange is bound to the queues themselves. Bound to the exchange of all jobs, it would hand on a message's
headers CC and BCC, and these would reach every shop.
"""

from collections.abc import Callable, Collection, Iterable

import pika.exceptions
import structlog

from worker.rabbitmq.connection import Connection
from worker.rabbitmq.declare import NOT_FOUND, declare_topology
from worker.rabbitmq.failures import ACCESS_REFUSED
from worker.rabbitmq.topology import producer_exchange, shop_queue

SAFE_FROM = 4
"""RabbitMQ's version from which on no header that a producer writes stops it from dead-lettering: 3.10 it does."""

log = structlog.get_logger(__name__)

ProducersOf = Callable[[str], Collection[str] | None]
"""The names of a shop's producers, by the shops file as it is now; None where it has no such shop."""


class ProducerBindings:
    """Binds and unbinds as the shops file changes. For the declarer's thread.

    What an earlier process has bound it doesn't know, since AMQP tells of no bindings: what comes by such a one the
    consumer refuses.
    """

    def __init__(self, producers_of: ProducersOf) -> None:
        self._producers_of = producers_of
        self._bound: dict[str, frozenset[str]] = {}
        self._warned = False

    def follow(self, connection: Connection, shops: Iterable[str]) -> list[str]:
        """See to it that these shops' queues are bound as the file says; returns what differs on RabbitMQ's side.

        A shop that has left the file has no producers.

        A user that may not configure finds that others have bound them.

        Raises:
          ConfigurationError: an exchange is missing and can't be made by this user, or is of another type.
          BrokerError: the connection broke.
        """
        wanted = {shop: frozenset(self._producers_of(shop) or ()) for shop in shops}
        names = sorted(frozenset().union(*wanted.values()))
        differences: list[str] = []
        if names:
            self._warn(connection)
            differences = declare_topology(connection, (), exchanges=map(producer_exchange, names))
        for shop, producers in wanted.items():
            before = self._bound.get(shop, frozenset())
            for producer in before - producers:
                log.info("producer_removed", shop=shop, producer=producer)
                _change(connection, shop, producer, bind=False)
            # Anew each time: somebody may have deleted queue or exchange meanwhile.
            if not all(_change(connection, shop, producer, bind=True) for producer in producers):
                break
            self._bound[shop] = producers
        return differences

    def _warn(self, connection: Connection) -> None:
        if connection.major < SAFE_FROM and not self._warned:
            self._warned = True
            log.warning(
                "rabbitmq_trusts_headers",
                problem=f"RabbitMQ before {SAFE_FROM} can be stopped from delaying any shop's jobs by a producer's "
                "header; for producers that you don't trust, upgrade it",
            )


def _change(connection: Connection, shop: str, producer: str, *, bind: bool) -> bool:
    # Whether this user may.
    channel = connection.channel()
    act = channel.queue_bind if bind else channel.queue_unbind
    try:
        act(shop_queue(shop), producer_exchange(producer).name, shop)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code == NOT_FOUND and not bind:
            return True
        if error.reply_code != ACCESS_REFUSED:
            raise
        return False
    channel.close()
    return True
