"""Declaring on RabbitMQ: idempotent, at ease with what it can live with, clear about what it can't."""

import re

import pika.exceptions
import pytest

from tests.integration.rabbitmq.bench import declare, message_of, new_job
from tests.integration.rabbitmq.tap import Tap, limit
from tests.services import RabbitMQ, Vhost, wait_until
from worker.errors import ConfigurationError
from worker.rabbitmq.connection import connect, parameters
from worker.rabbitmq.dead_queue import DeadQueue
from worker.rabbitmq.topology import DEAD, DELAYS, JOBS, RESULTS, RETURN, shop_queue

QUORUM = {"x-queue-type": "quorum"}


def test_declaring_again_changes_nothing(vhost: Vhost, tap: Tap) -> None:
    """What was declared is declared again without a difference, and keeps its messages."""
    assert declare(vhost, ["acme", "bolt"]) == []
    tap.put(JOBS, "acme", message_of(new_job(1)))

    assert declare(vhost, ["acme", "bolt"]) == []

    assert tap.take(shop_queue("acme"), 1, 5)[0].body == message_of(new_job(1))
    for name in (DEAD, RESULTS, shop_queue("bolt"), *(f"referrals.delay.{seconds}" for seconds in DELAYS)):
        tap.channel.queue_declare(name, passive=True)


def test_a_queue_with_other_arguments_is_taken_and_named(vhost: Vhost, tap: Tap) -> None:
    """A quorum queue with arguments of somebody's choice is used as it is, bindings included, and reported."""
    parked = QUORUM | {"x-dead-letter-exchange": DEAD, "x-delivery-limit": 7}
    tap.channel.exchange_declare(DEAD, "fanout", durable=True)
    tap.channel.queue_declare(shop_queue("acme"), durable=True, arguments=parked)

    differences = declare(vhost)

    assert len(differences) == 1
    assert "queue referrals.shop.acme" in differences[0]
    assert "x-delivery-limit is 7, not 100000" in differences[0]
    assert differences[0].endswith("; to have ours, move its messages away, delete it, start again")
    tap.put(JOBS, "acme", b"routed")
    tap.put("referrals.return", "acme", b"returned")
    assert [letter.body for letter in tap.take(shop_queue("acme"), 2, 5)] == [b"routed", b"returned"]


def test_a_classic_queue_is_refused_with_the_remedy(vhost: Vhost, tap: Tap) -> None:
    """A classic queue under one of our names can't be run on; the line names it and what to do."""
    tap.channel.queue_declare(shop_queue("acme"), durable=True)
    with pytest.raises(ConfigurationError, match=r"queue referrals\.shop\.acme exists with another type .*delete it"):
        declare(vhost)


def test_an_exchange_of_another_type_is_refused(vhost: Vhost, tap: Tap) -> None:
    """A topic exchange where a direct one belongs is refused, as jobs would go astray."""
    tap.channel.exchange_declare(JOBS, "topic", durable=True)
    with pytest.raises(ConfigurationError, match=r"exchange referrals exists with another type"):
        declare(vhost)


@pytest.mark.parametrize(
    "dropping",
    [{"x-max-length": 1000}, {"x-max-length-bytes": 10_000, "x-overflow": "drop-head"}, {"x-message-ttl": 60_000}],
    ids=["length", "bytes", "age"],
)
def test_a_results_queue_that_drops_is_refused(vhost: Vhost, tap: Tap, dropping: dict[str, object]) -> None:
    """A results queue with a bound would lose confirmed results, so nothing starts on it."""
    tap.channel.queue_declare(RESULTS, durable=True, arguments=QUORUM | dropping)
    with pytest.raises(ConfigurationError, match=r"queue referrals\.results would lose messages .*delete it"):
        declare(vhost)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (DEAD, {"x-message-ttl": 60_000}),
        (DEAD, {"x-delivery-limit": 20}),
        (RESULTS, {"x-delivery-limit": 20}),
        (shop_queue("acme"), {"x-message-ttl": 60_000}),
        (shop_queue("acme"), {"x-max-length": 1000}),
        (shop_queue("acme"), {"x-delivery-limit": 20}),
        (shop_queue("acme"), {"x-delivery-limit": 20, "x-dead-letter-exchange": "elsewhere"}),
        (shop_queue("acme"), {"x-expires": 60_000, "x-dead-letter-exchange": DEAD}),
        ("referrals.delay.5", {}),
        ("referrals.delay.5", {"x-message-ttl": 5000}),
        ("referrals.delay.5", {"x-dead-letter-exchange": "elsewhere"}),
        (
            "referrals.delay.5",
            {"x-message-ttl": 5000, "x-dead-letter-exchange": RETURN, "x-dead-letter-routing-key": "acme"},
        ),
    ],
)
def test_a_queue_that_would_lose_a_job_is_refused(
    vhost: Vhost, tap: Tap, name: str, arguments: dict[str, object]
) -> None:
    """What may leave a queue for nowhere, or for a place where nobody looks, was confirmed to somebody."""
    tap.channel.queue_declare(name, durable=True, arguments=QUORUM | arguments)
    with pytest.raises(ConfigurationError, match=rf"queue {re.escape(name)} would lose messages .*delete it"):
        declare(vhost)
    if name == shop_queue("acme"):
        # Nor does anything come into it: it is not bound.
        with pytest.raises(pika.exceptions.UnroutableError):
            tap.put(JOBS, "acme", b"routed")


