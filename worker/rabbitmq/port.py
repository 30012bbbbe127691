"""RabbitMQ underneath the loop: all shops' queues on one connection.

Runs on the consumer's thread; once that has ended, ``requeue`` and ``close`` run on the main thread. Other threads
report to it by deques and wake it: the publisher's (confirms, and whether messages can go out), the declarer's (queues
that are ready), the probes' (queues that can be consumed again), and the journal's (its length).
"""

from collections import deque

import pika
import pika.spec
import structlog

from worker.backoff import Backoff
from worker.errors import BrokerError, ConfigurationError, DeadLetterError, UnroutableError, raised_at
from worker.instants import SECOND
from worker.model.dispositions import Finish
from worker.model.lanes import Lane, ShopLane
from worker.model.message import decode_message
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.dead_lettering import DeadLettering
from worker.rabbitmq.journal_question import JournalQuestion
from worker.rabbitmq.message_reader import Decode, MessageReader
from worker.rabbitmq.moves import Moves
from worker.rabbitmq.outbox import Outbox
from worker.rabbitmq.publisher import Publisher
from worker.rabbitmq.received import READ, RabbitmqDelivery, Received
from worker.rabbitmq.subscriptions import Subscriptions
from worker.rabbitmq.topology import SUPPRESSION, queues
from worker.scheduling.port import Intake

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 15.0

LONGEST_HELD = 600 * SECOND
"""No unstarted delivery is kept longer, whatever its shop's pace."""

JOURNAL_EVERY = 60 * SECOND
"""How often the journal of the suppression lists is asked for its length while the connection stands."""

log = structlog.get_logger(__name__)


