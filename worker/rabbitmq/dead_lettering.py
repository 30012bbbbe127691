"""Puts messages that no worker can process into ``referrals.dead``, where a person finds them.

Runs on the consumer's thread. Never waits: the confirm decides when the message is acknowledged.
"""

import structlog

from worker.errors import BrokerError, DeadLetterError, DeadReason
from worker.instants import SECOND, to_datetime
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.frame_reader import DiscardedBody
from worker.rabbitmq.outbox import Outbox
from worker.rabbitmq.properties import copy_properties
from worker.rabbitmq.received import Received
from worker.rabbitmq.topology import DEAD, DEAD_AT_HEADER, DETAIL_HEADER, REASON_HEADER
from worker.scheduling.context import Context

AGAIN_AFTER = 10 * SECOND
"""How long after a refusal a dead letter is published again; the prefetch bounds how many there can be."""

log = structlog.get_logger(__name__)


class DeadLettering:
    """Publishes dead letters, and publishes again those that RabbitMQ has refused."""

    def __init__(self, context: Context, channel: ShopChannel, outbox: Outbox) -> None:
        self._context = context
        self._channel = channel
        self._outbox = outbox
        self._refused: list[tuple[Received, int]] = []

    def send(self, message: Received, error: DeadLetterError) -> None:
        """Publish the message to the dead queue, body and headers kept, with the reason beside them."""
        self._count(message, error.reason, error.detail)
        clock = self._context.clock
        headers: dict[str, str | int] = {
            REASON_HEADER: error.reason,
            DETAIL_HEADER: error.detail,
            DEAD_AT_HEADER: to_datetime(clock.now() + clock.ahead()).isoformat(),
            **{f"x-referral-{name}": number for name, number in error.history.items()},
        }
        # Published, and not rejected as what nobody can hold: over some forms of x-death that a producer may write,
        # RabbitMQ 3.10 stops to dead-letter anything, and with that every shop's delays.
        message.properties = copy_properties(message.properties, add=headers, returned=message.returned)
        self._publish(message)

    def reject(self, message: Received, discarded: DiscardedBody) -> None:
        """Have RabbitMQ itself move a message that is too large to be held here."""
        # RabbitMQ has all of it and moves it by itself, with a guarantee of its own.
        self._count(message, "oversized", discarded.detail)
        self._channel.reject(message.tag, message.generation)

    def refused(self, message: Received, error: BrokerError) -> None:
        """RabbitMQ has refused the dead letter: publish it again in ten seconds."""
        # Requeued it would come again at once, and so on for ever. It stays in hand, unacknowledged.
        log.warning("dead_letter_refused", problem=str(error))
        self._refused.append((message, self._context.clock.now() + AGAIN_AFTER))

    def send_again(self, now: int, longest_held: int) -> None:
        """Publish again what is due. ``longest_held`` (microseconds) bounds how long a message stays in hand."""
        due = [message for message, at in self._refused if at <= now]
        self._refused = [(message, at) for message, at in self._refused if at > now]
        for message in due:
            # After a reconnect RabbitMQ delivers it anew.
            if message.generation != self._channel.generation:
                continue
            if message.at < now - longest_held:
                # Before RabbitMQ closes the channel over it. It comes again at once, but no sooner than after this.
                self._channel.requeue(message.tag, message.generation)
            else:
                self._publish(message)

    def _publish(self, message: Received) -> None:
        self._outbox.publish(DEAD, message.of.key, message.body, message, None, properties=message.properties)

    def _count(self, message: Received, reason: DeadReason, detail: str) -> None:
        log.error("dead_letter", shop=message.shop, reason=reason, detail=detail)
        self._context.metrics.dead_letters.labels(reason).inc()
