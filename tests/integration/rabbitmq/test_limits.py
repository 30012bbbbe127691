"""RabbitMQ refuses because somebody may have no more: it says what, and so do we, with what to raise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.integration.rabbitmq.bench import new_job
from tests.services import RabbitMQ, Vhost, wait_until
from worker.errors import BrokerError
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.connection import Parameters, connect, parameters
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.failures import LIMITED
from worker.rabbitmq.producer import outgoing, publish_each
from worker.rabbitmq.publisher import Publisher
from worker.rabbitmq.result_consumer import ResultConsumer
from worker.rabbitmq.topology import queues


@contextmanager
def limited(rabbitmq: RabbitMQ, vhost: Vhost, name: str, value: int) -> Iterator[None]:
    """The virtual host may have so many of these."""
    path = f"/api/vhost-limits/{vhost.name}/{name}"
    rabbitmq.api("PUT", path, {"value": value})
    try:
        yield
    finally:
        rabbitmq.api("DELETE", path)


def by_connection(params: Parameters) -> BrokerError:
    """The error of an attempt to connect."""
    with pytest.raises(BrokerError) as refused:
        connect(params)
    return refused.value


def by_publisher(params: Parameters) -> BrokerError:
    """What the publisher, which connects in another way, says."""
    publisher = Publisher(params)
    publisher.start()
    problem = wait_until(lambda: publisher.problem, 10, "the publisher's problem")
    publisher.close(timeout=0)
    assert problem is not None
    return problem


@pytest.mark.parametrize("told_by", [by_connection, by_publisher])
def test_connections(
    rabbitmq: RabbitMQ, vhost: Vhost, params: Parameters, told_by: Callable[[Parameters], BrokerError]
) -> None:
    """A virtual host with as many connections as it may have is named as such, not as one that isn't there."""
    with limited(rabbitmq, vhost, "max-connections", 0):
        problem = told_by(params)
    assert problem.reason == LIMITED
    assert "connection limit (0) is reached); raise the vhost's max-connections" in str(problem)


def test_connections_of_a_user(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """So is a user with as many as it may have."""
    rabbitmq.api("PUT", f"/api/users/{vhost.name}", {"password": "pa55w0rd-of-ours", "tags": ""})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbitmq.api("PUT", f"/api/permissions/{vhost.name}/{vhost.name}", everything)
    rabbitmq.api("PUT", f"/api/user-limits/{vhost.name}/max-connections", {"value": 0})
    url = vhost.url.replace("guest:guest@", f"{vhost.name}:pa55w0rd-of-ours@")
    problem = by_connection(parameters(url, name="tested"))
    rabbitmq.api("DELETE", f"/api/users/{vhost.name}")
    assert problem.reason == LIMITED
    assert "raise the user's max-connections" in str(problem)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("/no-such-place", r"\(vhost no-such-place not found\); create it"),
        ("/%2f", r"\(access to vhost '/' refused for user '.*'\); give the user permissions in it"),
    ],
)
def test_a_vhost_that_refuses(rabbitmq: RabbitMQ, vhost: Vhost, wrong: str, told: str) -> None:
    """RabbitMQ's own words say whether the virtual host is missing or closed to this user."""
    rabbitmq.api("PUT", f"/api/users/{vhost.name}", {"password": "pa55w0rd-of-ours", "tags": ""})
    url = vhost.url.rpartition("/")[0].replace("guest:guest@", f"{vhost.name}:pa55w0rd-of-ours@") + wrong
    with pytest.raises(BrokerError, match=told):
        connect(parameters(url, name="tested"))
    rabbitmq.api("DELETE", f"/api/users/{vhost.name}")


def test_queues(rabbitmq: RabbitMQ, vhost: Vhost, params: Parameters) -> None:
    """A queue beyond the limit is not taken for one that differs: the error names the limit."""
    connection = connect(params)
    with (
        limited(rabbitmq, vhost, "max-queues", 3),
        pytest.raises(BrokerError, match="raise the vhost's max-queues") as no,
    ):
        declare_topology(connection, queues(["acme"]))
    connection.close()
    assert no.value.reason == LIMITED
    assert "queue limit in vhost" in str(no.value)


def test_nothing_is_confirmed(rabbitmq: RabbitMQ, vhost: Vhost, params: Parameters) -> None:
    """A producer that waits for a confirm that can't come gets the reason."""
    with limited(rabbitmq, vhost, "max-connections", 0):
        (problem,) = publish_each([outgoing(new_job(1), 0)], params, timeout=1)
    assert "did not confirm it within 1 s: RabbitMQ at" in str(problem)
    assert "connection limit (0) is reached" in str(problem)


def test_a_closed_channel_says_why(vhost: Vhost, params: Parameters) -> None:
    """If RabbitMQ closes only the channel, the consumer on it reports RabbitMQ's reason."""
    del vhost
    channel = ShopChannel(params, prefetch=1, single=False, on_message=lambda *_: None)
    channel.open(queues(()))
    channel.ack(999, channel.generation)
    with pytest.raises(BrokerError, match="closed the channel: 406 PRECONDITION_FAILED - unknown delivery tag 999"):
        wait_until(lambda: channel.pump(0.1, ready=lambda: False), 10, "the channel to be closed")
    collector = ResultConsumer(params)
    collector.ack(999)
    with pytest.raises(BrokerError, match="closed the channel: 406 PRECONDITION_FAILED - unknown delivery tag 999"):
        wait_until(lambda: collector.batch(seconds=0.1), 10, "the channel to be closed")
    collector.close()
