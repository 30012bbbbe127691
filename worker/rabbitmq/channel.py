"""The consuming connection to RabbitMQ: one channel with a consumer for each queue of a shop.

Runs on the consumer's thread; only :meth:`ShopChannel.wake` may be called from others.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from itertools import count
from typing import Any

import pika
import pika.exceptions
import pika.spec
from pika.adapters.blocking_connection import BlockingChannel

from worker.errors import BrokerError
from worker.model.lanes import ShopLane
from worker.rabbitmq.connection import Connection, Parameters, close_quietly, connect
from worker.rabbitmq.declare import declare_topology, hold_single
from worker.rabbitmq.failures import failure
from worker.rabbitmq.frame_connections import Delivered
from worker.rabbitmq.queue_inspection import QueueState, certain_length, inspect_queue
from worker.rabbitmq.topology import SUPPRESSION, Queue, shop_queue
from worker.text.bounds import IN_HAND

OnMessage = Callable[[ShopLane, pika.spec.Basic.Deliver, bytes, pika.BasicProperties], None]
"""Called with each delivery: the shop and lane of its queue, RabbitMQ's method frame, body, properties."""

LONGEST_CONSENT_SECONDS = 15.0
"""How long RabbitMQ may take to have a queue consumed. After a crash RabbitMQ 3.10 has left one unanswered for minutes,
while it answered for all others at once."""

_NOTHING_TAKEN = ShopLane(""), 0

# One sequence for the whole process: after Dramatiq has replaced a consumer, a worker thread may report a delivery to
# another one than the delivery came from.
_GENERATIONS = count(1)


