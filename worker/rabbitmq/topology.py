"""The exchanges and queues of version 1: names, arguments, routing keys.

A shop may have more queues beside its own: ``referrals.urgent.<shop>`` by the key ``<shop>.urgent`` and
``referrals.held.<shop>`` by ``<shop>.held``, bound alike, and ``referrals.paced.<shop>`` by ``<shop>.paced``, which
takes only what workers move, as do ``referrals.paced.2.<shop>`` by ``<shop>.paced.2`` and so on.

::

    referrals.from.<producer> (direct) ──┐
    referrals (direct) ──► referrals.shop.<shop> ◄── referrals.return (direct) ◄─ expired ─┐
                                                          │ no such shop                   │
    referrals.delay.<seconds> (fanout) ──► referrals.delay.<seconds> (TTL) ────────────────┘
                                                          ▼
    referrals.results (topic) ──► referrals.results     referrals.dead (fanout) ──► referrals.dead
    referrals.suppression (fanout) ──► referrals.suppression

Everything is durable and every queue a quorum queue. Arguments are frozen: RabbitMQ refuses to declare a queue that
exists with other ones. What an operator may want to tune is left to policies.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from worker.errors import ConfigurationError
from worker.model.lanes import PACED_LANES, Lane, ShopLane
from worker.model.message import QUEUE
from worker.model.names import SLUG
from worker.model.outcomes import Outcome

JOBS = QUEUE
"""The exchange by which producers publish jobs, with the shop as the routing key."""

RETURN = "referrals.return"
RESULTS = "referrals.results"
DEAD = "referrals.dead"
SUPPRESSION = "referrals.suppression"
"""The journal of the suppression lists: each change of one is a message, which stays for ever."""

REASON_HEADER = "x-referral-reason"
DETAIL_HEADER = "x-referral-detail"
DEAD_AT_HEADER = "x-referral-dead-at"
TAKEOVERS_HEADER = "x-referral-takeovers"
"""Headers that a worker adds to a message that it moves to :data:`DEAD`."""

LANE_PREFIXES: Mapping[Lane, str] = {
    "bulk": "referrals.shop.",
    "urgent": "referrals.urgent.",
    "held": "referrals.held.",
    "paced": "referrals.paced.",
    "paced.2": "referrals.paced.2.",
    "paced.3": "referrals.paced.3.",
    "paced.4": "referrals.paced.4.",
}
"""What the queues of a shop's lanes begin with; its slug follows."""

SINGLE = "referrals.single"
"""The exclusive queue that a process on the memory store holds, so that there is only one such process."""

PRODUCER_PREFIX = "referrals.from."
"""What the exchanges begin with by which one producer publishes jobs for its own shops, and for no others."""

DELAY_PREFIX = "referrals.delay."

DELAYS = (1, 5, 15, 60, 300, 900, 3600)
"""Seconds. Each message also carries its own expiry, and a queue expires messages only at its head: a level bounds how
long one message may block those behind it. Longer waits take several hops."""

DELIVERY_LIMIT = 100_000
"""Deliveries after which RabbitMQ gives a message up. RabbitMQ 3.10 counts every requeue and every dropped connection
as one, also for jobs that never ran. RabbitMQ 4 gives a message up after 20 unless a limit is set."""

_QUORUM = {"x-queue-type": "quorum"}
# At-least-once: a queue keeps a message until the queue that it is dead-lettered to has confirmed it, so a crash of the
# broker loses none. It requires reject-publish.
_AT_LEAST_ONCE = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
_BOUNDED_DELIVERIES = {"x-delivery-limit": DELIVERY_LIMIT, "x-dead-letter-exchange": DEAD}

_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_-]")
# A slug has 63 characters at most, and AMQP allows 255 for a whole routing key.
_LONGEST_WORD = 64


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange to declare."""

    name: str
    type: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue to declare, and its bindings as (exchange, routing key)."""

    name: str
    arguments: Mapping[str, Any]
    bindings: tuple[tuple[str, str], ...]


