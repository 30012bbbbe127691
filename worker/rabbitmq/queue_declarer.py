"""Declares shops' queues away from the consumer's thread.

A new quorum queue takes RabbitMQ some 10 ms. The consumer can't wait for that: a thousand new ones took 6 s, in which
no job of any shop would start.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import pika
import pika.exceptions
import structlog

from worker.backoff import Backoff, doubling_pause
from worker.errors import BrokerError, ConfigurationError, raised_at
from worker.rabbitmq.connection import Connection, Parameters, connect
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.failures import failure
from worker.rabbitmq.producer_exchanges import ProducerBindings, ProducersOf
from worker.rabbitmq.queue_inspection import QueueState, inspect_queues
from worker.rabbitmq.topology import shop_queue, shop_queue_declaration

BATCH = 20
"""Shops that are declared before they are reported, so that the consumer subscribes while the next are declared."""

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0
"""Bounds of the pause before a queue that could not be declared is tried again."""

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 15.0

log = structlog.get_logger(__name__)


class QueueDeclarer:
    """A thread that has a connection of its own while there is something to declare.

    ``producers_of`` names the producers whose exchanges are bound to a shop's queue. A shop that has left the file
    keeps its queue, with the jobs in it, and its producers' exchanges are unbound.

    ``on_ready`` is called with the shops whose queues exist, those that existed before first; it runs in the declarer's
    thread. A shop whose queue can't be used is logged and tried again later. A connection that breaks is made again.
    """

    def __init__(
        self,
        params: Parameters,
        on_ready: Callable[[list[str]], None],
        producers_of: ProducersOf = lambda _shop: (),
    ) -> None:
        self._params = params
        self._on_ready = on_ready
        self._wanted: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._unusable: dict[str, Unusable] = {}
        self._unbound: dict[str, Unusable] = {}
        self._producers_of = producers_of
        self._bindings = ProducerBindings(producers_of)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="declarer", daemon=True)
        self._thread.start()

    def declare(self, shops: Iterable[str]) -> None:
        """Have these shops' queues declared and their producers bound; returns at once."""
        self._wanted.put(list(shops))

    def close(self) -> None:
        """Stop after the batch that is under way."""
        self._stop.set()
        self._wanted.put([])
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            shops = self._next()
            if shops:
                self._declare_all(shops)

    def _next(self) -> list[str]:
        """Wait for shops to declare, or until those that failed are due again."""
        again = self._unbound | self._unusable
        due_at = min((unusable.again_at for unusable in again.values()), default=None)
        try:
            wanted = self._wanted.get(timeout=None if due_at is None else max(0.0, due_at - time.monotonic()))
        except queue.Empty:
            wanted = []
        now = time.monotonic()
        due = [shop for shop, unusable in again.items() if unusable.again_at <= now and shop not in wanted]
        return wanted + due

    def _declare_all(self, shops: list[str]) -> None:
        """Declare these shops in batches over one connection, however often that has to be made anew."""
        connection: Connection | None = None
        backoff = Backoff(FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        while shops and not self._stop.is_set():
            try:
                if connection is None or not connection.is_open:
                    connection = connect(self._params)
                    shops = _existing_first(connection, shops)
                left = [shop for shop in shops[:BATCH] if self._producers_of(shop) is None]
                usable = self._declare(connection, [shop for shop in shops[:BATCH] if shop not in left])
                self._on_ready(usable)
                for shop in left:
                    self._unusable.pop(shop, None)
                self._bind(connection, [*usable, *left])
            except (BrokerError, pika.exceptions.AMQPError, OSError) as error:
                if connection is not None and not isinstance(error, BrokerError):
                    error = failure(error, connection.node)
                log.warning("declaring_failed", problem=str(error))
                self._stop.wait(backoff.next())
            except Exception as error:  # noqa: BLE001 - without this thread no shop would be served, and nobody told
                log.error("declaring_failed", error=type(error).__name__, where=raised_at(error))
                self._stop.wait(backoff.next())
            else:
                shops = shops[BATCH:]
                backoff.reset()
        if connection is not None:
            _close(connection)

    def _declare(self, connection: Connection, batch: Sequence[str]) -> list[str]:
        """Declare the queues of a batch; returns the shops whose queues can be used."""
        try:
            self._report(declare_topology(connection, map(shop_queue_declaration, batch), exchanges=()))
        except (ConfigurationError, BrokerError):
            # A queue of the batch can't be used. They are declared one by one, so that only that one is left out.
            return [shop for shop in batch if self._declare_one(connection, shop)]
        for shop in batch:
            self._has_become_usable(shop)
        return list(batch)

    def _declare_one(self, connection: Connection, shop: str) -> bool:
        try:
            self._report(declare_topology(connection, [shop_queue_declaration(shop)], exchanges=()))
        except (ConfigurationError, BrokerError) as error:
            if not connection.is_open:
                raise
            before = self._unusable.get(shop)
            self._unusable[shop] = Unusable.found(shop, error, before)
            return False
        self._has_become_usable(shop)
        return True

    def _bind(self, connection: Connection, shops: Sequence[str]) -> None:
        # Shop by shop, and apart from the queues: one producer that can't be bound must keep no other one out.
        for shop in shops:
            before = self._unbound.get(shop)
            try:
                self._report(self._bindings.follow(connection, [shop]))
            except (ConfigurationError, BrokerError) as error:
                if not connection.is_open:
                    raise
                self._unbound[shop] = Unusable.found(shop, error, before, "producer_exchange_unusable")
            else:
                self._unbound.pop(shop, None)

    def _has_become_usable(self, shop: str) -> None:
        if self._unusable.pop(shop, None) is not None:
            log.info("shop_queue_usable", shop=shop)

    @staticmethod
    def _report(differences: list[str]) -> None:
        for difference in differences:
            log.warning("queue_differs", difference=difference)


class Unusable:
    """A shop's queue that could not be declared or consumed: why, how often, when it is due (monotonic seconds)."""

    def __init__(self, problem: str, failures: int) -> None:
        self.problem = problem
        self.failures = failures
        self.again_at = time.monotonic() + doubling_pause(failures, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)

    @classmethod
    def found(
        cls, shop: str, error: Exception, before: "Unusable | None", event: str = "shop_queue_unusable"
    ) -> "Unusable":
        """The state after one more failure; logged unless ``before`` failed alike. The pause doubles each time."""
        if before is None or before.problem != str(error):
            log.error(event, shop=shop, problem=str(error))
        return cls(str(error), 1 if before is None else before.failures + 1)


def _existing_first(connection: Connection, shops: Sequence[str]) -> list[str]:
    """The shops in the order to declare them in: those whose queues exist first."""
    # Asking for a queue takes a thirtieth of the time that a new one takes, and jobs can only wait in those that exist.
    if len(shops) <= BATCH:
        return list(shops)
    answers = [answer for _, answer in inspect_queues(connection, map(shop_queue, shops))]
    exists = {shop: isinstance(answer, QueueState) for shop, answer in zip(shops, answers, strict=True)}
    return sorted(shops, key=lambda shop: not exists[shop])


def _close(connection: Connection) -> None:
    # Nothing is declared for days, and nobody pumps this connection meanwhile: RabbitMQ would drop it for missed
    # heartbeats and log an error.
    try:
        if connection.is_open:
            connection.close()
    except (pika.exceptions.AMQPError, OSError):
        log.debug("closing_failed")
