"""RabbitMQ underneath Dramatiq: all shop queues on one connection, behind the gate."""

from collections import deque
from dataclasses import replace

import pika
import pika.spec
import structlog

from worker.backoff import Backoff
from worker.errors import BrokerError, ConfigurationError, DeadLetterError, DeadReason, UnroutableError, raised_at
from worker.instants import SECOND, to_datetime
from worker.model.dispositions import Finish, Later
from worker.model.job import Job
from worker.model.message import decode_message
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.crash_marks import DEATHS, CrashMark
from worker.rabbitmq.frame_reader import DiscardedBody, discarded_body
from worker.rabbitmq.outgoing import Outgoing
from worker.rabbitmq.properties import copy_properties
from worker.rabbitmq.publisher import Publisher
from worker.rabbitmq.routes import check_route
from worker.rabbitmq.subscriptions import Subscriptions
from worker.rabbitmq.topology import (
    DEAD,
    DEAD_AT_HEADER,
    DETAIL_HEADER,
    REASON_HEADER,
    RESULTS,
    RETURN,
    delay_exchange,
    expiration,
    queues,
    result_key,
    shop_queue,
)
from worker.scheduling.attribution import Trouble
from worker.scheduling.context import Context
from worker.scheduling.delivery import Delivery
from worker.scheduling.loop import GatedConsumer
from worker.store.protocol import AdmitRequest, Grant
from worker.store.timing import UNKNOWN_DEADLINE

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 15.0

LONGEST_HELD = 600 * SECOND
"""No unstarted delivery is kept longer, whatever its shop's pace."""

BURY_AGAIN = 10 * SECOND
"""How long after a refusal a dead letter is published again; the prefetch bounds how many there can be."""

DRAIN = 30 * SECOND
"""How long a stopping process waits for RabbitMQ to confirm what it has in hand."""

PLACE_HEADER = "x-referral-place"
TROUBLE_HEADER = "x-referral-trouble"
"""What the job's calls have met, for the worker that meets it next."""

log = structlog.get_logger(__name__)


class AmqpDelivery(Delivery):
    """A job in hand, with its message as it came and the link's ``generation`` that ``tag`` belongs to."""

    def __init__(self, job: Job, request: AdmitRequest, message: "Received") -> None:
        super().__init__(job, request)
        self.message = message
        self.arrived_at = message.at
        self.trouble = message.trouble


class Received:
    """A message as it came by the queue of ``shop``; ``returned`` from a delay queue, it is a worker's own copy."""

    __slots__ = ("ahead", "at", "body", "generation", "properties", "returned", "shop", "tag")

    def __init__(
        self,
        shop: str,
        method: pika.spec.Basic.Deliver,
        generation: int,
        body: bytes,
        properties: pika.BasicProperties,
        at: int,
        ahead: int,
    ) -> None:
        self.shop = shop
        self.tag: int = method.delivery_tag
        self.returned: bool = method.exchange == RETURN
        self.generation = generation
        self.body = body
        self.properties = properties
        self.at = at
        self.ahead = ahead

    @property
    def expires(self) -> bool:
        """Whether RabbitMQ may take it away once it is back in its queue; a worker's copy waits there for ever."""
        return not self.returned and self.properties.expiration is not None

    @property
    def place(self) -> int | None:
        """The place in its customer's line that a worker has noted on it; anybody else's note is none."""
        place = (self.properties.headers or {}).get(PLACE_HEADER) if self.returned else None
        return place - self.ahead if isinstance(place, int) else None

    @property
    def trouble(self) -> Trouble | None:
        """What a worker has noted that the job's calls have met; anybody else's note is none."""
        if not self.returned:
            return None
        trouble = Trouble.read((self.properties.headers or {}).get(TROUBLE_HEADER), self.at + self.ahead)
        return trouble.moved(-self.ahead) if trouble is not None else None


