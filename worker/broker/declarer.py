"""Declares shops' queues away from the consumer's thread: a new quorum queue takes RabbitMQ some milliseconds."""

import queue
import threading
from collections.abc import Callable, Iterable

import pika
import pika.exceptions
import structlog

from worker.broker.connection import Parameters, connect, declare_topology, describe
from worker.broker.topology import shop_queue_declaration
from worker.errors import BrokerError, ConfigurationError

BATCH = 20
"""Shops declared before they are reported; the consumer subscribes to them meanwhile."""

LONGEST_BACKOFF_SECONDS = 15.0

log = structlog.get_logger(__name__)


class Declarer:
    """A thread with a connection of its own while there is something to declare.

    ``on_ready`` is told the shops whose queues are there; it runs in the declarer's thread. A shop whose queue can't
    be declared is logged and left out; a connection that breaks is made again.
    """

    def __init__(self, params: Parameters, on_ready: Callable[[list[str]], None]) -> None:
        self._params = params
        self._on_ready = on_ready
        self._wanted: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="declarer", daemon=True)
        self._thread.start()

    def declare(self, shops: Iterable[str]) -> None:
        """Have these shops' queues declared; returns at once."""
        ordered = list(shops)
        for start in range(0, len(ordered), BATCH):
            self._wanted.put(ordered[start : start + BATCH])

    def close(self) -> None:
        """Stop after the batch that is under way."""
        self._stop.set()
        self._wanted.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection: pika.BlockingConnection | None = None
        backoff = 0.5
        while (batch := self._wanted.get()) is not None and not self._stop.is_set():
            while not self._stop.is_set():
                try:
                    if connection is None or not connection.is_open:
                        connection = connect(self._params)
                    self._on_ready(self._declare(connection, batch))
                    backoff = 0.5
                    break
                except (BrokerError, pika.exceptions.AMQPError, OSError) as error:
                    problem = str(error) if isinstance(error, BrokerError) else describe(error, self._params)
                    log.warning("declaring_failed", problem=problem)
                    self._stop.wait(backoff)
                    backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            if connection is not None and self._wanted.empty():
                _close(connection)
                connection = None
        if connection is not None:
            _close(connection)

    def _declare(self, connection: pika.BlockingConnection, batch: list[str]) -> list[str]:
        try:
            self._report(declare_topology(connection, map(shop_queue_declaration, batch), exchanges=()))
        except ConfigurationError:
            # One of them can't be used; which one is found out one by one, so that it alone is left out.
            return [shop for shop in batch if self._declare_one(connection, shop)]
        return batch

    def _declare_one(self, connection: pika.BlockingConnection, shop: str) -> bool:
        try:
            self._report(declare_topology(connection, [shop_queue_declaration(shop)], exchanges=()))
        except ConfigurationError as error:
            log.error("shop_queue_unusable", shop=shop, problem=str(error))
            return False
        return True

    @staticmethod
    def _report(differences: list[str]) -> None:
        for difference in differences:
            log.warning("queue_differs", difference=difference)


def _close(connection: pika.BlockingConnection) -> None:
    # Between campaigns there is nothing to declare, and an unpumped connection would miss its heartbeats.
    try:
        if connection.is_open:
            connection.close()
    except (pika.exceptions.AMQPError, OSError):
        log.debug("closing_failed")
