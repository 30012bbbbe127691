"""The server of metrics and probes: what it answers, and that nobody who asks badly keeps it from the others."""

import asyncio
import contextlib
import errno
import gc
import http.client
import json
import resource
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus

import pytest
import structlog

from tests.services import wait_until
from worker.telemetry.http_server import LONGEST_HEAD, MOST_CONNECTIONS, Answer, HttpServer, Request, listen

LONG = b"0123456789abcdef" * (1 << 18)
"""A page of 4 MiB."""

HALF = b"GET /livez HTTP/1.1\r\nHost: secret.example.com\r\n"


async def pages(request: Request) -> Answer:
    """A short page, a long one, one that fails, and one that is never made."""
    match request.path:
        case "/livez":
            return Answer(HTTPStatus.OK, b"ok\n")
        case "/long":
            return Answer(HTTPStatus.OK, LONG)
        case "/fails":
            raise KeyError("ann@example.com")
        case "/never":
            await asyncio.sleep(3600)
        case _:
            pass
    return Answer(HTTPStatus.NOT_FOUND, b"none\n")


class Running:
    """A server in a thread of its own, and what it writes to the log."""

    def __init__(self, listening: socket.socket | None = None) -> None:
        self._listening = listening or listen("127.0.0.1", 0)
        self.port: int = self._listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self.failed: list[object] = []
        self._loop.set_exception_handler(lambda _, said: self.failed.append(said.get("exception")))
        self._stop = asyncio.Event()
        served = HttpServer(pages).serve(self._listening, self._stop)
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(served,))
        self._thread.start()

    def connect(self, sent: bytes = b"") -> socket.socket:
        """A connection on which so much is sent."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        made.sendall(sent)
        return made

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Status and body, asked in the usual way."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(client):
            client.request(method, path)
            answer = client.getresponse()
            return answer.status, answer.read()

    def told(self, sent: bytes) -> bytes:
        """All that comes back for these bytes until the server hangs up."""
        with self.connect(sent) as connection:
            return everything(connection)

    def close(self) -> None:
        """Stop it; every connection ends."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)
            self._loop.close()
        self._listening.close()


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side hangs up, however it does."""
    told = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            told += part
    return told


def hung_up(connection: socket.socket) -> bool:
    """Whether the other side has hung up, and said nothing."""
    connection.settimeout(0)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.fixture
def log() -> Iterator[list[structlog.typing.EventDict]]:
    """The lines that the server logs."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def server(log: list[structlog.typing.EventDict]) -> Iterator[Running]:
    """A server with a limit of files that lets a test be many clients."""
    del log
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    running = Running()
    yield running
    running.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_is_asked_well_is_answered(server: Running) -> None:
    """GET has the body, HEAD its length alone; a query is no part of the path; then the connection ends."""
    assert server.get("/livez") == (200, b"ok\n")
    assert server.get("/livez?name[]=a") == (200, b"ok\n")
    assert server.get("/livez", "HEAD") == (200, b"")
    assert b"Content-Length: 3\r\n" in server.told(b"HEAD /livez HTTP/1.0\r\n\r\n")
    assert server.get("/long") == (200, LONG)
    assert server.get("/none")[0] == 404


def test_a_long_page_is_sent_without_a_failure(server: Running) -> None:
    """A connection whose last bytes leave late ends as every other."""
    for _ in range(20):
        assert server.get("/long") == (200, LONG)
    server.close()
    gc.collect()
    assert server.failed == []


class Starved(socket.socket):
    """A listening socket of a process that may open no more files for a while."""

    refused = 0

    def accept(self) -> tuple[socket.socket, object]:
        """Fails twenty times, then a connection."""
        if self.refused < 20:
            self.refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_out_of_files_is_told_once(log: list[structlog.typing.EventDict]) -> None:
    """However often the kernel refuses a connection, it makes one line, and those who wait are answered after all."""
    plain = listen("127.0.0.1", 0)
    starved = Starved(fileno=plain.detach())
    starved.settimeout(0)
    running = Running(starved)
    assert running.get("/livez") == (200, b"ok\n")
    running.close()
    assert starved.refused == 20
    assert [(line["event"], line["problem"]) for line in log] == [("requests_refused", "out_of_files")]


ODD = {
    "another method": (b"POST /livez HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", b"HTTP/1.1 405 ", "method"),
    "no HTTP": (b"hello ann@example.com\r\n\r\n", b"HTTP/1.1 400 ", "not_http"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"HTTP/1.1 400 ", "not_http"),
    "another version": (b"GET /livez HTTP/9.9\r\n\r\n", b"HTTP/1.1 400 ", "not_http"),
    "a long line": (b"GET /" + b"a" * (2 * LONGEST_HEAD), b"HTTP/1.1 431 ", "too_long"),
    "long headers": (b"GET / HTTP/1.1\r\n" + b"a: ann@example.com\r\n" * LONGEST_HEAD, b"", "too_long"),
    "a folded header": (b"GET /none HTTP/1.1\r\n a\r\n:\r\n\r\n", b"HTTP/1.1 404 ", None),
}


