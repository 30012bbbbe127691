"""The dead queue, as a person looks through it: nothing in it is lost, and nothing moves but what is taken out."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

from pika.adapters.blocking_connection import BlockingChannel

from worker.broker.connection import Parameters, connect, told_as_ours
from worker.broker.declaring import declare_topology
from worker.broker.topology import DEAD, DEAD_AT_HEADER, DETAIL_HEADER, REASON_HEADER, RESULTS, RETURN, queues
from worker.errors import DeadLetterError
from worker.jobs import SLUG, Job, parse_message

_ID_HEX_DIGITS = 12


@dataclass(frozen=True)
class DeadLetter:
    """A message of the dead queue; ``tag`` is its delivery tag."""

    tag: int
    exchange: str
    routing_key: str
    headers: Mapping[str, Any]
    body: bytes

    @cached_property
    def id(self) -> str:
        """What a person names it by: of its body's SHA-256 the first 12 hex digits. Equal bodies have the same."""
        return hashlib.sha256(self.body).hexdigest()[:_ID_HEX_DIGITS]

    @cached_property
    def job(self) -> Job | None:
        """The job in it, whatever its id; None where it holds none that can be read."""
        try:
            return parse_message(self.body)
        except DeadLetterError:
            return None

    @property
    def is_result(self) -> bool:
        """Whether RabbitMQ took it out of the queue of results, where a newer collector may have to do with it."""
        return self._death.get("queue") == RESULTS

    @property
    def reason(self) -> str:
        """Why it is here: as the worker says, else told from what RabbitMQ has noted on its way.

        ``unknown_shop``: it came back from a delay queue, and its shop has no queue. ``unroutable``: it was sent to the
        exchange of returning jobs by a key that is no shop. ``crash_loop``: it was given back until RabbitMQ's delivery
        limit. ``unreadable_result``: `referrals collect` could not read it. Else RabbitMQ's own word (``expired``,
        ``maxlen``), or ``unlabelled`` where somebody put it here without one.
        """
        told = self.headers.get(REASON_HEADER)
        if isinstance(told, str):
            return told
        if self.exchange == RETURN:
            return "unknown_shop" if SLUG.fullmatch(self.routing_key) else "unroutable"
        cause = str(self._death.get("reason", ""))
        if cause == "delivery_limit":
            return "crash_loop"
        if cause == "rejected" and self.is_result:
            return "unreadable_result"
        return cause or "unlabelled"

    @property
    def detail(self) -> str | None:
        """A line that explains the reason."""
        told = self.headers.get(DETAIL_HEADER)
        if isinstance(told, str):
            return told
        if self.exchange == RETURN:
            return f"no queue takes jobs of {self.routing_key!r}"
        return f"RabbitMQ took it out of {self._death['queue']}" if "queue" in self._death else None

    @property
    def dead_at(self) -> datetime | None:
        """Since when it is here; None where nobody has noted it."""
        told = self.headers.get(DEAD_AT_HEADER)
        try:
            at = datetime.fromisoformat(told) if isinstance(told, str) else self._death.get("time")
        except ValueError:
            return None
        return at.astimezone(UTC) if isinstance(at, datetime) and at.tzinfo is not None else None

    @property
    def shop(self) -> str:
        """Whose it is: of its body, else of its routing key; may be anything where it is no job."""
        return self._text("shop") or self.routing_key.partition(".")[0]

    @property
    def campaign(self) -> str | None:
        """As the body says, if it can be read so far."""
        return self._text("campaign")

    @property
    def job_id(self) -> str | None:
        """As the body says, right or wrong."""
        return self._text("job_id")

    @cached_property
    def content(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body.decode())
        except (ValueError, RecursionError):
            return None

    @cached_property
    def _death(self) -> Mapping[str, Any]:
        # RabbitMQ puts the latest first.
        deaths = self.headers.get("x-death")
        return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}

    def _text(self, field: str) -> str | None:
        fields = self.content
        for step in ("kwargs", "job"):
            fields = fields.get(step, fields) if isinstance(fields, dict) else None
        value = fields.get(field) if isinstance(fields, dict) else None
        return value if isinstance(value, str) and value else None


class DeadQueue:
    """Reads the dead queue from its head. Belongs to one thread; a context manager.

    What is read is nobody else's to read until this is closed; what was not removed is then back in its old place.
    Each such return brings a message nearer to the queue's delivery limit (100,000), at which RabbitMQ drops it.
    """

    def __init__(self, params: Parameters) -> None:
        """Connect.

        Raises:
          BrokerError, ConfigurationError: as `connect` and `declare_topology` say.
        """
        self._left: int | None = None
        self._held: set[int] = set()
        self._connection = connect(params)
        with self._mapped():
            declare_topology(self._connection, queues(()), strict=False)
            self._channel: BlockingChannel = self._connection.channel()

    def letters(self) -> Iterator[DeadLetter]:
        """The messages that are there now, the oldest first.

        Raises:
          BrokerError: the connection broke; nothing is removed by that.
        """
        while (letter := self._get()) is not None:
            yield letter

    def remove(self, letters: Iterable[DeadLetter]) -> None:
        """Take them out for good; returns once RabbitMQ has done so."""
        with self._mapped():
            for letter in letters:
                self._channel.basic_ack(letter.tag)
                self._held.remove(letter.tag)
            self._settle()

    def close(self) -> None:
        """Give back what was not removed."""
        with self._mapped():
            if not self._connection.is_open:
                return
            # One by one: left to the end of the connection, RabbitMQ 3.10 put 30 of them back in the order 9, 10 …
            for tag in sorted(self._held):
                self._channel.basic_nack(tag, requeue=True)
            self._settle()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # What is given back goes behind what was given back before, so a part of it would change the order.
        while kind is None and self._left != 0 and self._get() is not None:
            pass
        self.close()

    def _get(self) -> DeadLetter | None:
        if self._left == 0:
            # What came meanwhile is for another time: replaying must not chase what it has made itself.
            return None
        with self._mapped():
            method, properties, body = self._channel.basic_get(DEAD)
        if method is None:
            self._left = 0
            return None
        self._left = method.message_count if self._left is None else self._left - 1
        self._held.add(method.delivery_tag)
        return DeadLetter(method.delivery_tag, method.exchange, method.routing_key, properties.headers or {}, body)

    def _settle(self) -> None:
        # Answered after all that went before it on this channel.
        self._channel.queue_declare(DEAD, passive=True)

    def _mapped(self) -> AbstractContextManager[None]:
        return told_as_ours(self._connection.node)
