"""Which shops no worker takes jobs from, and how that is said."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from worker.cli.shop_view import GateView
from worker.cli.store import some_of
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.queue_depths import consumers
from worker.rabbitmq.subscriptions import LONG_CLOSED
from worker.rabbitmq.topology import shop_queue
from worker.settings import Settings

MOST_ASKED = 200
"""Shops whose queues RabbitMQ is asked about in one look: each is a round trip."""


def consumers_of(loaded: Settings, slugs: Iterable[str]) -> dict[str, int]:
    """How many consumers the shops' queues have, of the first :data:`MOST_ASKED` that the user may look at.

    Raises:
      BrokerError: RabbitMQ is out of reach.
      ConfigurationError: its URL can't be used.
    """
    names = {shop_queue(slug): slug for slug in islice(slugs, MOST_ASKED)}
    params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch status")
    return {names[queue]: number for queue, number in consumers(params, names).items()}


def unserved(gates: Mapping[str, GateView], found: Mapping[str, int], now: int) -> list[str]:
    """The shops whose queue has no consumer though a worker would consume it; of others nobody can tell.

    ``found`` has the consumers of each shop whose queue was looked at. A worker leaves the queue of a shop that stays
    closed for long, so that of a closed shop proves nothing, unless an open one has none either, nor any other.
    """
    idle = [slug for slug in gates if found.get(slug) == 0]
    proven = [slug for slug in idle if _would_be_consumed(gates[slug], now)]
    return idle if proven and not any(found.values()) else proven


def unserved_line(slugs: Sequence[str], *, anybody: bool) -> str:
    """The same for a person, with what to do; ``anybody``: other shops have a worker."""
    them = "it" if len(slugs) == 1 else "them"
    remedy = f"check that the workers' shops file has {them}" if anybody else "start `referrals work`"
    return f"no worker takes jobs from {some_of(slugs)}; {remedy}"


def _would_be_consumed(gate: GateView, now: int) -> bool:
    # Half of it, since a worker takes the queue up again a moment later than that.
    return gate.gate == "open" or 0 < gate.until <= now + LONG_CLOSED // 2
