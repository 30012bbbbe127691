"""RabbitMQ at an address of IPv6, and beside a proxy that the environment names for the world outside."""

import pytest

from tests.services import Forwarder, RabbitMQ, Vhost, wait_until
from worker.errors import BrokerError
from worker.rabbitmq.connection import Parameters, connect, parameters
from worker.rabbitmq.declare import declare_topology
from worker.rabbitmq.queue_depths import Depth, depths
from worker.rabbitmq.topology import RESULTS, queues


def test_ipv6(rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """Connections and the look at the depths lead there, and an error has the address as a URL has it."""
    with Forwarder(rabbitmq.record["amqp"], "::1") as amqp, Forwarder(rabbitmq.record["prometheus"], "::1") as metrics:
        params = parameters(
            vhost.url.replace(f"127.0.0.1:{rabbitmq.record['amqp']}", f"[::1]:{amqp.port}"), name="tested"
        )
        connection = connect(params)
        declare_topology(connection, queues(["acme"]))
        connection.close()
        page = f"http://[::1]:{metrics.port}"
        # A new queue is on the page some seconds late.
        wait_until(lambda: depths(params, [], page).queues.get(RESULTS) == Depth(0, 0), 30, "the queue's depth")
        assert depths(params, [], page).complete
    with pytest.raises(BrokerError, match=rf"^RabbitMQ at \[::1\]:{amqp.port} is out of reach"):
        connect(params)


def test_a_proxy_of_the_environment_is_not_asked(
    rabbitmq: RabbitMQ, params: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker's own endpoint is inside, whatever ``http_proxy`` says."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert depths(params, [], f"http://127.0.0.1:{rabbitmq.record['prometheus']}").complete
