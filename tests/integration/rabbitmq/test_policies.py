"""A policy on RabbitMQ that takes messages out of our queues is noticed by a user that may see policies."""

import pytest

from tests.services import RabbitMQ, Vhost, wait_until
from worker.rabbitmq.connection import Parameters, connect, parameters
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.policies import UnknownPoliciesError, losses
from worker.rabbitmq.topology import queues


def management(rabbitmq: RabbitMQ) -> str:
    """The session's management API."""
    return f"http://127.0.0.1:{rabbitmq.record['management']}"


def set_policy(rabbitmq: RabbitMQ, vhost: Vhost, pattern: str, **definition: object) -> None:
    """Set the virtual host's one policy."""
    written = {name.replace("_", "-"): value for name, value in definition.items()}
    rabbitmq.api("PUT", f"/api/policies/{vhost.name}/tidy", {"pattern": pattern, "definition": written})


@pytest.fixture
def declared(params: Parameters) -> Parameters:
    """Queues for a shop are there."""
    connection = connect(params)
    declare_topology(connection, queues(["acme"]))
    connection.close()
    return params


LOSING = {
    "(message-ttl 60000)": "referrals.results and 3 other queues",
    "(expires 60000)": "referrals.results and 10 other queues",
    "(max-length 9)": "referrals.dead and 1 other queue",
    "(max-length-bytes 9000)": "referrals.dead and 1 other queue",
    "(delivery-limit 20)": "referrals.results and 10 other queues",
}
"""What is told of a policy that has all of them: our queues answer a length by refusing, but for the dead one
and the journal of suppression."""


def test_what_loses_is_named(rabbitmq: RabbitMQ, vhost: Vhost, declared: Parameters) -> None:
    """Each setting is reported with the policy's name, its value and the queues; policies for other queues are not."""
    set_policy(rabbitmq, vhost, "^other", message_ttl=1000)
    assert losses(declared, management(rabbitmq)) == []
    definition = {"message_ttl": 60_000, "expires": 60_000, "max_length": 9, "max_length_bytes": 9000}
    set_policy(rabbitmq, vhost, ".*", **definition, delivery_limit=20)
    told = {
        f"RabbitMQ's policy 'tidy' {what} takes messages out of {where}; have it match none of them"
        for what, where in LOSING.items()
    }
    # RabbitMQ counts it in some seconds later.
    wait_until(lambda: set(losses(declared, management(rabbitmq))) == told, 30, "all to be told")


def test_who_may_not_look_is_told(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """A user without the tag, a port without a server, a broker elsewhere: the error says why nothing is known."""
    rabbitmq.api("PUT", f"/api/users/{vhost.name}", {"password": "pa55w0rd-of-ours", "tags": ""})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbitmq.api("PUT", f"/api/permissions/{vhost.name}/{vhost.name}", everything)
    untagged = parameters(vhost.url.replace("guest:guest@", f"{vhost.name}:pa55w0rd-of-ours@"), name="tested")
    with pytest.raises(UnknownPoliciesError, match=r"management API at http://127\.0\.0\.1:\d+: Unauthorized$"):
        losses(untagged, management(rabbitmq))
    rabbitmq.api("DELETE", f"/api/users/{vhost.name}")
    with pytest.raises(UnknownPoliciesError, match="refused"):
        losses(untagged, "http://127.0.0.1:9")
    elsewhere = parameters("amqp://user:pa55w0rd-of-ours@rabbitmq/x", name="tested")
    with pytest.raises(UnknownPoliciesError, match=r"^REFERRALS_RABBITMQ_MANAGEMENT_URL is not set$"):
        losses(elsewhere, None)