class AmqpConsumer(GatedConsumer[AmqpDelivery]):
    """Never ends for a fault: it connects, subscribes and reconnects inside ``__next__``.

    ``longest_held`` (microseconds) must stay below RabbitMQ's ``consumer_timeout``.
    """

    longest_held = LONGEST_HELD

    def __init__(
        self,
        context: Context,
        params: Parameters,
        *,
        single: bool,
        timeout: int,
        publisher: type[Publisher] = Publisher,
    ) -> None:
        self._link = ShopChannel(
            params,
            prefetch=context.prefetch,
            single=single,
            on_message=self._on_message,
            wanted=frozenset({PLACE_HEADER, TROUBLE_HEADER}),
        )
        self._publisher = publisher(params, listener=self._on_publisher)
        self._connect_at = 0
        self._backoff = Backoff(FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        self._problem: str | None = None
        self._reason = "starting"
        self._publishing: deque[bool] = deque()
        self._confirmed: deque[tuple[Received, AmqpDelivery | None, Finish | None, BrokerError | None]] = deque()
        self._unconfirmed = 0
        self._undeclared = False
        self._mark = _mark_in(context)
        self._crowded: list[Received] = []
        self._unburied: list[tuple[Received, int]] = []
        super().__init__(context, timeout=timeout)
        self._subscriptions = Subscriptions(params, context, self.gate, self._link, give_back=self._give_back_waiting)
        self.gate.close_all("broker_blocked")
        self._publisher.start()

    def granted(self, delivery: AmqpDelivery, grant: Grant) -> None:
        """The store's ledger knows; there is nothing to add."""

    def released(self, delivery: AmqpDelivery, grant: Grant, *, called: bool) -> None:
        """As :meth:`granted`."""

    def repeat(self, delivery: AmqpDelivery, grant: Grant, later: Later) -> None:
        del grant
        self.defer(delivery, later.not_before)

    def __next__(self) -> AmqpDelivery | None:
        try:
            return super().__next__()
        except Exception as error:  # noqa: BLE001 - Dramatiq would start a second consumer, and log the error's text
            log.error("consumer_failed", error=type(error).__name__, where=raised_at(error))
            self._disconnected(BrokerError(f"the consumer failed: {type(error).__name__} at {raised_at(error)}"))
            return None

    @property
    def disconnected(self) -> str | None:
        if not self._link.up:
            return self._reason
        # Without the publisher's connection no job is called.
        return self._publisher.problem.reason if self._publisher.problem is not None else None

    @property
    def unconfirmed(self) -> int:
        return self._unconfirmed

    def wait(self, until: int) -> None:
        now = self.context.clock.now()
        try:
            if not self._link.up and now >= self._connect_at:
                self._connect()
            elif not self._link.up:
                until = min(until, self._connect_at)
            self._subscriptions.take_declared()
            self._link.pump(max(0, until - now) / SECOND, ready=self._has_news)
            self._make_room()
        except (BrokerError, ConfigurationError) as error:
            self._disconnected(error)
        self._take_news()

    def wake(self) -> None:
        self._link.wake()

    def acknowledge(self, delivery: AmqpDelivery) -> None:
        self._link.ack(delivery.message.tag, delivery.message.generation)

    def put_back(self, delivery: AmqpDelivery) -> None:
        self._link.put_back(delivery.message.tag, delivery.message.generation)

    def publish_result(self, delivery: AmqpDelivery, finish: Finish) -> None:
        key = result_key(delivery.shop, finish.outcome, finish.code, has_share_action=finish.has_share_action)
        self._publish(RESULTS, key, finish.body.encode(), delivery.message, delivery, finish=finish)

    def defer(self, delivery: AmqpDelivery, until: int) -> None:
        wait = until - self.context.clock.now()
        message = delivery.message
        # Another worker reads them, whose steady time may be another.
        ahead = self.context.clock.ahead()
        headers: dict[str, str | int] = (
            {} if delivery.request.place_in_line is None else {PLACE_HEADER: delivery.request.place_in_line + ahead}
        )
        if delivery.trouble is not None and delivery.trouble.since:
            headers[TROUBLE_HEADER] = delivery.trouble.moved(ahead).words
        properties = copy_properties(
            message.properties,
            add=headers,
            returned=message.returned,
            expiration=expiration(wait),
            message_id=delivery.job.job_id,
        )
        self._publish(delay_exchange(wait), delivery.shop, message.body, message, delivery, properties=properties)

    def bury(self, delivery: AmqpDelivery, error: DeadLetterError) -> None:
        self._bury(delivery.message, error)

    def called_off(self) -> None:
        self._subscriptions.hurry()
        self.hurry()

    def housekeep(self, now: int) -> None:
        super().housekeep(now)
        if self._link.up:
            try:
                self._follow(now)
            except BrokerError as error:
                self._disconnected(error)

    def close(self) -> None:
        """Wait for the confirms of what is done, give back the rest, disconnect."""
        deadline = self.context.clock.now() + DRAIN
        self._take_returned()
        self._abandon_grants()
        while self._unconfirmed and self.context.clock.now() < deadline:
            self.wait(min(deadline, self.context.clock.now() + SECOND))
        if self._unconfirmed:
            log.warning("unconfirmed_at_close", messages=self._unconfirmed)
        self.breakers.close()
        self._publisher.close(timeout=0)
        self._subscriptions.close()
        self._link.close()
        if self._mark is not None:
            self._mark.close()

    # What follows runs in the consumer's thread, but for `done` in _publish and _on_publisher.

    def _connect(self) -> None:
        for difference in self._link.open(queues(())):
            log.warning("queue_differs", difference=difference)
        if self._problem is not None:
            log.info("consumer_connected")
        self._problem = None
        self._backoff.reset()
        self._subscriptions.begin()

    def _disconnected(self, error: BrokerError | ConfigurationError) -> None:
        # Whatever of it still stands would keep what is in hand from being delivered again.
        self._link.close()
        if str(error) != self._problem:
            log.warning("consumer_disconnected", problem=str(error))
        self._problem = str(error)
        self._reason = error.reason if isinstance(error, BrokerError) else "configuration"
        self.context.metrics.disconnects.inc()
        self._connect_at = self.context.clock.now() + int(self._backoff.next() * SECOND)
        # RabbitMQ delivers all of this again. Calls under way go on, and the ledger knows their copies.
        for shop in {held.shop for held in self.gate.held()}:
            self.gate.withdraw(shop)

    def _follow(self, now: int) -> None:
        if self._undeclared:
            self._undeclared = False
            self._declare_again()
        self._subscriptions.follow(now)
        self._bury_again(now)
        for shop in {held.shop for held in self.gate.held() if held.message.at < now - self.longest_held}:
            self._give_back_waiting(shop)

    def _declare_again(self) -> None:
        try:
            for difference in self._link.declare(queues(())):
                log.warning("queue_differs", difference=difference)
        except ConfigurationError as error:
            # What needs it is refused and given back, shop by shop; the rest goes on.
            log.error("queue_unusable", problem=str(error))

    def _give_back_waiting(self, shop: str) -> None:
        for delivery in self.gate.withdraw(shop):
            self.put_back(delivery)

    def _on_message(
        self, shop: str, method: pika.spec.Basic.Deliver, body: bytes, properties: pika.BasicProperties
    ) -> None:
        message = Received(
            shop, method, self._link.generation, body, properties, self.context.clock.now(), self.context.clock.ahead()
        )
        if method.redelivered:
            self.context.metrics.redeliveries.inc()
        discarded = discarded_body(properties)
        if discarded is not None and discarded.no_room:
            self._crowded.append(message)
        elif discarded is not None:
            self._reject(message, discarded)
        elif self._mark is None:
            self._read(message, method)
        elif (deaths := self._mark.deaths(body)) >= DEATHS:
            parked = f"{deaths} processes ended while they were reading it"
            self._bury(message, DeadLetterError("crash_loop", parked, history={"readings": deaths}))
        else:
            with self._mark.on(body):
                self._read(message, method)

    def _make_room(self) -> None:
        # Given back while its shop is consumed, each would be there again at once.
        if self._crowded:
            self._subscriptions.make_room({message.shop for message in self._crowded}, self.context.clock.now())
            while self._crowded:
                message = self._crowded.pop()
                self._link.put_back(message.tag, message.generation)

    def _read(self, message: Received, method: pika.spec.Basic.Deliver) -> None:
        shop = message.shop
        config = self.context.shops.get(shop)
        if config is None:
            # The shop left the file a moment ago; its queue stays as it is.
            self._link.put_back(message.tag, message.generation)
            self.hurry()
            return
        try:
            check_route(method.exchange, method.routing_key, shop, config.producers)
            job = decode_message(message.body)
            if job.shop != shop:
                raise DeadLetterError("bad_schema", f"a job of shop {job.shop} came by the queue {shop_queue(shop)}")
        except DeadLetterError as error:
            self._bury(message, error)
            return
        request = self.request_for(job, config, message.place)
        if message.expires:
            request = replace(request, deadline=UNKNOWN_DEADLINE)
        if request.uncalled is not None:
            self._subscriptions.holds_uncalled(shop, message.at)
        self.gate.offer(AmqpDelivery(job, request, message))

    def _reject(self, message: Received, discarded: DiscardedBody) -> None:
        # RabbitMQ has all of it and moves it by itself, with a guarantee of its own; here nobody holds its body.
        self._count_dead(message, "oversized", discarded.detail)
        self._link.reject(message.tag, message.generation)

    def _count_dead(self, message: Received, reason: DeadReason, detail: str) -> None:
        log.error("dead_letter", shop=message.shop, reason=reason, detail=detail)
        self.context.metrics.dead_letters.labels(reason).inc()

    def _bury(self, message: Received, error: DeadLetterError) -> None:
        self._count_dead(message, error.reason, error.detail)
        headers: dict[str, str | int] = {
            REASON_HEADER: error.reason,
            DETAIL_HEADER: error.detail,
            DEAD_AT_HEADER: to_datetime(self.context.clock.now() + self.context.clock.ahead()).isoformat(),
            **{f"x-referral-{name}": number for name, number in error.history.items()},
        }
        # Published, and not rejected as what nobody can hold: over some forms of x-death that a producer may write,
        # RabbitMQ 3.10 stops to dead-letter anything, and with that every shop's delays.
        message.properties = copy_properties(message.properties, add=headers, returned=message.returned)
        self._publish(DEAD, message.shop, message.body, message, None, properties=message.properties)

    def _bury_again(self, now: int) -> None:
        due = [message for message, at in self._unburied if at <= now]
        self._unburied = [(message, at) for message, at in self._unburied if at > now]
        for message in due:
            # After a reconnect RabbitMQ delivers it anew.
            if message.generation != self._link.generation:
                continue
            if message.at < now - self.longest_held:
                # Before RabbitMQ closes the channel over it. It comes again at once, but no sooner than after this.
                self._link.put_back(message.tag, message.generation)
            else:
                self._publish(DEAD, message.shop, message.body, message, None, properties=message.properties)

    def _publish(
        self,
        exchange: str,
        key: str,
        body: bytes,
        message: Received,
        delivery: AmqpDelivery | None,
        *,
        finish: Finish | None = None,
        properties: pika.BasicProperties | None = None,
    ) -> None:
        metrics, clock = self.context.metrics, self.context.clock
        handed_over = clock.now()

        def done(error: BrokerError | None) -> None:
            metrics.confirm_duration.observe((clock.now() - handed_over) / SECOND)
            if error is not None:
                metrics.publish_refusals.inc()
            self._confirmed.append((message, delivery, finish, error))
            self._link.wake()

        self._unconfirmed += 1
        job_id = delivery.job.job_id if delivery is not None else None
        self._publisher.publish(Outgoing(exchange, key, body, done, message_id=job_id, properties=properties))

    def _on_publisher(self, ready: bool) -> None:
        self._publishing.append(ready)
        self._link.wake()

    def _has_news(self) -> bool:
        return bool(self._confirmed or self._publishing or self._subscriptions.has_news or self.has_returned)

    def _take_news(self) -> None:
        while self._publishing:
            if self._publishing.popleft():
                self.gate.open_all("broker_blocked")
            else:
                # It may have been an exchange that somebody deleted.
                self._undeclared = True
                self.gate.close_all("broker_blocked")
        while self._confirmed:
            message, delivery, finish, error = self._confirmed.popleft()
            self._unconfirmed -= 1
            if error is not None:
                self._refused(message, delivery, error)
                continue
            if delivery is not None and finish is not None:
                self.settle(delivery, finish)
            self._link.ack(message.tag, message.generation)

    def _refused(self, message: Received, delivery: AmqpDelivery | None, error: BrokerError) -> None:
        if isinstance(error, UnroutableError):
            self._undeclared = True
        if delivery is not None:
            self.back_off(delivery, str(error))
        else:
            # Given back it would come again at once, and so on for ever. It stays in hand, unacknowledged.
            log.warning("dead_letter_refused", problem=str(error))
            self._unburied.append((message, self.context.clock.now() + BURY_AGAIN))


def _mark_in(context: Context) -> CrashMark | None:
    if context.marks is None:
        return None
    try:
        mark = CrashMark(context.marks)
    except OSError as error:
        # Whatever lies there in its place, jobs are more urgent.
        log.warning("reading_unmarked", folder=str(context.marks), problem=error.strerror)
        return None
    if mark.found:
        log.error("ended_while_reading", processes=mark.found)
        context.metrics.reading_deaths.inc(mark.found)
    return mark
