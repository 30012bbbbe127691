"""What a connection keeps to, whoever uses it."""

import http.client

import pytest

from tests.unit.rawserver import RawServer, response, sends
from worker.refer2.connections import BoundedConnection
from worker.refer2.exchange import exchange


def test_an_exchange_sends_once() -> None:
    """A second request in one exchange would be a call that nobody counts, so it is refused on any connection."""
    with RawServer(sends(response(200, b"{}"))) as server:
        exchange.start(read_timeout=5, longest_idle=5, seconds=5)
        first, second = (BoundedConnection("127.0.0.1", server.port) for _ in range(2))
        first.request("POST", "/")
        assert first.getresponse().status == 200
        for connection in (first, second):
            with pytest.raises(http.client.CannotSendRequest):
                connection.request("POST", "/")
            connection.close()
        assert len(server.requests) == 1
