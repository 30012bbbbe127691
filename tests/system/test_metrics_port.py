"""The port of metrics and probes as a worker opens it."""

import contextlib
import json
import signal
import socket

import pytest

from tests.services import wait_until
from tests.system.commands import Desk


def ask(desk: Desk, host: str, sent: bytes) -> bytes:
    """What the port says to these bytes until it hangs up."""
    told = b""
    with socket.create_connection((host, int(desk.env["REFERRALS_METRICS_PORT"])), timeout=20) as connection:
        connection.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(1 << 16):
                told += part
    return told


def test_it_is_this_machine_s_and_tells_of_odd_requests_in_json(desk: Desk) -> None:
    """By default it is open on loopback alone; whatever is sent, stderr holds nothing but lines of JSON."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    work = desk.start("work")
    wait_until(lambda: '"subscribed"' in work.stderr or not work.running(), 30, "the worker")
    with pytest.raises(ConnectionRefusedError):
        ask(desk, "127.0.0.2", b"")
    assert ask(desk, "127.0.0.1", b"GET /livez HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    for odd in (
        b"hello\r\n\r\n",
        b"\xff" * 100_000,
        b"GET /../etc HTTP/1.1\r\n\r\n",
        b"DELETE /metrics HTTP/1.1\r\n\r\n",
    ):
        with contextlib.suppress(OSError):
            ask(desk, "127.0.0.1", odd)
    text = ask(desk, "127.0.0.1", b"GET /metrics HTTP/1.1\r\n\r\n")
    openmetrics = ask(desk, "127.0.0.1", b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n")
    assert b"referral_ready{" in text
    assert openmetrics.endswith(b"# EOF\n")
    wait_until(lambda: '"method"' in work.stderr, 10, "the line about the method")
    work.signal(signal.SIGTERM)
    assert work.wait() == 0
    lines = [json.loads(line) for line in work.stderr.splitlines()]
    assert {line["problem"] for line in lines if line["event"] == "requests_refused"} == {
        "not_http",
        "too_long",
        "method",
    }


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_it_is_open_where_it_is_told(desk: Desk, host: str) -> None:
    """As in a container: every address of the machine answers, by IPv6 too where that is asked for."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    work = desk.start("work", REFERRALS_METRICS_HOST=host)
    wait_until(lambda: '"subscribed"' in work.stderr or not work.running(), 30, "the worker")
    for address in ("127.0.0.1", "127.0.0.2", *(["::1"] if host == "::" else [])):
        assert ask(desk, address, b"GET /livez HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    work.signal(signal.SIGTERM)
    assert work.wait() == 0
