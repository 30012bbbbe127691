"""Every part of an AMQP URL counts, or the URL is refused with how to write it."""

import pytest

from worker.errors import ConfigurationError
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.queue_depths import endpoint

REFUSED = {
    "amqp://user:pa55w0rd@rabbit/a/b": "write %2F for each / in its name",
    "amqp://user:pa55w0rd@rabbit//": "write %2F for each / in its name",
    "amqp://user:pa55w0rd@rabbit/jobs;x=1": "write %3B",
    "amqp://user:pa55w0rd@rabbit/jobs#1": "write %23",
    "amqp://user:pa55w0rd@rabbit/100%": "write %25",
    "amqp://user:pa55w0rd@one,two:5672/jobs": "several nodes are several URLs",
    "amqp://user:pa55w0rd@rabbit /jobs": "there is a space in it",
    "amqp://pa55w0rd@rabbit/jobs": "a user without a password",
    "amqp://user:pa55w0rd@rabbit/jobs?heartbeat=5&heartbeat=7": "heartbeat is given twice",
    "amqp://user:pa55w0rd@rabbit/jobs?heartbeat=": "heartbeat has no value",
    "amqp://user:pa55w0rd@rabbit/jobs?Heartbeat=5": "leave out the option 'Heartbeat'",
    "amqp://user:pa55w0rd@rabbit/jobs?frame_max=8192": "leave out frame_max; dead letters and delayed jobs need",
    "amqp://user:pa55w0rd@rabbit/jobs?ssl_options={}": "leave out the option 'ssl_options'",
}


@pytest.mark.parametrize(("url", "told"), REFUSED.items())
def test_what_would_be_dropped_is_refused(url: str, told: str) -> None:
    """One line says what would not count and how to write it, and shows nothing of the password."""
    with pytest.raises(ConfigurationError, match=r"^REFERRALS_AMQP_URL: ") as refused:
        parameters(url, name="tested")
    assert told in str(refused.value)
    assert "pa55w0rd" not in str(refused.value)


VHOSTS = {
    "": "/",
    "/": "/",
    "/%2F": "/",
    "/%2f": "/",
    "/a%2Fb": "a/b",
    "/j%C3%B3b": "jób",
    "/a+b": "a+b",
    "/x%23y": "x#y",
}


@pytest.mark.parametrize(("path", "vhost"), VHOSTS.items())
def test_the_vhost_is_taken_whole(path: str, vhost: str) -> None:
    """Escapes are undone once, and a + is a plus."""
    (node,) = parameters(f"amqp://us%40er:p%2Fw@rabbit:5673{path}", name="tested").nodes
    assert (node.host, node.port, node.virtual_host) == ("rabbit", 5673, vhost)
    assert (node.credentials.username, node.credentials.password) == ("us@er", "p/w")


def test_options_count() -> None:
    """What a URL says of times and properties holds; what it leaves out is ours."""
    options = "socket_timeout=2&stack_timeout=3&heartbeat=9&connection_attempts=2&client_properties={'team': 'growth'}"
    (node,) = parameters(f"amqp://user:pw@rabbit/jobs?{options.replace(' ', '%20')}", name="tested").nodes
    assert (node.socket_timeout, node.stack_timeout, node.heartbeat, node.connection_attempts) == (2, 3, 9, 2)
    assert node.client_properties == {"connection_name": "tested", "team": "growth"}
    (node,) = parameters("amqp://user:pw@rabbit/jobs", name="tested").nodes
    assert (node.socket_timeout, node.stack_timeout, node.heartbeat) == (5, 10, 30)


@pytest.mark.parametrize(
    ("host", "meant", "asked"),
    [("[::1]", "::1", "http://[::1]:15692"), ("[fe80::1%25eth0]", "fe80::1%eth0", "http://[fe80::1%25eth0]:15692")],
)
def test_addresses_of_ipv6(host: str, meant: str, asked: str) -> None:
    """Brackets are the URL's, also in those that are derived from it."""
    (node,) = parameters(f"amqp://user:pw@{host}:5672/jobs", name="tested").nodes
    assert node.host == meant
    assert endpoint(node, None) == asked
    assert endpoint(node, "http://metrics:15692/") == "http://metrics:15692"
