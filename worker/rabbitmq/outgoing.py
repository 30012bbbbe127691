"""A message on its way to RabbitMQ, and whom its outcome is reported to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pika

from worker.errors import BrokerError
from worker.rabbitmq.frames import persistent_json

Done = Callable[[BrokerError | None], None]
"""Called once when a message's outcome is known: None for confirmed. Runs in the publisher's thread: don't block."""


def ignore_outcome(_error: BrokerError | None) -> None:
    """The callback of a message whose sender needs no outcome, or sets another callback before it is published."""


@dataclass(slots=True)
class Outgoing:
    """A message to publish. ``properties``, where given, replace all that the other fields would make."""

    exchange: str
    routing_key: str
    body: bytes
    done: Done
    message_id: str | None = None
    timestamp: int | None = None
    properties: pika.BasicProperties | None = None
    headers: Mapping[str, str] | None = None
    # RabbitMQ has handed it back; its confirm is still to come.
    returned: bool = field(default=False, init=False)

    @property
    def place(self) -> str:
        """Where it is to go, for a line to a person."""
        return f"exchange {self.exchange}, routing key {self.routing_key}"

    def packed(self) -> bytes:
        """Its properties as they travel; raises ValueError where AMQP has no room for the id."""
        if self.properties is None:
            return persistent_json(self.message_id, self.timestamp, self.headers)
        return b"".join(self.properties.encode())
