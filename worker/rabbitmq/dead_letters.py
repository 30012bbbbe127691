"""The dead queue, as a person looks through it: nothing in it is lost, and nothing moves but what is taken out.

A letter's body and headers are its producer's, who may have written anything. What a letter is, is told by how it
came: a worker's copy holds no foreign header that looks like RabbitMQ's or ours, and where RabbitMQ itself moved a
message, the first entry of ``x-death`` names the queue and the cause (RabbitMQ 3.10 puts it before those that the
producer wrote, 4 in their place). Where that can be read in two ways, or in none, nothing of it is believed.

Whose a letter is, its body alone doesn't tell either: who may publish for one shop may write another's name there.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

from pika.adapters.blocking_connection import BlockingChannel

from worker.errors import DeadLetterError
from worker.model.job import SLUG, Job
from worker.model.message import parse_message
from worker.rabbitmq.connection import Parameters, closing_on_failure, connect
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.failures import as_broker_errors
from worker.rabbitmq.frame_reader import DiscardedBody, discarded_body
from worker.rabbitmq.properties import DEATHS, is_unambiguous
from worker.rabbitmq.topology import (
    DEAD,
    DEAD_AT_HEADER,
    DELAY_PREFIX,
    DETAIL_HEADER,
    REASON_HEADER,
    RESULTS,
    RETURN,
    SHOP_PREFIX,
    queues,
    shop_queue,
)
from worker.text.bounds import LETTER, MESSAGE, loads

_ID_HEX_DIGITS = 12


@dataclass(frozen=True)
class DeadLetter:
    """A message of the dead queue; ``tag`` is its delivery tag.

    ``clear`` tells whether its headers can be read in one way alone, as far as they tell how it came. A ``body`` beyond
    any bound is empty, and ``discarded`` tells what it was.
    """

    tag: int
    exchange: str
    routing_key: str
    headers: Mapping[str, Any]
    clear: bool
    body: bytes
    discarded: DiscardedBody | None = None

    @cached_property
    def id(self) -> str:
        """What a person names it by: of its body's SHA-256 the first 12 hex digits. Equal bodies have the same."""
        digest = hashlib.sha256(self.body).hexdigest() if self.discarded is None else self.discarded.digest
        return digest[:_ID_HEX_DIGITS]

    @property
    def size(self) -> int:
        """Bytes of its body, also where that was not kept."""
        return len(self.body) if self.discarded is None else self.discarded.size

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
        # Results carry no header of ours. What does was buried by a worker of before, which kept a forged x-death.
        return self._death.get("queue") == RESULTS and self.exchange != RETURN and REASON_HEADER not in self.headers

    @property
    def worker_reason(self) -> str | None:
        """Why a worker put it here; None where no worker did."""
        return self._noted(REASON_HEADER)

    @property
    def reason(self) -> str:
        """Why it is here: as the worker says, else told from what RabbitMQ has noted on its way.

        ``unknown_shop``: it came back from a delay queue, and its shop has no queue. ``unroutable``: it was sent to the
        exchange of returning jobs by a key that is no shop. ``crash_loop``: it was given back until RabbitMQ's delivery
        limit. ``unreadable_result``: `referrals collect` could not read it. ``oversized``: a worker could not hold it.
        Else RabbitMQ's own word (``expired``, ``maxlen``), or ``unlabelled`` where somebody put it here without one.
        """
        if self.exchange == RETURN:
            return "unknown_shop" if SLUG.fullmatch(self.routing_key) else "unroutable"
        if self.worker_reason is not None:
            return self.worker_reason
        cause = str(self._death.get("reason", ""))
        if cause == "delivery_limit":
            return "crash_loop"
        if cause == "rejected" and self.is_result:
            return "unreadable_result"
        if self._was_too_large:
            return "oversized"
        return cause or "unlabelled"

    @property
    def detail(self) -> str | None:
        """A line that explains the reason."""
        if self.exchange == RETURN:
            return f"no queue takes jobs of {self.routing_key!r}"
        noted = self._noted(DETAIL_HEADER)
        if noted is not None:
            return noted
        if self._was_too_large:
            return DiscardedBody(self.size, "").detail
        return f"RabbitMQ took it out of {self._death['queue']}" if "queue" in self._death else None

    @property
    def dead_at(self) -> datetime | None:
        """Since when it is here; None where nobody has noted it. On RabbitMQ 3.10 a producer can forge RabbitMQ's."""
        noted = self._noted(DEAD_AT_HEADER)
        try:
            at = datetime.fromisoformat(noted) if noted is not None else self._death.get("time")
            return at.astimezone(UTC) if isinstance(at, datetime) and at.tzinfo is not None else None
        except (ValueError, OverflowError):
            return None

    @property
    def shop(self) -> str:
        """Whose it is: of the shop's queue that it came by, else of its routing key, else as its body says.

        May be anything where it is no job.
        """
        return self._queued_for or self._keyed_for or self._text("shop") or self.routing_key.partition(".")[0]

    def is_of(self, shop: str) -> bool:
        """Whether it came by that shop's queue, by all that RabbitMQ and workers state; its body is not asked."""
        if not self.clear or self.routing_key not in {shop, shop_queue(shop)}:
            return False
        # A header CC brings a message to a queue by another key than the first, which it keeps when it dies there.
        return DEATHS not in self.headers or self._queued_for == shop or self._was_delayed

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
        """The body as JSON; None where it is none, or larger than anything of ours."""
        try:
            return loads(self.body, LETTER)
        except ValueError:
            return None

    @cached_property
    def _death(self) -> Mapping[str, Any]:
        # RabbitMQ puts the latest first.
        deaths = self.headers.get(DEATHS) if self.clear else None
        return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}

    @property
    def _was_too_large(self) -> bool:
        rejected = self._death.get("reason") == "rejected" and self.size > MESSAGE.size
        return rejected and str(self._death.get("queue", "")).startswith(SHOP_PREFIX)

    @property
    def _queued_for(self) -> str | None:
        # Whose queue RabbitMQ took it out of.
        queue = str(self._death.get("queue", ""))
        shop = queue.removeprefix(SHOP_PREFIX)
        return shop if shop != queue and SLUG.fullmatch(shop) else None

    @property
    def _keyed_for(self) -> str | None:
        # A worker's letter has the shop's slug as its key, a result begins with it. By the default exchange messages
        # come by a queue's name, of which only a shop's tells whose they are.
        word = self.routing_key.removeprefix(SHOP_PREFIX)
        if self.exchange == "" and word == self.routing_key:
            return None
        word = word.partition(".")[0]
        return word if SLUG.fullmatch(word) else None

    @property
    def _was_delayed(self) -> bool:
        # What a delay queue lets go comes to a shop's queue first, or by the exchange of returning jobs; workers of
        # before kept that death on what they buried.
        return str(self._death.get("queue", "")).startswith(DELAY_PREFIX)

    @property
    def _moved_by_rabbitmq(self) -> bool:
        return self.exchange == RETURN or (DEATHS in self.headers and not self._was_delayed)

    def _noted(self, header: str) -> str | None:
        # By a worker. On what RabbitMQ moved, it is a claim of its producer's.
        value = None if self._moved_by_rabbitmq else self.headers.get(header)
        return value if isinstance(value, str) else None

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
        self._connection = connect(params, largest=LETTER.size)
        with closing_on_failure(self._connection), self._mapped():
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
            if not self._channel.is_open:
                # RabbitMQ has closed it, and has everything back; why, the caller has heard.
                self._connection.close()
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
        key, headers, discarded = _text(method.routing_key), properties.headers or {}, discarded_body(properties)
        clear, body = is_unambiguous(properties), body if discarded is None else b""
        return DeadLetter(method.delivery_tag, method.exchange, key, headers, clear, body, discarded)

    def _settle(self) -> None:
        # Answered after all that went before it on this channel.
        self._channel.queue_declare(DEAD, passive=True)

    def _mapped(self) -> AbstractContextManager[None]:
        return as_broker_errors(self._connection.node)


def _text(key: str | bytes) -> str:
    # A routing key that is not UTF-8 comes as it is.
    return key.decode(errors="backslashreplace") if isinstance(key, bytes) else key
