"""Reads what RabbitMQ delivers: a message becomes a job at the gate, a dead letter, or goes back to its queue.

Runs on the consumer's thread, in the midst of the channel's pump.
"""

from collections.abc import Callable
from dataclasses import replace

import pika.spec
import structlog

from worker.errors import DeadLetterError
from worker.model.job import Job
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.crash_marks import DEATHS, CrashMark
from worker.rabbitmq.dead_lettering import DeadLettering
from worker.rabbitmq.frame_reader import discarded_body
from worker.rabbitmq.received import RabbitmqDelivery, Received
from worker.rabbitmq.routes import check_route
from worker.rabbitmq.subscriptions import Subscriptions
from worker.rabbitmq.topology import shop_queue
from worker.scheduling.context import Context
from worker.scheduling.port import Intake
from worker.store.timing import UNKNOWN_DEADLINE

Decode = Callable[[bytes], Job]
"""Reads a message's body.

Raises:
  DeadLetterError: it holds no job.
"""

log = structlog.get_logger(__name__)


class MessageReader:
    """Turns deliveries into jobs. The process may die while it reads one: a mark on the disk counts those deaths."""

    def __init__(
        self,
        intake: Intake[RabbitmqDelivery],
        channel: ShopChannel,
        subscriptions: Subscriptions,
        dead_lettering: DeadLettering,
        decode: Decode,
    ) -> None:
        self._intake = intake
        self._context = intake.context
        self._channel = channel
        self._subscriptions = subscriptions
        self._dead_lettering = dead_lettering
        self._decode = decode
        self._mark = _mark_in(intake.context)
        self._crowded: list[Received] = []

    def take(self, message: Received, method: pika.spec.Basic.Deliver) -> None:
        """Read the message as far as it can be read."""
        if method.redelivered:
            self._context.metrics.redeliveries.inc()
        discarded = discarded_body(message.properties)
        if discarded is not None and discarded.no_room:
            self._crowded.append(message)
        elif discarded is not None:
            self._dead_lettering.reject(message, discarded)
        elif self._mark is None:
            self._read(message, method)
        elif (deaths := self._mark.deaths(message.body)) >= DEATHS:
            # Whatever ended those processes, reading this message again would end this one too.
            detail = f"{deaths} processes ended while they were reading it"
            self._dead_lettering.send(message, DeadLetterError("crash_loop", detail, history={"readings": deaths}))
        else:
            with self._mark.on(message.body):
                self._read(message, method)

    def make_room(self) -> None:
        """Requeue what there was no memory for, once its shop is not consumed for a moment.

        Raises:
          BrokerError: the connection broke.
        """
        # Requeued while its shop is consumed, each would be there again at once.
        if self._crowded:
            self._subscriptions.make_room({message.of for message in self._crowded}, self._context.clock.now())
            while self._crowded:
                message = self._crowded.pop()
                self._channel.requeue(message.tag, message.generation)

    def close(self) -> None:
        """Leave no mark behind."""
        if self._mark is not None:
            self._mark.close()

    def _read(self, message: Received, method: pika.spec.Basic.Deliver) -> None:
        shop = message.shop
        config = self._context.shops.get(shop)
        if config is None:
            # The shop left the file a moment ago; its queue stays as it is.
            self._channel.requeue(message.tag, message.generation)
            self._intake.hurry()
            return
        try:
            check_route(method.exchange, method.routing_key, message.of, config.producers)
            job = self._decode(message.body)
            if job.shop != shop:
                problem = f"a job of shop {job.shop} came by the queue {shop_queue(*message.of)}"
                raise DeadLetterError("bad_schema", problem)
        except DeadLetterError as error:
            self._dead_lettering.send(message, error)
            return
        urgent = message.lane == "urgent"
        request = self._intake.request_for(job, config, place_in_line=message.place_in_line, urgent=urgent)
        if message.expires:
            # RabbitMQ may drop this copy, so no other copy of the job may be ended in its favour.
            request = replace(request, deadline=UNKNOWN_DEADLINE)
        if request.uncalled is not None:
            self._subscriptions.holds_uncalled(message.of, message.at)
        self._intake.gate.offer(RabbitmqDelivery(job, request, message))


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