@pytest.mark.parametrize(("sent", "begin", "problem"), ODD.values(), ids=ODD.keys())
def test_odd_requests_are_refused(
    server: Running, log: list[structlog.typing.EventDict], sent: bytes, begin: bytes, problem: str | None
) -> None:
    """Each gets its status or nothing, a line in the log that quotes none of it, and harms nobody."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        assert server.told(sent).startswith(begin)
    wait_until(lambda: [line.get("problem") for line in log] == ([problem] if problem else []), 10, "the line")
    assert "example.com" not in json.dumps(log)
    assert "127.0.0.1" not in json.dumps(log)
    assert server.get("/livez") == (200, b"ok\n")


def test_what_is_refused_often_is_told_once(server: Running, log: list[structlog.typing.EventDict]) -> None:
    """Hundreds of odd requests fill no log."""
    for _ in range(300):
        server.told(b"hello\r\n\r\n")
    assert [(line["event"], line["problem"], line["log_level"]) for line in log] == [
        ("requests_refused", "not_http", "warning")
    ]


def test_a_failure_is_told_by_kind_and_place(server: Running, log: list[structlog.typing.EventDict]) -> None:
    """The caller gets 500, the log one line without the words of the exception, and the server goes on."""
    assert server.get("/fails") == (500, b"internal server error\n")
    (line,) = log
    assert (line["event"], line["error"]) == ("request_failed", "KeyError")
    assert "test_http_server.py" in line["where"]
    assert "example.com" not in json.dumps(log)
    assert server.get("/livez") == (200, b"ok\n")


def test_pipelined_requests_get_one_answer(server: Running) -> None:
    """What follows the first request is not read, however much it is."""
    told = server.told(b"GET /livez HTTP/1.1\r\n\r\n" * 50)
    assert told.count(b"HTTP/1.1 200") <= 1
    assert server.get("/livez") == (200, b"ok\n")


def test_a_client_that_leaves_is_no_problem(server: Running, log: list[structlog.typing.EventDict]) -> None:
    """Only connecting, as some probes do, or leaving during a request or answer writes no line to the log."""
    for sent in (b"", HALF, b"GET /long HTTP/1.1\r\n\r\n"):
        for _ in range(20):
            server.connect(sent).close()
    assert server.get("/livez") == (200, b"ok\n")
    assert log == []


@pytest.mark.parametrize(
    "sent",
    [b"", HALF, b"GET /never HTTP/1.1\r\n\r\n", b"GET /long HTTP/1.1\r\n\r\n"],
    ids=["silent", "half sent", "never answered", "never read"],
)
def test_a_thousand_that_hang_hold_up_nobody(server: Running, sent: bytes) -> None:
    """Among them each new client is answered; of the thousand no more stay than there may be, the newest."""
    with contextlib.ExitStack() as opened:
        hanging = []
        for number in range(1000):
            hanging.append(opened.enter_context(server.connect(sent)))
            if number % 100 == 99:
                assert server.get("/livez") == (200, b"ok\n")
        if sent in (b"", HALF):
            staying = [number for number, connection in enumerate(hanging) if not hung_up(connection)]
            assert MOST_CONNECTIONS // 2 < len(staying) <= MOST_CONNECTIONS
            assert staying == list(range(1000 - len(staying), 1000))


def test_who_has_asked_outlives_who_has_not(server: Running) -> None:
    """Where there are too many, the oldest whose request is not complete goes, not an older one that waits."""
    with contextlib.ExitStack() as opened:
        asked = opened.enter_context(server.connect(b"GET /never HTTP/1.1\r\n\r\n"))
        assert server.get("/livez") == (200, b"ok\n")
        hanging = [opened.enter_context(server.connect(HALF)) for _ in range(2 * MOST_CONNECTIONS)]
        wait_until(lambda: hung_up(hanging[0]), 20, "the oldest to go")
        assert server.get("/livez") == (200, b"ok\n")
        assert not hung_up(asked)


def test_a_request_has_its_time(server: Running, log: list[structlog.typing.EventDict]) -> None:
    """A request that drips in is dropped, though something comes all the while."""
    with server.connect(HALF) as connection:

        def drip() -> bool:
            with contextlib.suppress(OSError):
                connection.settimeout(20)
                connection.sendall(b"a")
            return hung_up(connection)

        wait_until(drip, 30, "the server to hang up")
    wait_until(lambda: [line.get("problem") for line in log] == ["too_slow"], 10, "the line")


def test_it_stops_among_connections(server: Running) -> None:
    """Stopping ends what hangs, without waiting for it."""
    with server.connect(HALF) as half, server.connect(b"GET /never HTTP/1.1\r\n\r\n") as asked:
        assert server.get("/livez") == (200, b"ok\n")
        server.close()
        assert everything(half) == everything(asked) == b""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1"])
def test_it_listens_where_it_is_told(host: str) -> None:
    """On one address or on all, of IPv6 with those of IPv4; a port that is taken is an error."""
    family, own = (socket.AF_INET6, "::1") if ":" in host else (socket.AF_INET, "127.0.0.1")
    with listen(host, 0) as listening:
        port = listening.getsockname()[1]
        for address in {own} | ({"127.0.0.1"} if host == "::" else set()):
            socket.create_connection((address, port), timeout=10).close()
        with pytest.raises(OSError, match="in use"):
            listen(host, port)
        assert listening.family == family


def test_loopback_is_not_the_network() -> None:
    """On 127.0.0.1 another address of this machine is refused."""
    with listen("127.0.0.1", 0) as listening, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", listening.getsockname()[1]), timeout=10)
