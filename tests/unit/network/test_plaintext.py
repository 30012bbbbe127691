"""Where a connection may lead without TLS."""

import pytest

from worker.network.plaintext import exposed_host, is_inside, refuse

INSIDE = (
    "localhost",
    "api.localhost",
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "::ffff:127.0.0.1",
    "rabbitmq",
    "my_rabbit",
    "rabbitmq.messaging.svc",
    "rabbitmq-0.rabbitmq-nodes.messaging.svc.cluster.local",
)

OUTSIDE = (
    "rabbit.example.com",
    "rabbitmq.messaging",
    "host.docker.internal",
    "printer.local",
    "cluster.local",
    "svc.example.com",
    "x.svc.",
    "example.svc.com",
    "rabbit..svc",
    "10.0.0.7",
    "192.168.1.7",
    "0.0.0.0",
    "169.254.169.254",
    "::ffff:10.0.0.7",
    "fd00::7",
    "::",
    "167772167",
    "0x0a000007",
    "127.1",
    "",
    "a b",
)
"""Private addresses and names are other people's too, and a number is an address."""


@pytest.mark.parametrize("host", INSIDE)
def test_what_stays_inside(host: str) -> None:
    """Loopback, and names that a cluster gives its services."""
    assert is_inside(host)


@pytest.mark.parametrize("host", OUTSIDE)
def test_what_goes_over_a_network(host: str) -> None:
    """Everything else, however private."""
    assert not is_inside(host)


@pytest.mark.parametrize("scheme", ["amqp", "redis", "http", "HTTP"])
def test_plain_urls_are_refused_unless_allowed(scheme: str) -> None:
    """The host, however it is written, is the one that is connected to; TLS is no concern."""
    url = f"{scheme}://me:s3cret@Rabbit.Example.com:1234/x"
    with pytest.raises(ValueError, match=r"to rabbit\.example\.com sends .* REFERRALS_ALLOW_PLAINTEXT$") as refused:
        refuse(url, frozenset())
    assert "s3cret" not in str(refused.value)
    refuse(url, {"rabbit.example.com"})
    refuse(f"{scheme}s://rabbit.example.com", frozenset())
    refuse(f"{scheme}://rabbitmq:5672", frozenset())


def test_sockets_are_inside() -> None:
    """A socket of this machine leads nowhere."""
    assert exposed_host("unix:///run/valkey.sock?db=1") is None
