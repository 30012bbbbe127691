"""The journal of the suppression lists: every change of one is a message in a queue that nobody consumes.

The store has the lists, and RabbitMQ has what they can be made from. Where the jobs are is thus also what must not be
forgotten about them, whatever becomes of the store. Each worker asks for the number of messages when it connects, and
calls nobody while its store has had fewer changes.
"""

import base64
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Self

import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from worker.errors import BrokerError, ConfigurationError, InputError
from worker.model.suppression import packed, unpacked
from worker.rabbitmq.connection import Parameters, closing_on_failure, connect
from worker.rabbitmq.declare import RESOURCE_LOCKED, declare_topology
from worker.rabbitmq.failures import as_broker_errors
from worker.rabbitmq.outgoing import Outgoing, ignore_outcome
from worker.rabbitmq.producer import publish_each
from worker.rabbitmq.queue_inspection import certain_length
from worker.rabbitmq.topology import SUPPRESSION, queues

WRITER = "referrals.suppression.writer"
"""The exclusive queue that whoever changes the lists holds, so that changes have one order."""

MOST_IN_A_CHANGE = 5_000
"""Addresses of one message: 55 KB."""


_PUBLISHED_AT_ONCE = 100

LONGEST_ANSWER_SECONDS = 60.0
"""For the journal's length. RabbitMQ waits for its leader for 30 s."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a list: addresses that are put on the list of a shop, or taken off it.

    ``key`` is the fingerprint of the key by which they are hashed. Numbers rise by one from change to change.
    """

    number: int
    action: Literal["add", "remove"]
    shop: str
    key: bytes
    addresses: Sequence[bytes]

    def encoded(self) -> bytes:
        """The message's body."""
        fields = {
            "schema": 1,
            "number": self.number,
            "action": self.action,
            "shop": self.shop,
            "key": self.key.hex(),
            "addresses": base64.b64encode(packed(self.addresses)).decode(),
        }
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def decoded(cls, body: bytes) -> "Change":
        """The change in a message.

        Raises:
          InputError: there is none; somebody else has written into the journal.
        """
        try:
            match json.loads(body):
                case {
                    "schema": 1,
                    "number": int(number),
                    "action": "add" | "remove" as action,
                    "shop": str(shop),
                    "key": str(key),
                    "addresses": str(addresses),
                }:
                    hashes = unpacked(base64.b64decode(addresses, validate=True))
                    return cls(number, action, shop, bytes.fromhex(key), hashes)
                case _:
                    pass
        except ValueError:
            pass
        raise InputError(f"the queue {SUPPRESSION} holds a message that is no change of a suppression list: remove it")


def journal_length(params: Parameters) -> int:
    """How many changes the journal has, over a connection of its own; 0 is certain. Blocks.

    Raises:
      BrokerError: RabbitMQ is out of reach, or the journal has no leader.
    """
    connection = connect(params)
    with (
        closing_on_failure(connection),
        as_broker_errors(connection.node),
        connection.answered_within(LONGEST_ANSWER_SECONDS),
    ):
        length = certain_length(connection, SUPPRESSION)
        connection.close()
    return length


class SuppressionJournal:
    """The journal in one command's hands. Every call may block; a context manager, for one thread."""

    def __init__(self, params: Parameters) -> None:
        """Connect, and keep all other commands from changing the lists meanwhile.

        Raises:
          ConfigurationError: another command is changing them.
          BrokerError: RabbitMQ is out of reach, or refuses.
        """
        self._params = params
        self._connection = connect(params)
        with closing_on_failure(self._connection), self._mapped():
            declare_topology(self._connection, queues(()))
            self._hold()
            self._channel: BlockingChannel = self._connection.channel()

    def length(self) -> int:
        """How many changes it has; 0 is certain."""
        with self._mapped():
            return certain_length(self._connection, SUPPRESSION)

    def append(self, changes: Sequence[Change]) -> None:
        """Add changes; returns once RabbitMQ has confirmed them.

        Raises:
          BrokerError: it did not confirm all of them.
        """
        for first in range(0, len(changes), _PUBLISHED_AT_ONCE):
            part = changes[first : first + _PUBLISHED_AT_ONCE]
            messages = [Outgoing(SUPPRESSION, change.shop, change.encoded(), ignore_outcome) for change in part]
            for problem in publish_each(messages, self._params):
                if problem is not None:
                    raise problem

    def rewrite(self, changes: Sequence[Change]) -> None:
        """Have these changes in place of all that it has; returns once RabbitMQ has confirmed them.

        Raises:
          BrokerError: it did not confirm all of them; it is to be rewritten again.
        """
        with self._mapped():
            self._channel.queue_purge(SUPPRESSION)
        self.append(changes)

    def changes(self) -> list[Change]:
        """All changes, in their order.

        Raises:
          InputError: a message of it is no change.
          BrokerError: others hold some of them.
        """
        bodies: list[bytes] = []
        length = self.length()
        with self._mapped():
            channel = self._connection.channel()
            tags = []
            while (got := channel.basic_get(SUPPRESSION))[0] is not None:
                method, _, body = got
                tags.append(method.delivery_tag)
                bodies.append(body)
            # One by one, so that they keep their order, and until RabbitMQ has done so.
            for tag in tags:
                channel.basic_nack(tag, requeue=True)
            channel.queue_declare(SUPPRESSION, passive=True)
            channel.close()
        if len(bodies) < length:
            raise BrokerError(f"queue {SUPPRESSION}: of {length:,} messages others hold some; run it again")
        return sorted(map(Change.decoded, bodies), key=lambda change: change.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._mapped():
            if self._connection.is_open:
                self._connection.close()

    def _hold(self) -> None:
        try:
            self._connection.channel().queue_declare(WRITER, exclusive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            if error.reply_code == RESOURCE_LOCKED:
                raise ConfigurationError(
                    "another command is changing the suppression lists; run this one once it has ended"
                ) from None
            raise BrokerError(f"queue {WRITER}: {error.reply_code} {error.reply_text}") from error

    def _mapped(self) -> AbstractContextManager[Any]:
        return as_broker_errors(self._connection.node)
