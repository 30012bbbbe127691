"""Finds the shops whose jobs no worker takes."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from worker.cli.shop_view import GateView
from worker.cli.store import some_of
from worker.rabbitmq.peek_schedule import LONG_CLOSED
from worker.rabbitmq.topology import shop_queue
from worker.settings import Settings

MOST_ASKED = 200
"""Queues that RabbitMQ is asked about in one look; each is a round trip."""


def consumers_of(loaded: Settings, slugs: Iterable[str]) -> dict[str, int]:
    """The number of consumers by shop, for the first :data:`MOST_ASKED` shops whose queues the user may look at.

    Raises:
      BrokerError: RabbitMQ is out of reach.
      ConfigurationError: its URL can't be used.
    """
    # Imported when used: the store is asked first, and pika would take a fifth of the time until then.
    from worker.rabbitmq.connection import parameters
    from worker.rabbitmq.queue_depths import consumers

    names = {shop_queue(slug): slug for slug in islice(slugs, MOST_ASKED)}
    params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch status")
    return {names[queue]: number for queue, number in consumers(params, names).items()}


def unserved(gates: Mapping[str, GateView], found: Mapping[str, int], now: int) -> list[str]:
    """The shops whose queue has no consumer although a worker would consume it.

    ``found`` is the number of consumers by shop; shops whose queue was not looked at are missing. A worker cancels its
    consumer on a shop that stays closed for long, so a closed shop without one proves nothing. But if an open shop has
    none and no other shop has any, no worker is there at all, and the closed shops count too.
    """
    # A shop that was not looked at is missing in `found` and is never idle.
    idle = [slug for slug in gates if found.get(slug) == 0]
    proven = [slug for slug in idle if _would_be_consumed(gates[slug], now)]
    return idle if proven and not any(found.values()) else proven


def unserved_line(slugs: Sequence[str], *, anybody: bool) -> str:
    """A line for a person about such shops, with what to do; ``anybody``: a worker serves other shops."""
    them = "it" if len(slugs) == 1 else "them"
    remedy = f"check that the workers' shops file has {them}" if anybody else "start `referrals work`"
    return f"no worker takes jobs from {some_of(slugs)}; {remedy}"


def _would_be_consumed(gate: GateView, now: int) -> bool:
    # Half of the time, since a worker subscribes again a moment after the shop has opened.
    return gate.gate == "open" or 0 < gate.until <= now + LONG_CLOSED // 2
