"""The head that is made here is the one that urllib3 makes."""

import pytest

from tests.unit.rawserver import RawServer, response, sends
from worker.refer2.request_head import request_head
from worker.refer2.responses import Answer
from worker.refer2.transport import Transport, tls_context

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("path", ["/", "/api/v2023061/acme/Refer2", "/behind/api/v1/A_b-c.d~/Refer2", "//x/../y"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_to_the_byte(host: str, path: str) -> None:
    """The second request on a connection, without urllib3, has the same bytes as the first, with it."""
    transport = Transport(tls=tls_context(None), proxy=None, connect_timeout=5, read_timeout=5, deadline=5)
    with RawServer(sends(response(200, b"{}"))) as server:
        url = f"http://{host}:{server.port}{path}"
        for traceparent in (TRACEPARENT, TRACEPARENT, None):
            assert isinstance(transport.post(url, "a.token", b'{"a": 1}', traceparent=traceparent), Answer)
        first, second, bare = server.requests
        assert server.connections == 1
    transport.close()
    assert first == second
    assert request_head(url, "Bearer a.token", 8, TRACEPARENT) == first.removesuffix(b'{"a": 1}')
    assert first.replace(f"traceparent: {TRACEPARENT}\r\n".encode(), b"") == bare
    assert request_head(url, "Bearer a.token", 8) == bare.removesuffix(b'{"a": 1}')


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://a.example:80", b"a.example"),
        ("http://a.example:443", b"a.example:443"),
        ("https://a.example:443", b"a.example"),
        ("https://a.example:8443", b"a.example:8443"),
    ],
)
def test_the_port_is_named_unless_it_is_the_scheme_s(origin: str, host: bytes) -> None:
    """As urllib3 does, which some servers compare with their own name."""
    head = request_head(f"{origin}/x", "Bearer t", 0)
    assert head is not None
    assert head.split(b"\r\n")[1] == b"Host: " + host


@pytest.mark.parametrize(
    "url",
    [
        "http://A.example/",
        "http://a.example",
        "http://a.example./",
        "http://[::1]/",
        "http://user@a.example/",
        "http://a.example/x y",
        "http://a.example/x\r\ny: z",
        "http://a.example/x\n",
        "http://a.example/%7e",
        "http://a.example/ü",
        "http://a.example/?x",
        "ftp://a.example/",
    ],
)
def test_no_head(url: str) -> None:
    """A URL that urllib3 might encode, rewrite or refuse is left to it."""
    assert request_head(url, "Bearer t", 0) is None


@pytest.mark.parametrize("token", ["a\r\nx: y", "a\n", "a\0", "ä"])
def test_no_head_for_a_token_that_is_none(token: str) -> None:
    """Nothing in a token adds a field to the head."""
    assert request_head("http://a.example/", f"Bearer {token}", 0) is None
