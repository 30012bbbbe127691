"""What a worker publishes about the jobs that it holds: results, copies for later, dead letters.

Runs on the consumer's thread, but for the publisher's confirms: those come on the publisher's thread and wait in a
deque. The message that a job came by is acknowledged once what was published about it is confirmed, and never before.
"""

from collections import deque
from typing import NamedTuple

import pika

from worker.errors import BrokerError
from worker.instants import SECOND
from worker.model.dispositions import Finish
from worker.model.lanes import Lane, ShopLane
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.outgoing import Outgoing
from worker.rabbitmq.properties import copy_properties
from worker.rabbitmq.publisher import Publisher
from worker.rabbitmq.received import (
    MOVED_AT_HEADER,
    MOVED_FROM_HEADER,
    PLACE_HEADER,
    TROUBLE_HEADER,
    RabbitmqDelivery,
    Received,
)
from worker.rabbitmq.topology import RESULTS, RETURN, delay_exchange, expiration, result_key
from worker.scheduling.context import Context
from worker.telemetry.tracing import Span


class Confirm(NamedTuple):
    """What became of something published about ``message``; ``error`` is None where RabbitMQ has confirmed it.

    ``delivery`` is None for a dead letter, ``finish`` is None for all but results. ``is_move``: it was published into
    another lane of its shop.
    """

    message: Received
    delivery: RabbitmqDelivery | None
    finish: Finish | None
    error: BrokerError | None
    is_move: bool


class Outbox:
    """Hands messages to the publisher and collects their confirms. Never waits."""

    def __init__(self, context: Context, channel: ShopChannel, publisher: Publisher) -> None:
        self._metrics = context.metrics
        self._clock = context.clock
        self._tracing = context.tracing
        self._channel = channel
        self._publisher = publisher
        self._confirms: deque[Confirm] = deque()
        self._unconfirmed = 0

    @property
    def unconfirmed(self) -> int:
        """How many messages were published and are not taken out by :meth:`take` yet."""
        return self._unconfirmed

    @property
    def has_confirms(self) -> bool:
        """Whether :meth:`take` has something."""
        return bool(self._confirms)

    def take(self) -> Confirm | None:
        """The next confirm or refusal."""
        if not self._confirms:
            return None
        self._unconfirmed -= 1
        return self._confirms.popleft()

    def publish_result(self, delivery: RabbitmqDelivery, finish: Finish) -> None:
        """Publish the job's result to the results exchange."""
        key = result_key(delivery.shop, finish.outcome, finish.code, has_share_action=finish.has_share_action)
        span = self._tracing.result(delivery, RESULTS, finish.outcome) if self._tracing is not None else None
        self.publish(RESULTS, key, finish.body.encode(), delivery.message, delivery, finish=finish, span=span)

    def publish_delayed(self, delivery: RabbitmqDelivery, until: int) -> None:
        """Publish a copy of the job into the delay queue that fits; it comes back about ``until``."""
        wait = until - self._clock.now()
        # By the key of its lane, which it keeps on its way through the delay queue. One that was held may go by now,
        # and behind others that may not nobody would find it.
        lane: Lane = "urgent" if "urgent" in {delivery.lane, delivery.moved_from} else "bulk"
        self._publish_copy(delivery, delay_exchange(wait), ShopLane(delivery.shop, lane).key, expiration(wait))

    def publish_moved(self, delivery: RabbitmqDelivery, lane: Lane) -> None:
        """Publish a copy of the job into another lane of its shop, whose queue exists."""
        # As what returns, so that the next worker reads our notes on it.
        self._publish_copy(delivery, RETURN, ShopLane(delivery.shop, lane).key, None, is_move=True)

    def _publish_copy(
        self, delivery: RabbitmqDelivery, exchange: str, key: str, expires: str | None, *, is_move: bool = False
    ) -> None:
        message = delivery.message
        # Another worker reads them, whose steady time may be another: so by the wall clock.
        ahead = self._clock.ahead()
        headers: dict[str, str | int] = (
            {} if delivery.request.place_in_line is None else {PLACE_HEADER: delivery.request.place_in_line + ahead}
        )
        if delivery.trouble is not None and delivery.trouble.since:
            headers[TROUBLE_HEADER] = delivery.trouble.moved(ahead).words
        if delivery.moved_at:
            headers[MOVED_AT_HEADER] = delivery.moved_at
        if delivery.moved_from is not None:
            headers[MOVED_FROM_HEADER] = delivery.moved_from
        if delivery.trace is not None and message.trace is None:
            # Begun here: the job's later calls, wherever they are made, belong to it.
            headers.update(delivery.trace.headers)
        properties = copy_properties(
            message.properties,
            add=headers,
            returned=message.returned,
            expiration=expires,
            message_id=delivery.job.job_id,
        )
        self.publish(exchange, key, message.body, message, delivery, properties=properties, is_move=is_move)

    def publish(
        self,
        exchange: str,
        key: str,
        body: bytes,
        message: Received,
        delivery: RabbitmqDelivery | None,
        *,
        finish: Finish | None = None,
        properties: pika.BasicProperties | None = None,
        is_move: bool = False,
        span: Span | None = None,
    ) -> None:
        """Publish something about ``message``; what became of it comes by :meth:`take`, and ends the ``span``."""
        metrics, clock = self._metrics, self._clock
        handed_over = clock.now()

        def done(error: BrokerError | None) -> None:
            # On the publisher's thread.
            metrics.confirm_duration.observe((clock.now() - handed_over) / SECOND)
            if error is not None:
                metrics.publish_refusals.inc()
            if span is not None:
                span.end(error.reason if error is not None else None)
            self._confirms.append(Confirm(message, delivery, finish, error, is_move))
            self._channel.wake()

        self._unconfirmed += 1
        job_id = delivery.job.job_id if delivery is not None else None
        context = span.context if span is not None else delivery.trace if finish is not None and delivery else None
        headers = context.headers if context is not None else None
        self._publisher.publish(
            Outgoing(exchange, key, body, done, message_id=job_id, properties=properties, headers=headers)
        )