class RabbitmqPort:
    """Implements :class:`worker.scheduling.port.Port`. Never ends for a fault: it reconnects inside :meth:`poll`.

    ``longest_held`` (microseconds) must stay below RabbitMQ's ``consumer_timeout``, or RabbitMQ closes the channel of
    every shop over one old delivery. ``decode`` and ``publisher`` are for a worker of one's own, such as that of the
    fault suite.
    """

    def __init__(
        self,
        intake: Intake[RabbitmqDelivery],
        params: Parameters,
        *,
        single: bool,
        publisher: type[Publisher] = Publisher,
        decode: Decode = decode_message,
        longest_held: int = LONGEST_HELD,
    ) -> None:
        context = intake.context
        self._intake = intake
        self._context = context
        self._gate = intake.gate
        self._longest_held = longest_held
        self._channel = ShopChannel(
            params,
            prefetch=context.prefetch,
            single=single,
            on_message=self._on_message,
            wanted=READ,
        )
        self._publisher = publisher(params, listener=self._on_publisher)
        self._outbox = Outbox(context, self._channel, self._publisher)
        self._dead_lettering = DeadLettering(context, self._channel, self._outbox)
        self._subscriptions = Subscriptions(
            params,
            context,
            self._gate,
            self._channel,
            requeue_lane=self._requeue_lane,
            controls=lambda: intake.controls.controls,
            calls_nobody=lambda: intake.suppression.lacks_key,
        )
        self._moves = Moves(context, self._outbox, self._subscriptions, take_back=self._gate.take_back)
        self._reader = MessageReader(intake, self._channel, self._subscriptions, self._dead_lettering, decode)
        self._journal = JournalQuestion(params, self._channel.wake)
        self._connect_at = 0
        self._backoff = Backoff(FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        self._problem: str | None = None
        self._reason = "starting"
        self._publishing: deque[bool] = deque()
        self._undeclared = False
        self._cancellations = intake.controls.cancellations
        self._journal_at = 0
        self._gate.close_all("broker_blocked")
        self._publisher.start()

    @property
    def disconnected(self) -> str | None:
        if not self._channel.up:
            return self._reason
        # Without the publisher's connection no job is called.
        return self._publisher.problem.reason if self._publisher.problem is not None else None

    @property
    def unconfirmed(self) -> int:
        return self._outbox.unconfirmed

    def poll(self, until: int) -> None:
        """Connect if it is time to, pump the channel, and act on confirms. While disconnected it waits for the time of
        the next attempt: 0.5 s doubling to 15 s, with jitter.
        """
        now = self._context.clock.now()
        doubted = self._intake.suppression.doubted
        if doubted is not None or self._journal.is_asking:
            # Without a connection it is asked on connecting, and without a store once that answers.
            is_asked = self._channel.up and "store_down" not in self._gate.closed
            self._journal.ask(doubted if is_asked else None)
        try:
            if not self._channel.up and now >= self._connect_at:
                self._connect()
            elif not self._channel.up:
                until = min(until, self._connect_at)
            self._subscriptions.take_usable()
            self._channel.pump(max(0, until - now) / SECOND, ready=self._has_news)
            self._reader.make_room()
        except (BrokerError, ConfigurationError) as error:
            self._disconnect(error)
        self._take_news()

    def wake(self) -> None:
        self._channel.wake()

    def housekeep(self, now: int) -> None:
        """Follow shops, producers and the gate; requeue what was held for long; send refused dead letters again."""
        if self._cancellations != self._intake.controls.cancellations:
            # Jobs of a campaign that was cancelled end also where their shop is closed and not consumed.
            self._cancellations = self._intake.controls.cancellations
            self._subscriptions.peek_everywhere()
        if self._channel.up:
            try:
                self._follow(now)
            except BrokerError as error:
                self._disconnect(error)

    def ack(self, delivery: RabbitmqDelivery) -> None:
        """By tag and generation: after a reconnect RabbitMQ has requeued the message, and the tag is another one's."""
        self._channel.ack(delivery.message.tag, delivery.message.generation)

    def requeue(self, delivery: RabbitmqDelivery) -> None:
        self._channel.requeue(delivery.message.tag, delivery.message.generation)

    def publish_result(self, delivery: RabbitmqDelivery, finish: Finish) -> None:
        self._outbox.publish_result(delivery, finish)

    def publish_delayed(self, delivery: RabbitmqDelivery, until: int) -> None:
        self._outbox.publish_delayed(delivery, until)

    def move(self, delivery: RabbitmqDelivery, lane: Lane, until: int) -> None:
        self._moves.move(delivery, lane, until)

    def dead_letter(self, delivery: RabbitmqDelivery, error: DeadLetterError) -> None:
        self._dead_lettering.send(delivery.message, error)

    def failed(self, error: Exception) -> None:
        """Connect anew: RabbitMQ then delivers again whatever the error has left in hand."""
        log.error("consumer_failed", error=type(error).__name__, where=raised_at(error))
        self._disconnect(BrokerError(f"the consumer failed: {type(error).__name__} at {raised_at(error)}"))

    def close(self) -> None:
        """Disconnect; may block for 5 s until the publisher's thread has ended."""
        # The publisher first. What is unconfirmed by now is delivered again once the consuming connection is closed.
        self._publisher.close(timeout=0)
        self._journal.close()
        self._subscriptions.close()
        self._channel.close()
        self._reader.close()

    def _connect(self) -> None:
        for difference in self._channel.open(queues(())):
            log.warning("queue_differs", difference=difference)
        if self._problem is not None:
            log.info("consumer_connected")
        self._problem = None
        self._backoff.reset()
        suppression = self._intake.suppression
        suppression.journal_has(self._channel.journal, suppression.doubted)
        self._journal_at = self._context.clock.now() + JOURNAL_EVERY
        self._subscriptions.begin()

    def _disconnect(self, error: BrokerError | ConfigurationError) -> None:
        # Whatever of it still stands would keep what is in hand from being delivered again.
        self._channel.close()
        if str(error) != self._problem:
            log.warning("consumer_disconnected", problem=str(error))
        self._problem = str(error)
        self._reason = error.reason if isinstance(error, BrokerError) else "configuration"
        self._context.metrics.disconnects.inc()
        self._connect_at = self._context.clock.now() + int(self._backoff.next() * SECOND)
        # RabbitMQ delivers all of this again. Calls under way go on, and the ledger knows their copies.
        self._moves.forget()
        for shop in {held.shop for held in self._gate.held()}:
            self._gate.remove(shop)

    def _follow(self, now: int) -> None:
        if self._undeclared:
            self._undeclared = False
            self._declare_again()
        self._subscriptions.follow(now)
        if now >= self._journal_at:
            self._journal_at = now + JOURNAL_EVERY
            self._intake.suppression.journal_has(self._channel.waiting(SUPPRESSION))
        self._moves.follow(now, blocked="broker_blocked" in self._gate.closed)
        self._dead_lettering.send_again(now, self._longest_held)
        for of in {held.message.of for held in self._gate.held() if held.message.at < now - self._longest_held}:
            self._requeue_lane(of)

    def _declare_again(self) -> None:
        try:
            for difference in self._channel.declare(queues(())):
                log.warning("queue_differs", difference=difference)
        except ConfigurationError as error:
            # What needs it is refused and requeued, shop by shop; the rest goes on.
            log.error("queue_unusable", problem=str(error))

    def _requeue_lane(self, of: ShopLane) -> None:
        for delivery in self._gate.remove(*of):
            self.requeue(delivery)

    def _on_message(
        self, of: ShopLane, method: pika.spec.Basic.Deliver, body: bytes, properties: pika.BasicProperties
    ) -> None:
        clock = self._context.clock
        message = Received(of, method, self._channel.generation, body, properties, clock.now(), clock.ahead())
        self._reader.take(message, method)

    def _on_publisher(self, ready: bool) -> None:
        # On the publisher's thread.
        self._publishing.append(ready)
        self._channel.wake()

    def _has_news(self) -> bool:
        return bool(
            self._outbox.has_confirms
            or self._publishing
            or self._subscriptions.has_news
            or self._journal.answers
            or self._intake.has_news
        )

    def _take_news(self) -> None:
        if self._journal.answers and (answer := self._journal.take()) is not None:
            self._intake.suppression.journal_has(*answer)
        while self._publishing:
            if self._publishing.popleft():
                self._gate.open_all("broker_blocked")
            else:
                # It may have been an exchange that somebody deleted.
                self._undeclared = True
                self._gate.close_all("broker_blocked")
        while (confirm := self._outbox.take()) is not None:
            message, delivery, finish, error, is_move = confirm
            # Where an exchange is missing.
            self._undeclared |= isinstance(error, UnroutableError)
            if is_move:
                if not self._moves.take_confirm(message, error):
                    continue
            elif error is not None:
                self._take_refusal(message, delivery, error)
                continue
            if delivery is not None and finish is not None:
                self._intake.settle(delivery, finish)
            self._channel.ack(message.tag, message.generation)

    def _take_refusal(self, message: Received, delivery: RabbitmqDelivery | None, error: BrokerError) -> None:
        if delivery is not None:
            self._intake.back_off(delivery, str(error))
        else:
            self._dead_lettering.refused(message, error)