def test_whoever_takes_out_of_a_queue_that_loses_may_go_on(vhost: Vhost, tap: Tap) -> None:
    """To move its messages away somebody has to reach them."""
    tap.channel.queue_declare(DEAD, durable=True, arguments=QUORUM | {"x-message-ttl": 600_000})
    tap.channel.basic_publish("", DEAD, b"a letter", mandatory=True)
    with DeadQueue(parameters(vhost.url, name="tested")) as queue:
        assert [letter.body for letter in queue.letters()] == [b"a letter"]


def test_a_bound_that_refuses_or_parks_loses_nothing(vhost: Vhost, tap: Tap) -> None:
    """A full queue refuses, which its publisher learns; a message that a shop's queue gives up is in the dead queue."""
    tap.channel.exchange_declare(DEAD, "fanout", durable=True)
    refusing = QUORUM | {"x-max-length": 1000, "x-overflow": "reject-publish", "x-dead-letter-exchange": DEAD}
    tap.channel.queue_declare(RESULTS, durable=True, arguments=refusing)
    parking = QUORUM | {"x-message-ttl": 60_000, "x-dead-letter-exchange": DEAD}
    tap.channel.queue_declare(shop_queue("acme"), durable=True, arguments=parking)

    assert len(declare(vhost)) == 2


def test_a_return_exchange_that_passes_nothing_on_is_refused(vhost: Vhost, tap: Tap) -> None:
    """Without its alternate exchange one job of a shop that is gone would hold up every shop's retries."""
    tap.channel.exchange_declare(RETURN, "direct", durable=True)
    with pytest.raises(ConfigurationError, match=r"exchange referrals\.return does not pass on .*delete it"):
        declare(vhost)


def test_a_plain_results_queue_of_an_operator(vhost: Vhost, tap: Tap) -> None:
    """Without any bound it drops nothing: it is used, its differences named. From RabbitMQ 4 on it has a bound."""
    tap.channel.queue_declare(RESULTS, durable=True, arguments=QUORUM)
    connection = connect(parameters(vhost.url, name="tested"))
    bounded = connection.default_delivery_limit >= 0
    connection.close()
    if bounded:
        with pytest.raises(ConfigurationError, match=r"queue referrals\.results would lose messages"):
            declare(vhost)
        return
    assert any("queue referrals.results" in difference for difference in declare(vhost))
    tap.put(RESULTS, "acme.sent.ok.plain", b"{}")
    assert tap.take(RESULTS, 1, 5)[0].body == b"{}"


def test_what_a_policy_drops_from_the_results_is_parked(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """AMQP doesn't show an operator's policy that drops results; the results that it drops are in the dead queue."""
    declare(vhost)
    limit(rabbitmq, vhost, "referrals.results", **{"max-length": 5, "overflow": "drop-head"})
    bodies = {b"%d" % number for number in range(30)}
    wait_until(lambda: policy_of(rabbitmq, vhost, RESULTS), 10, "the policy to hold")
    for body in sorted(bodies):
        tap.put(RESULTS, "acme.sent.ok.plain", body)
    parked = tap.take(DEAD, 25, 10)
    assert {letter.body for letter in [*parked, *tap.take(RESULTS, 5, 10)]} == bodies


def policy_of(node: RabbitMQ, vhost: Vhost, queue: str) -> object:
    """The name of the policy that applies to a queue now."""
    return node.api("GET", f"/api/queues/{vhost.name}/{queue}").get("policy")
