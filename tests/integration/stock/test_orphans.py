"""Jobs in a delay queue whose shop is gone: what the plain way of building delays makes of them."""

import pytest

from tests.integration.rabbitmq.bench import declare, message_of, new_job
from tests.integration.rabbitmq.tap import Tap
from tests.services import Vhost
from worker.instants import SECOND
from worker.rabbitmq.topology import DEAD, RETURN, delay_exchange, shop_queue

ORPHANS = 40
"""More than the 32 that RabbitMQ's at-least-once dead-lettering has under way."""


def delay(tap: Tap, exchange: str) -> None:
    """Put the orphans of a removed shop, and behind them a job of a shop that is there, into a delay."""
    for number in range(ORPHANS):
        tap.put(exchange, "gone", message_of(new_job(number, shop="gone")), expiration="100")
    tap.put(exchange, "acme", message_of(new_job(1)), expiration="100")


def test_naive_orphans_stop_every_shops_delays(tap: Tap) -> None:
    """Expired into an exchange without an alternate, unroutable jobs stay first, and nobody's job comes back."""
    tap.channel.exchange_declare("naive.return", "direct")
    tap.channel.exchange_declare("naive.delay", "fanout")
    arguments = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "naive.return",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    tap.channel.queue_declare("naive.delay", durable=True, arguments=arguments)
    tap.channel.queue_bind("naive.delay", "naive.delay", "")
    tap.channel.queue_declare("naive.acme", durable=True, arguments={"x-queue-type": "quorum"})
    tap.channel.queue_bind("naive.acme", "naive.return", "acme")
    delay(tap, "naive.delay")
    with pytest.raises(TimeoutError):
        tap.take("naive.acme", 1, 3)


def test_ours_lets_orphans_pass(vhost: Vhost, tap: Tap) -> None:
    """The same over our topology: the job is back, the orphans are where a person finds them."""
    declare(vhost)
    delay(tap, delay_exchange(SECOND))
    (letter,) = tap.take(shop_queue("acme"), 1, 10)
    assert (letter.exchange, letter.body) == (RETURN, message_of(new_job(1)))
    assert {letter.routing_key for letter in tap.take(DEAD, ORPHANS, 10)} == {"gone"}
