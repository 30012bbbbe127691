"""Dramatiq's RabbitMQ broker with our consumer on the queue of referrals.

``consume`` runs on the consumer's thread, ``enqueue`` on any.
"""

from functools import partial
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import CurrentMessage

from worker.model.message import QUEUE, decode_message
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.message_reader import Decode
from worker.rabbitmq.port import LONGEST_HELD, RabbitmqPort
from worker.rabbitmq.producer import Producer
from worker.rabbitmq.publisher import Publisher
from worker.scheduling.context import Context
from worker.scheduling.loop import GatedConsumer


class ReferralBroker(RabbitmqBroker):
    """Consumes the queue ``referrals`` through the gate; actors on other queues are served as by the stock broker.

    Dramatiq's middleware for retries, age limits and time limits is left out: each would acknowledge, repeat or cut
    off a job without the ledger knowing.
    """

    def __init__(
        self,
        context: Context,
        params: Parameters,
        *,
        single: bool,
        publisher: type[Publisher] = Publisher,
        decode: Decode = decode_message,
        longest_held: int = LONGEST_HELD,
    ) -> None:
        """``publisher``, ``decode`` and ``longest_held`` are those of :class:`RabbitmqPort`."""
        super().__init__(confirm_delivery=True, middleware=[CurrentMessage()])
        # Under this name the stock broker, for actors on other queues, expects pika's own.
        self.parameters = list(params.nodes)
        self._params = params
        self._context = context
        self._connect = partial(
            RabbitmqPort, params=params, single=single, publisher=publisher, decode=decode, longest_held=longest_held
        )

    def declare_queue(self, queue_name: str, *, ensure: bool = False) -> None:
        """As the stock broker, but the queue of referrals announces no delay queue: that would start a consumer."""
        if queue_name != QUEUE:
            super().declare_queue(queue_name, ensure=ensure)
        elif queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> dramatiq.Consumer:
        """The gated consumer of every shop's queue, or a stock one for another queue."""
        if queue_name != QUEUE:
            return super().consume(queue_name, prefetch, timeout)
        return GatedConsumer(self._context, self._connect, timeout=timeout)

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Publish a job sent through its actor, confirmed; it may not be delayed, since its shop's pace decides.

        Raises:
          worker.errors.DeadLetterError: the message holds no job.
          worker.errors.BrokerError: it was not confirmed.
        """
        if message.queue_name != QUEUE:
            return super().enqueue(message, delay=delay)
        if delay is not None:
            raise ValueError("a referral can't be delayed: its shop's limits decide when it runs")
        with Producer(self._params) as producer:
            producer.send(decode_message(message.encode()))
        return message