EXCHANGES: tuple[Exchange, ...] = (
    Exchange(DEAD, "fanout", {}),
    # No alternate exchange here: then RabbitMQ returns a producer's mandatory message if the shop has no queue.
    Exchange(JOBS, "direct", {}),
    # Without an alternate exchange here, the jobs of a removed shop would stay at the head of a delay queue, and block
    # every shop's: 40 of them stopped all retries.
    Exchange(RETURN, "direct", {"alternate-exchange": DEAD}),
    Exchange(RESULTS, "topic", {}),
    Exchange(SUPPRESSION, "fanout", {}),
    *(Exchange(f"{DELAY_PREFIX}{seconds}", "fanout", {}) for seconds in DELAYS),
)


def shop_queue(shop: str, lane: Lane = "bulk") -> str:
    """The name of a shop's queue, or of one of its other lanes'."""
    return f"{LANE_PREFIXES[lane]}{shop}"


def lane_of_queue(name: str) -> ShopLane | None:
    """The shop and lane whose queue has that name; None for any other queue."""
    for lane, prefix in LANE_PREFIXES.items():
        shop = name.removeprefix(prefix)
        # No slug has a dot, so a name has one prefix alone behind which a slug is left.
        if shop != name and SLUG.fullmatch(shop):
            return ShopLane(shop, lane)
    return None


def shop_queue_declaration(shop: str, lane: Lane = "bulk") -> Queue:
    """A queue of a shop's lane, which takes new jobs, but for paced, and those that return from a delay queue."""
    arguments = _QUORUM | _BOUNDED_DELIVERIES | _AT_LEAST_ONCE
    key = ShopLane(shop, lane).key
    exchanges = (RETURN,) if lane in PACED_LANES else (JOBS, RETURN)
    return Queue(shop_queue(shop, lane), arguments, tuple((exchange, key) for exchange in exchanges))


def producer_exchange(producer: str) -> Exchange:
    """A producer's own exchange; without an alternate exchange, for the same reason as :data:`JOBS`.

    Raises:
      ConfigurationError: that is no producer's name.
    """
    if not SLUG.fullmatch(producer):
        raise ConfigurationError(
            f"{producer[:80]!r} is no producer's name: 1 to 63 letters, digits, - and _, the first a letter or digit"
        )
    return Exchange(f"{PRODUCER_PREFIX}{producer}", "direct", {})


def delay_exchange(wait: int) -> str:
    """The exchange of the shortest delay that covers ``wait`` (microseconds), or of the longest delay there is."""
    return f"{DELAY_PREFIX}{next((s for s in DELAYS if wait <= s * 1_000_000), DELAYS[-1])}"


def expiration(wait: int) -> str:
    """``wait`` (microseconds) as a message's own expiry: whole milliseconds, rounded up, at most the longest delay."""
    return str(max(1, -(-min(wait, DELAYS[-1] * 1_000_000) // 1000)))


@lru_cache(maxsize=16_384)  # a shop's results have few keys, and each is made of four words
def result_key(shop: str, outcome: Outcome, code: str | None, *, has_share_action: bool) -> str:
    """``<shop>.<outcome>.<code or ok>.<share or plain>``, each one word of a topic."""
    words = (shop, outcome, code or "ok", "share" if has_share_action else "plain")
    return ".".join(_NOT_A_WORD.sub("_", word)[:_LONGEST_WORD] for word in words)


def queues(shops: Iterable[str]) -> list[Queue]:
    """Every queue that these shops need, in the order to declare them in."""
    return [
        Queue(DEAD, _QUORUM | {"x-delivery-limit": DELIVERY_LIMIT}, ((DEAD, ""),)),
        Queue(SUPPRESSION, _QUORUM | {"x-delivery-limit": DELIVERY_LIMIT}, ((SUPPRESSION, ""),)),
        Queue(RESULTS, _QUORUM | _BOUNDED_DELIVERIES | _AT_LEAST_ONCE, ((RESULTS, "#"),)),
        *(
            Queue(
                f"{DELAY_PREFIX}{seconds}",
                _QUORUM | {"x-message-ttl": seconds * 1000, "x-dead-letter-exchange": RETURN} | _AT_LEAST_ONCE,
                ((f"{DELAY_PREFIX}{seconds}", ""),),
            )
            for seconds in DELAYS
        ),
        *(shop_queue_declaration(shop) for shop in shops),
    ]