class ShopChannel:
    """Every failure is a :class:`BrokerError`.

    After a failure the channel is closed, and RabbitMQ requeues all its deliveries. :meth:`open` connects again under
    the next ``generation``. A delivery tag is a number that counts from 1 on every channel: one of an earlier
    generation would acknowledge another job on the new channel, so it is ignored.
    """

    def __init__(
        self,
        params: Parameters,
        *,
        prefetch: int,
        single: bool,
        on_message: OnMessage,
        wanted: frozenset[str] = frozenset(),
        patience: float = LONGEST_CONSENT_SECONDS,
    ) -> None:
        """``wanted`` names the headers that ``on_message`` looks at."""
        self._wanted = wanted
        self._patience = patience
        self._params = params
        self._prefetch = prefetch
        self._single = single
        self._on_message = on_message
        self._connection: Connection | None = None
        self._channel: BlockingChannel | None = None
        # The tag of each queue's consumer, and the queue of each tag: deliveries may still lie here when a consumer has
        # ended.
        self._consumers: dict[ShopLane, str] = {}
        self._tags: dict[str, ShopLane] = {}
        self._numbers = count(1)
        self._cancelled: list[ShopLane] = []
        self._pumping = False
        self._wake_sent = False
        self._woken = threading.Event()
        self._taken: dict[int, tuple[ShopLane, int]] = {}
        self._held = 0
        self.generation = next(_GENERATIONS)
        self.journal = 0
        """Changes in the journal of the suppression lists, as of the last :meth:`open`; 0 is certain."""

    @property
    def up(self) -> bool:
        """Whether there is a channel to consume on."""
        return self._channel is not None

    @property
    def consumed(self) -> frozenset[ShopLane]:
        """The queues that are being consumed."""
        return frozenset(self._consumers)

    def held_by_queue(self) -> Counter[ShopLane]:
        """How much memory the messages in hand of each queue take beyond the ordinary, in bytes."""
        held: Counter[ShopLane] = Counter()
        for of, taken in self._taken.values():
            held[of] += taken
        return held

    def open(self, queues: Iterable[Queue]) -> list[str]:
        """Connect and declare; returns how existing queues differ from ours. Blocks while it connects.

        Raises:
          BrokerError, ConfigurationError: as `connect`, `declare_topology` and `hold_single` say.
        """
        connection = connect(self._params)
        try:
            if self._single:
                hold_single(connection)
            differences = declare_topology(connection, queues)
            self.journal = certain_length(connection, SUPPRESSION)
            channel = connection.channel()
            channel.basic_qos(prefetch_count=self._prefetch)
            channel.add_on_cancel_callback(self._on_cancel)
            connection.keep_within(IN_HAND, wanted=self._wanted)
        except BaseException as error:
            # Left open it would hold the exclusive queue against our own next attempt.
            close_quietly(connection)
            if isinstance(error, pika.exceptions.AMQPError | OSError):
                raise failure(error, connection.node) from error
            raise
        self._connection, self._channel = connection, channel
        self._consumers, self._tags, self._cancelled = {}, {}, []
        self._taken, self._held = {}, 0
        self.generation = next(_GENERATIONS)
        return differences

    def subscribe(self, of: ShopLane, *, prefetch: int | None = None, priority: int = 0) -> None:
        """Consume the queue, by a ``prefetch`` of its own if one is given, and before consumers of lower ``priority``.
        Blocks until RabbitMQ consents; where it doesn't for long, all else on the channel may wait behind it for ever.
        """
        if self._channel is None or self._connection is None:
            return
        try:
            with self._connection.answered_within(self._patience):
                if prefetch is not None:
                    self._channel.basic_qos(prefetch_count=prefetch)
                # A tag of its own each time: where deliveries to an earlier one of the same tag are unacknowledged,
                # RabbitMQ 3.10 loses count of a quorum queue's messages and closes the connection (541 INTERNAL_ERROR).
                tag = f"{of.key}.{next(self._numbers)}"
                # The first delivery may come before RabbitMQ's consent is read.
                self._tags[tag] = of
                self._connection.keep_deliveries_to(tag)
                first = {"x-priority": priority} if priority else None
                self._channel.basic_consume(shop_queue(*of), _ignored, consumer_tag=tag, arguments=first)
                self._consumers[of] = tag
                if prefetch is not None:
                    self._channel.basic_qos(prefetch_count=self._prefetch)
        except (pika.exceptions.AMQPError, OSError) as error:
            raise self._lost(error) from error

    def unsubscribe(self, of: ShopLane) -> None:
        """Stop consuming the queue. Deliveries in hand stay unacknowledged, and are the caller's."""
        if self._channel is None or self._connection is None or of not in self._consumers:
            return
        tag = self._consumers.pop(of)
        try:
            self._channel.basic_cancel(tag)
        except (pika.exceptions.AMQPError, OSError) as error:
            raise self._lost(error) from error
        # What came before RabbitMQ's consent, and is not handed on yet.
        delivered = self._connection.delivered
        for _ in range(len(delivered)):
            delivery = delivered.popleft()
            if delivery[0].consumer_tag == tag:
                self.requeue(delivery[0].delivery_tag, self.generation)
            else:
                delivered.append(delivery)
        del self._tags[tag]
        self._connection.forget(tag)

    def take_cancelled(self) -> list[ShopLane]:
        """The queues whose consumer RabbitMQ has cancelled since the last call: they were deleted."""
        cancelled, self._cancelled = self._cancelled, []
        return cancelled

    def declare(self, queues: Iterable[Queue]) -> list[str]:
        """Declare once more what an operator may have deleted, as :meth:`open` does."""
        if self._connection is None:
            return []
        try:
            return declare_topology(self._connection, queues)
        except BrokerError as error:
            raise self._lost(error) from error

    def waiting(self, queue: str) -> int:
        """How many messages the queue holds that no consumer holds, by RabbitMQ's count, which lags.

        0 also where RabbitMQ can't tell.
        """
        if self._connection is None:
            return 0
        try:
            state = inspect_queue(self._connection, queue)
        except (pika.exceptions.AMQPError, OSError) as error:
            raise self._lost(error) from error
        return state.ready if isinstance(state, QueueState) else 0

    def ack(self, tag: int, generation: int) -> None:
        """Acknowledge the delivery."""
        channel, connection = self._channel, self._connection
        if channel is not None and connection is not None and generation == self.generation:
            self._let_go(tag)
            # On a broken channel there is nothing left to acknowledge: RabbitMQ has requeued the delivery already.
            if channel.is_open:
                # Not by BlockingChannel's own method, which flushes the socket each time: a tenth of a worker's CPU.
                connection.ack(channel.channel_number, tag)

    def requeue(self, tag: int, generation: int) -> None:
        """Requeue the delivery."""
        if self._channel is not None and generation == self.generation:
            self._let_go(tag)
            with _noticed_by_the_pump():
                self._channel.basic_nack(tag, requeue=True)

    def reject(self, tag: int, generation: int) -> None:
        """Have RabbitMQ move the message from the shop's queue to the dead queue, unchanged."""
        if self._channel is not None and generation == self.generation:
            with _noticed_by_the_pump():
                self._channel.basic_reject(tag, requeue=False)

    def pump(self, seconds: float, *, ready: Callable[[], bool]) -> None:
        """Do I/O for up to ``seconds``, until something arrives or :meth:`wake`. Does not block while ``ready()``."""
        if self._connection is None or self._channel is None:
            self._woken.wait(0 if ready() else seconds)
            self._woken.clear()
            return
        self._wake_sent = False
        self._pumping = True
        try:
            # Asked after the flag is set: a thread that reports something from now on wakes the pump.
            self._connection.turn(0 if self._connection.delivered or ready() else seconds)
        except (pika.exceptions.AMQPError, OSError) as error:
            raise self._lost(error) from error
        finally:
            self._pumping = False
        self._hand_on(self._connection.delivered)
        # By now every delivery is handed on and counted, except those that were requeued for a cancelled consumer.
        self._connection.keep_within(IN_HAND - self._held, wanted=self._wanted)
        if not self._channel.is_open:
            # pika's pump raises nothing when RabbitMQ closes only the channel, as it does over an old delivery.
            raise self._lost(self._channel._closing_reason or BrokerError("the channel is closed"))

    def wake(self) -> None:
        """End a running :meth:`pump`. May be called from any thread."""
        connection = self._connection
        if connection is None:
            self._woken.set()
        elif self._pumping and not self._wake_sent:
            # One wake-up is enough, however many threads report before the pump has returned.
            self._wake_sent = True
            connection.wake()

    def close(self) -> None:
        """Close the connection; RabbitMQ requeues what was not acknowledged."""
        connection, self._connection, self._channel = self._connection, None, None
        self._consumers = {}
        if connection is not None:
            close_quietly(connection)

    def _hand_on(self, delivered: Delivered) -> None:
        while delivered:
            method, properties, body = delivered.popleft()
            of = self._tags[method.consumer_tag]
            taken = getattr(properties, "taken", 0)
            if taken:
                self._taken[method.delivery_tag] = of, taken
                self._held += taken
            self._on_message(of, method, body, properties)

    def _let_go(self, tag: int) -> None:
        _, taken = self._taken.pop(tag, _NOTHING_TAKEN) if self._taken else _NOTHING_TAKEN
        if taken and self._connection is not None:
            self._held -= taken
            self._connection.make_room(taken)

    def _on_cancel(self, frame: Any) -> None:
        # The other queues' consumers go on, and so does the channel with the deliveries in hand.
        tag = frame.method.consumer_tag
        of = self._tags.get(tag)
        if of is not None and self._consumers.get(of) == tag:
            del self._consumers[of]
            self._cancelled.append(of)

    def _lost(self, error: BaseException) -> BrokerError:
        connection = self._connection
        self.close()
        if isinstance(error, BrokerError):
            return error
        return failure(error, connection.node) if connection is not None else BrokerError(str(error))


def _noticed_by_the_pump() -> AbstractContextManager[None]:
    # On a broken channel there is nothing left to acknowledge: RabbitMQ has requeued the delivery already.
    return suppress(pika.exceptions.AMQPError, OSError)


def _ignored(*_: object) -> None:
    """Deliveries of a channel that is about to be closed, and those that the connection keeps."""
