"""What a dead letter is, and what of it can be believed. Pure.

A producer may have written anything into a letter's body and headers. So its way to the dead queue decides what it is:

- A worker's copy holds no foreign header that looks like RabbitMQ's or ours.
- Where RabbitMQ itself moved a message, the first entry of ``x-death`` names the queue and the cause. RabbitMQ 3.10
  puts it before the entries that the producer wrote, RabbitMQ 4 in their place.
- Headers that can be read in two ways, or in none, are not believed at all.

Nor does the body alone say to which shop a letter belongs: a producer that may publish for one shop can write another
shop's name there.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from worker.errors import DeadLetterError
from worker.model.job import Job
from worker.model.lanes import LANES, Lane, ShopLane
from worker.model.message import parse_message
from worker.model.names import SLUG
from worker.rabbitmq.frame_reader import DiscardedBody
from worker.rabbitmq.properties import DEATHS
from worker.rabbitmq.topology import (
    DEAD_AT_HEADER,
    DELAY_PREFIX,
    DETAIL_HEADER,
    REASON_HEADER,
    RESULTS,
    RETURN,
    lane_of_queue,
    shop_queue,
)
from worker.text.bounds import LETTER, MESSAGE, loads

_ID_HEX_DIGITS = 12


@dataclass(frozen=True)
class DeadLetter:
    """A message of the dead queue; ``tag`` is its delivery tag.

    ``clear`` says that the headers which state its way here can be read in one way alone. A ``body`` beyond any bound
    is empty, and ``discarded`` says what it was.
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
        """The first 12 hex digits of its body's SHA-256, by which a person names it. Equal bodies have the same id."""
        digest = hashlib.sha256(self.body).hexdigest() if self.discarded is None else self.discarded.digest
        return digest[:_ID_HEX_DIGITS]

    @property
    def size(self) -> int:
        """Bytes of its body, also of one that was discarded."""
        return len(self.body) if self.discarded is None else self.discarded.size

    @cached_property
    def job(self) -> Job | None:
        """The job in it, whatever its id; None where it holds no job that can be read."""
        try:
            return parse_message(self.body)
        except DeadLetterError:
            return None

    @property
    def is_result(self) -> bool:
        """Whether RabbitMQ took it out of the queue of results, so that a newer `referrals collect` may read it."""
        # A result carries no header of ours. A letter with one is an older worker's dead letter: those workers kept an
        # x-death that a producer had forged.
        return self._death.get("queue") == RESULTS and self.exchange != RETURN and REASON_HEADER not in self.headers

    @property
    def worker_reason(self) -> str | None:
        """Why a worker dead-lettered it; None where no worker did."""
        return self._noted(REASON_HEADER)

    @property
    def reason(self) -> str:
        """Why it is here: as the worker says, else by what RabbitMQ noted on its way.

        ``unknown_shop``: it came back from a delay queue, and its shop has no queue. ``unroutable``: it was sent to the
        exchange of returning jobs by a key that is no shop. ``crash_loop``: it was given back until RabbitMQ's delivery
        limit. ``unreadable_result``: `referrals collect` could not read it. ``oversized``: no worker takes it.
        Else RabbitMQ's own word (``expired``, ``maxlen``), or ``unlabelled`` where nobody gave a reason.
        """
        if self.exchange == RETURN:
            return "unknown_shop" if ShopLane.of_key(self.routing_key) is not None else "unroutable"
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
        """A line that explains the reason to a person; None where nothing is known."""
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
        """When it was dead-lettered, by the worker's note or RabbitMQ's (forgeable on 3.10); or None."""
        noted = self._noted(DEAD_AT_HEADER)
        try:
            at = datetime.fromisoformat(noted) if noted is not None else self._death.get("time")
            return at.astimezone(UTC) if isinstance(at, datetime) and at.tzinfo is not None else None
        except (ValueError, OverflowError):
            return None

    @property
    def shop(self) -> str:
        """The shop that it belongs to: by the queue that it came from, else by its routing key, else by its body.

        May be any text where the letter is no job.
        """
        of = self._queued_for
        by_queue = of.shop if of is not None else None
        return by_queue or self._keyed_for or self._text("shop") or self.routing_key.partition(".")[0]

    @property
    def lane(self) -> Lane:
        """The lane of its shop that it came by."""
        of = self._queued_for or lane_of_queue(self.routing_key) or ShopLane.of_key(self.routing_key)
        return of.lane if of is not None else "bulk"

    def is_of(self, shop: str) -> bool:
        """Whether it came by that shop's queue, by all that RabbitMQ and workers state; its body doesn't count."""
        of = next((ShopLane(shop, lane) for lane in LANES if self.routing_key in _keys(shop, lane)), None)
        if not self.clear or of is None:
            return False
        # A header CC brings a message to a queue by another key than its own, and it keeps its own when it is
        # dead-lettered there.
        return DEATHS not in self.headers or self._queued_for == of or self._was_delayed

    @property
    def campaign(self) -> str | None:
        """As the body says, as far as it can be read; None where it can't."""
        return self._text("campaign")

    @property
    def job_id(self) -> str | None:
        """As the body says, whether its fields make that id or not."""
        return self._text("job_id")

    @cached_property
    def content(self) -> Any:
        """The body as JSON; None where it is none, or beyond the bounds of every message of ours."""
        try:
            return loads(self.body, LETTER)
        except ValueError:
            return None

    @cached_property
    def _death(self) -> Mapping[str, Any]:
        # Of several deaths RabbitMQ puts the latest first.
        deaths = self.headers.get(DEATHS) if self.clear else None
        return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}

    @property
    def _was_too_large(self) -> bool:
        rejected = self._death.get("reason") == "rejected" and self.size > MESSAGE.size
        return rejected and self._queued_for is not None

    @property
    def _queued_for(self) -> ShopLane | None:
        # Of the queue that RabbitMQ took it out of.
        return lane_of_queue(str(self._death.get("queue", "")))

    @property
    def _keyed_for(self) -> str | None:
        # A worker's letter has the shop's slug as its routing key, and a result's key begins with it. The default
        # exchange routes by a queue's name, and only the name of a shop's queue says which shop it is.
        if self.exchange == "":
            of = lane_of_queue(self.routing_key)
            return of.shop if of is not None else None
        word = self.routing_key.partition(".")[0]
        return word if SLUG.fullmatch(word) else None

    @property
    def _was_delayed(self) -> bool:
        # A job that leaves a delay queue goes to its shop's queue first, or comes here by the exchange of returning
        # jobs. So this death is not the last one: an older worker kept it on its dead letters.
        return str(self._death.get("queue", "")).startswith(DELAY_PREFIX)

    @property
    def _moved_by_rabbitmq(self) -> bool:
        return self.exchange == RETURN or (DEATHS in self.headers and not self._was_delayed)

    def _noted(self, header: str) -> str | None:
        # What a worker noted. On a message that RabbitMQ moved, the header is its producer's claim.
        value = None if self._moved_by_rabbitmq else self.headers.get(header)
        return value if isinstance(value, str) else None

    def _text(self, field: str) -> str | None:
        fields = self.content
        for step in ("kwargs", "job"):
            fields = fields.get(step, fields) if isinstance(fields, dict) else None
        value = fields.get(field) if isinstance(fields, dict) else None
        return value if isinstance(value, str) and value else None


def _keys(shop: str, lane: Lane) -> tuple[str, str]:
    # By its exchange, or by the default one.
    return ShopLane(shop, lane).key, shop_queue(shop, lane)
