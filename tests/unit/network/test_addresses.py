"""Hosts and ports as URLs write them."""

import pytest

from worker.network.addresses import authority


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("rabbitmq", "rabbitmq:5672"),
        ("192.0.2.1", "192.0.2.1:5672"),
        ("::1", "[::1]:5672"),
        ("fe80::1%25eth0", "[fe80::1%25eth0]:5672"),
    ],
)
def test_only_an_ipv6_address_is_put_in_brackets(host: str, written: str) -> None:
    """Its colons would otherwise run into the port's."""
    assert authority(host, 5672) == written
