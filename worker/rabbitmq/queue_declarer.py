"""Declares shops' queues away from the consumer's thread.

A new quorum queue takes RabbitMQ some 10 ms. The consumer can't wait for that: a thousand new ones took 6 s, in which
no job of any shop would start.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import pika
import pika.exceptions
import structlog

from worker.backoff import Backoff, doubling_pause
from worker.errors import BrokerError, ConfigurationError, raised_at
from worker.model.lanes import ASIDE, ShopLane
from worker.rabbitmq.connection import Connection, Parameters, connect
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.failures import failure
from worker.rabbitmq.producer_exchanges import ProducerBindings, ProducersOf
from worker.rabbitmq.queue_inspection import QueueState, Refusal, inspect_queues
from worker.rabbitmq.topology import shop_queue, shop_queue_declaration

BATCH = 20
"""Queues that are declared before they are reported, so that the consumer subscribes while the next are declared."""

SEARCHED_AT_ONCE = 500
"""Queues that are looked for before what is to be declared gets its turn: some 0.3 s."""

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0
"""Bounds of the pause before a queue that could not be declared is tried again."""

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 15.0

OnFound = Callable[[list[ShopLane]], None]

log = structlog.get_logger(__name__)


class QueueDeclarer:
    """A thread that has a connection of its own while there is something to declare or to look for.

    ``producers_of`` names the producers whose exchanges are bound to a shop's queue. A shop that has left the file
    keeps its queue, with the jobs in it, and its producers' exchanges are unbound.

    ``on_ready`` is called with the lanes whose queues exist, those that existed before first; it runs in the declarer's
    thread. A queue that can't be used is logged and tried again later. A connection that breaks is made again.
    """

    def __init__(
        self,
        params: Parameters,
        on_ready: Callable[[list[ShopLane]], None],
        producers_of: ProducersOf = lambda _shop: (),
    ) -> None:
        self._params = params
        self._on_ready = on_ready
        self._wanted: queue.SimpleQueue[list[ShopLane] | _Search] = queue.SimpleQueue()
        self._unusable: dict[ShopLane, Unusable] = {}
        self._unbound: dict[ShopLane, Unusable] = {}
        self._producers_of = producers_of
        self._bindings = ProducerBindings(producers_of)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="declarer", daemon=True)
        self._thread.start()

    def declare(self, queues: Iterable[ShopLane]) -> None:
        """Have these queues declared and their shops' producers bound; returns at once."""
        self._wanted.put(list(queues))

    def find(self, queues: Iterable[ShopLane], on_found: OnFound) -> None:
        """Have it found out which of these queues exist; returns at once.

        ``on_found`` is called with those, in the declarer's thread, once all were asked for. What is to be declared
        meanwhile comes first. RabbitMQ logs an error for each queue that doesn't exist.
        """
        self._wanted.put(_Search(list(queues), on_found, []))

    def close(self) -> None:
        """Stop after the batch that is under way."""
        self._stop.set()
        self._wanted.put([])
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            wanted = self._next()
            if isinstance(wanted, _Search):
                self._search(wanted)
            elif wanted:
                self._declare_all(wanted)

    def _next(self) -> "list[ShopLane] | _Search":
        """Wait for queues to declare or to look for, or until those that failed are due again."""
        again = self._unbound | self._unusable
        due_at = min((unusable.again_at for unusable in again.values()), default=None)
        try:
            wanted = self._wanted.get(timeout=None if due_at is None else max(0.0, due_at - time.monotonic()))
        except queue.Empty:
            wanted = []
        if isinstance(wanted, _Search):
            return wanted
        now = time.monotonic()
        due = [of for of, unusable in again.items() if unusable.again_at <= now and of not in wanted]
        return wanted + due

    def _search(self, search: "_Search") -> None:
        part, rest = search.queues[:SEARCHED_AT_ONCE], search.queues[SEARCHED_AT_ONCE:]
        names = {shop_queue(*of): of for of in part}
        try:
            connection = connect(self._params)
            try:
                found = [names[name] for name, state in inspect_queues(connection, names) if _exists(state)]
            finally:
                _close(connection)
        except (BrokerError, pika.exceptions.AMQPError, OSError) as error:
            log.warning("searching_failed", problem=str(error))
            self._stop.wait(FIRST_PAUSE_SECONDS)
            part, rest, found = [], search.queues, []
        search = _Search(rest, search.on_found, [*search.found, *found])
        if rest:
            # Behind whatever is to be declared by now.
            self._wanted.put(search)
        else:
            search.on_found(search.found)

    def _declare_all(self, queues: list[ShopLane]) -> None:
        """Declare these queues in batches over one connection, however often that has to be made anew."""
        connection: Connection | None = None
        backoff = Backoff(FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        while queues and not self._stop.is_set():
            try:
                if connection is None or not connection.is_open:
                    connection = connect(self._params)
                    queues = _existing_first(connection, queues)
                left = [of for of in queues[:BATCH] if self._producers_of(of.shop) is None]
                usable = self._declare(connection, [of for of in queues[:BATCH] if of not in left])
                self._on_ready(usable)
                for of in left:
                    self._unusable.pop(of, None)
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
                queues = queues[BATCH:]
                backoff.reset()
        if connection is not None:
            _close(connection)

    def _declare(self, connection: Connection, batch: Sequence[ShopLane]) -> list[ShopLane]:
        """Declare the queues of a batch; returns those that can be used."""
        try:
            self._report(declare_topology(connection, [shop_queue_declaration(*of) for of in batch], exchanges=()))
        except (ConfigurationError, BrokerError):
            # A queue of the batch can't be used. They are declared one by one, so that only that one is left out.
            return [of for of in batch if self._declare_one(connection, of)]
        for of in batch:
            self._has_become_usable(of)
        return list(batch)

    def _declare_one(self, connection: Connection, of: ShopLane) -> bool:
        try:
            self._report(declare_topology(connection, [shop_queue_declaration(*of)], exchanges=()))
        except (ConfigurationError, BrokerError) as error:
            if not connection.is_open:
                raise
            before = self._unusable.get(of)
            self._unusable[of] = Unusable.found(of, error, before)
            return False
        self._has_become_usable(of)
        return True

    def _bind(self, connection: Connection, queues: Sequence[ShopLane]) -> None:
        # One by one, and apart from the queues: one producer that can't be bound must keep no other one out. Producers
        # publish no held jobs, and only workers move jobs into paced.
        for of in queues:
            if of.lane in ASIDE:
                continue
            before = self._unbound.get(of)
            try:
                self._report(self._bindings.follow(connection, [of]))
            except (ConfigurationError, BrokerError) as error:
                if not connection.is_open:
                    raise
                self._unbound[of] = Unusable.found(of, error, before, "producer_exchange_unusable")
            else:
                self._unbound.pop(of, None)

    def _has_become_usable(self, of: ShopLane) -> None:
        if self._unusable.pop(of, None) is not None:
            log.info("shop_queue_usable", shop=of.key)

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
        cls, of: ShopLane, error: Exception, before: "Unusable | None", event: str = "shop_queue_unusable"
    ) -> "Unusable":
        """The state after one more failure; logged unless ``before`` failed alike. The pause doubles each time."""
        if before is None or before.problem != str(error):
            log.error(event, shop=of.key, problem=str(error))
        return cls(str(error), 1 if before is None else before.failures + 1)


class _Search(NamedTuple):
    queues: list[ShopLane]
    on_found: OnFound
    found: list[ShopLane]


def _existing_first(connection: Connection, queues: Sequence[ShopLane]) -> list[ShopLane]:
    """The queues in the order to declare them in: those that exist first."""
    # Asking for a queue takes a thirtieth of the time that a new one takes, and jobs can only wait in those that exist.
    if len(queues) <= BATCH:
        return list(queues)
    answers = [answer for _, answer in inspect_queues(connection, [shop_queue(*of) for of in queues])]
    exists = {of: _exists(answer) for of, answer in zip(queues, answers, strict=True)}
    return sorted(queues, key=lambda of: not exists[of])


def _exists(answer: QueueState | Refusal) -> bool:
    return isinstance(answer, QueueState)


def _close(connection: Connection) -> None:
    # Nothing is declared for days, and nobody pumps this connection meanwhile: RabbitMQ would drop it for missed
    # heartbeats and log an error.
    try:
        if connection.is_open:
            connection.close()
    except (pika.exceptions.AMQPError, OSError):
        log.debug("closing_failed")
