"""An exchange with a server that misbehaves ends in time, in bounded memory, and with the right verdict."""

import gzip
import http.client
import signal
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import requests
import urllib3

from tests.unit.rawserver import (
    CERTIFICATE,
    Connection,
    RawServer,
    Reply,
    drips,
    in_turn,
    response,
    sends,
    server_tls,
)
from worker.model.verdicts import Refused, Sent, Throttled, Unknown, Verdict
from worker.refer2.responses import Answer, judge
from worker.refer2.transport import FOREIGN_ERRORS, NoAnswer, Transport, no_answer, tls_context
from worker.text.bounds import ANSWER

DEADLINE = 0.6
REFERRAL = b'{"referral": {"link": "https://example.com/r/1"}}'
SENT = Sent(200, None, {"link": "https://example.com/r/1"}, None)
LOST = Unknown(None, "connection_lost")
UNREADABLE = Unknown(200, "unreadable_answer")
CUT = Unknown(200, "connection_lost")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def new_transport(*, deadline: float = DEADLINE, proxy: str | None = None, ca_file: Path | None = None) -> Transport:
    """A transport that is short of patience."""
    return Transport(tls=tls_context(ca_file), proxy=proxy, connect_timeout=0.5, read_timeout=0.4, deadline=deadline)


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A transport that is short of patience."""
    made = new_transport()
    yield made
    made.close()


def outcome(answer: Answer | NoAnswer) -> Verdict | NoAnswer:
    """The verdict on an answer, with that of the client where a whole request was left without one."""
    if isinstance(answer, Answer):
        return judge(answer, now=0)
    return Unknown(None, answer.flaw) if answer.sent else answer


def test_nothing_is_sent_past_the_deadline_on_an_open_connection() -> None:
    """As after a freeze, when another may have the job by then: what the kernel would take gladly is not sent."""
    with RawServer(sends(response(200, REFERRAL))) as server:
        transport = new_transport()
        assert isinstance(transport.post(f"{server.url}/a", "t", b"{}"), Answer)
        transport.deadline = 0.0
        late = transport.post(f"{server.url}/a", "t", b"{}")
        transport.close()

        assert isinstance(late, NoAnswer)
        assert not late.sent
        assert len(server.requests) == 1


def hangs(connection: Connection) -> None:
    """Neither sends nor closes, until the server is stopped."""
    connection.wait(30)


def floods(connection: Connection) -> None:
    """Sends chunks without end."""
    connection.send(CHUNKED)
    while connection.open:
        connection.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


BOMB = gzip.compress(b'{"referral": {"x": "' + b"a" * 50_000_000 + b'"}}', compresslevel=9)
SQUEEZED = gzip.compress(REFERRAL)

MISBEHAVIOURS: dict[str, tuple[Reply, Verdict]] = {
    "closes at once": (Connection.close, LOST),
    "resets at once": (Connection.reset, LOST),
    "does not speak HTTP": (sends(b"SSH-2.0-server\r\n", then=Connection.close), LOST),
    "sends 200 header fields": (sends(response(200, REFERRAL, {f"x-{n}": "y" for n in range(200)})), LOST),
    "sends an endless header field": (sends(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000), LOST),
    "closes within the head": (sends(b"HTTP/1.1 200 OK\r\nContent-Le", then=Connection.close), UNREADABLE),
    "closes within the body": (sends(response(200, REFERRAL, length=500), then=Connection.close), CUT),
    "resets after the head": (sends(response(200, length=500), then=Connection.reset), CUT),
    "closes within a chunk": (sends(CHUNKED + b"31\r\n" + REFERRAL[:20], then=Connection.close), CUT),
    "sends a chunk that is none": (sends(CHUNKED + b"ann\r\n"), CUT),
    "cuts a body without a length": (
        sends(b"HTTP/1.0 200 OK\r\n\r\n" + REFERRAL[:20], then=Connection.close),
        UNREADABLE,
    ),
    "says nothing": (hangs, Unknown(None, "timeout")),
    "falls silent after the head": (sends(response(200, length=500), then=hangs), Unknown(200, "timeout")),
    "drips the head": (drips(response(200, REFERRAL), at_once=1, every=0.05), Unknown(None, "timeout")),
    "drips the body": (
        drips(response(200, REFERRAL), at_once=len(response(200, REFERRAL)) - 40, every=0.05),
        Unknown(200, "timeout"),
    ),
    "drips chunks": (drips(CHUNKED + b"1\r\n \r\n" * 50, at_once=len(CHUNKED), every=0.03), Unknown(200, "timeout")),
    "sends a byte more than is read": (sends(response(200, REFERRAL.ljust(ANSWER.size + 1))), UNREADABLE),
    "announces 5 MB": (sends(response(200, b" " * 5_000_000)), UNREADABLE),
    "sends without end": (floods, UNREADABLE),
    "sends a compressed bomb": (sends(response(200, BOMB, {"Content-Encoding": "gzip"})), UNREADABLE),
    "cuts what it compressed": (sends(response(200, SQUEEZED[:-9], {"Content-Encoding": "gzip"})), UNREADABLE),
    "compresses something else": (sends(response(200, REFERRAL, {"Content-Encoding": "gzip"})), UNREADABLE),
    "uses a coding of its own": (sends(response(200, SQUEEZED, {"Content-Encoding": "br"})), UNREADABLE),
    "is not UTF-8": (sends(response(200, b'{"referral": {"x": "\xe9"}}')), UNREADABLE),
    "writes NaN": (sends(response(200, b'{"referral": {"x": NaN}}')), UNREADABLE),
    "nests without end": (sends(response(200, b'{"referral":' * 60_000)), UNREADABLE),
    "answers with a page": (sends(response(403, b"<html>")), Refused(403, "http_403")),
    "answers with a page of 5 MB": (
        sends(response(403, b"<html>" * 1_000_000)),
        Refused(403, "http_403"),
    ),
    "throttles": (
        sends(response(429, {"id": "rate_limit_exceeded"}, {"Retry-After": "3"})),
        Throttled(429, "rate_limit_exceeded", None, 3_000_000),
    ),
}


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize(("reply", "expected"), MISBEHAVIOURS.values(), ids=MISBEHAVIOURS.keys())
def test_misbehaviour(transport: Transport, reply: Reply, expected: Verdict, kept: bool) -> None:
    """Each misbehaviour gets its verdict within the deadline, and doesn't affect the next exchange: on a connection
    that is new to urllib3, and on one that was kept. No request is sent again.
    """
    with RawServer(in_turn(*[sends(response(200, REFERRAL))] * kept, reply)) as server:
        if kept:
            assert outcome(transport.post(server.url + "/", "t", b"{}")) == SENT
        started = time.monotonic()
        answer = transport.post(server.url + "/", "t", b"{}")
        assert time.monotonic() - started < DEADLINE + 1
        assert (server.connections, len(server.requests)) == (1, 1 + kept)
    assert outcome(answer) == expected
    with RawServer(sends(response(200, REFERRAL))) as server:
        assert outcome(transport.post(server.url + "/", "t", b"{}")) == SENT


FLOODS = {
    "compressed": sends(response(200, BOMB, {"Content-Encoding": "gzip"})),
    "with a length": sends(response(200, length=10**12), then=floods),
    "without end": floods,
    "redirected": sends(response(302, b"", {"Location": "https://example.com/"}, length=10**12), then=floods),
}


@pytest.mark.parametrize("reply", FLOODS.values(), ids=FLOODS.keys())
def test_memory_is_bounded(transport: Transport, reply: Reply) -> None:
    """However much a server sends, or its answer inflates to, a few times the bound is all that is ever held."""
    with RawServer(reply) as server:
        tracemalloc.start()
        transport.post(server.url + "/", "t", b"{}")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * ANSWER.size


UNUSUAL: dict[str, bytes] = {
    "chunked": CHUNKED + b"10\r\n" + REFERRAL[:16] + b"\r\n21\r\n" + REFERRAL[16:] + b"\r\n0\r\n\r\n",
    "continue first": b"HTTP/1.1 100 Continue\r\n\r\n" + response(200, REFERRAL),
    "gzip unasked": response(200, SQUEEZED, {"content-encoding": " GZIP "}),
    "deflate unasked": response(200, zlib.compress(REFERRAL), {"Content-Encoding": "deflate"}),
    "identity spelt out": response(200, REFERRAL, {"Content-Encoding": "identity"}),
    "as much as is read": response(200, REFERRAL.ljust(ANSWER.size)),
}


@pytest.mark.parametrize("data", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_unusual_but_right(transport: Transport, data: bytes) -> None:
    """Answers that HTTP allows are read, and the connection serves the next exchange."""
    with RawServer(sends(data)) as server:
        for _ in range(2):
            assert outcome(transport.post(server.url + "/", "t", b"{}")) == SENT
        assert server.connections == 1


def test_a_body_that_ends_with_the_connection(transport: Transport) -> None:
    """An HTTP/1.0 answer without a length is read to its end."""
    with RawServer(sends(b"HTTP/1.0 200 OK\r\n\r\n" + REFERRAL, then=Connection.close)) as server:
        assert outcome(transport.post(server.url + "/", "t", b"{}")) == SENT


@pytest.mark.parametrize("leftover", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 102 Wait\r\nx: y\r\n\r\n"])
def test_no_answer_is_taken_for_another(transport: Transport, leftover: bytes) -> None:
    """After an interim answer the final one is still under way: the next exchange must not read it as its own."""
    answers = iter([leftover + response(200, b'{"referral": {"link": "of the first"}}'), response(200, REFERRAL)])
    with RawServer(lambda connection: connection.send(next(answers))) as server:
        first = outcome(transport.post(server.url + "/", "t", b"{}"))
        assert isinstance(first, Unknown)
        assert first.code == "unreadable_answer"
        assert outcome(transport.post(server.url + "/", "t", b"{}")) == SENT
        assert server.connections == 2


PLAIN = response(200, REFERRAL)
OF_THE_NEXT = response(200, b'{"referral": {"link": "of the next"}}')
NEXT = Sent(200, None, {"link": "of the next"}, None)
OF_NOBODY = response(200, b'{"referral": {"link": "of nobody"}}')
BODY = b"\r\n" + REFERRAL
LENGTH = b"Content-Length: %d\r\n" % len(REFERRAL)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(REFERRAL), REFERRAL)

KEEP, CLOSE = 1, 2

ODD: dict[str, tuple[bytes, Verdict, int]] = {
    "nothing odd": (PLAIN, SENT, KEEP),
    "no words for the status": (b"HTTP/1.1 200\r\n" + LENGTH + BODY, SENT, KEEP),
    "cookies": (OK + b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n" + LENGTH + BODY, SENT, KEEP),
    "70 fields": (response(200, REFERRAL, {f"x-{n}": "y" for n in range(70)}), SENT, KEEP),
    "says that it keeps": (response(200, REFERRAL, {"Connection": "Keep-Alive"}), SENT, KEEP),
    "says that it closes": (response(200, REFERRAL, {"Connection": "close"}), SENT, CLOSE),
    "says that it closes, among others": (response(200, REFERRAL, {"Connection": "x, Close"}), SENT, CLOSE),
    "HTTP/1.0": (PLAIN.replace(b"1.1", b"1.0"), SENT, CLOSE),
    "HTTP/1.0 that keeps": (
        PLAIN.replace(b"1.1", b"1.0").replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1),
        SENT,
        KEEP,
    ),
    "HTTP/2.0": (PLAIN.replace(b"1.1", b"2.0"), LOST, CLOSE),
    "an extension of a chunk": (CHUNKED + CHUNKS.replace(b"\r\n", b";x=y\r\n", 1), SENT, KEEP),
    "trailers": (CHUNKED + CHUNKS.removesuffix(b"\r\n") + b"x: y\r\n\r\n", SENT, KEEP),
    "a length and chunks": (OK + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS, SENT, CLOSE),
    "chunks and a length": (OK + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n" + CHUNKS, SENT, CLOSE),
    "the same length twice": (OK + LENGTH * 2 + BODY, SENT, CLOSE),
    "two lengths": (OK + LENGTH + b"Content-Length: 5\r\n" + BODY, LOST, CLOSE),
    "two lengths, the short one first": (OK + b"Content-Length: 5\r\n" + LENGTH + BODY, LOST, CLOSE),
    "a length with a sign": (OK + LENGTH.replace(b" ", b" +") + BODY, SENT, KEEP),
    "a length behind a space": (OK + LENGTH.replace(b":", b" :") + BODY, Unknown(200, "timeout"), CLOSE),
    "a folded field": (OK + b"x: a\r\n b\r\n" + LENGTH + BODY, SENT, KEEP),
    "NUL in a field": (OK + b"x: a\0b\r\n" + LENGTH + BODY, SENT, KEEP),
    "bare line feeds": (PLAIN.replace(b"\r\n", b"\n"), SENT, KEEP),
    "a line feed before the answer": (b"\r\n" + PLAIN, LOST, CLOSE),
    "a status of four digits": (PLAIN.replace(b"200", b"2000"), LOST, CLOSE),
    "nothing at all": (response(204), Unknown(204, "unreadable_answer"), KEEP),
    "nothing at all, with a body": (response(204, REFERRAL), Unknown(204, "unreadable_answer"), CLOSE),
    "not modified": (response(304), Refused(304, "http_304"), KEEP),
    "a line end behind it": (PLAIN + b"\r\n", SENT, CLOSE),
    "a byte behind it": (PLAIN + b"x", SENT, CLOSE),
    "an answer behind it": (PLAIN + OF_NOBODY, SENT, CLOSE),
    "an answer behind its chunks": (CHUNKED + CHUNKS + OF_NOBODY, SENT, CLOSE),
    "an answer behind an interim one": (b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN + OF_NOBODY, SENT, CLOSE),
    "two times to retry": (
        response(429, {"id": "rate_limit_exceeded"}, {"Retry-After": "3", "retry-after": "5"}),
        Throttled(429, "rate_limit_exceeded", None, None),
        KEEP,
    ),
}


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize(("data", "expected", "connections"), ODD.values(), ids=ODD.keys())
def test_odd_answers(transport: Transport, data: bytes, expected: Verdict, connections: int, kept: bool) -> None:
    """Each odd answer is understood alike on a new connection and on a kept one, and the next call gets its own answer:
    on a new connection where there is any doubt of where the odd one ended.
    """
    with RawServer(in_turn(*[sends(PLAIN)] * kept, sends(data), sends(OF_THE_NEXT))) as server:
        if kept:
            assert outcome(transport.post(server.url + "/", "t", b"{}")) == SENT
        assert outcome(transport.post(server.url + "/", "t", b"{}")) == expected
        assert outcome(transport.post(server.url + "/", "t", b"{}")) == NEXT
        assert (server.connections, len(server.requests)) == (connections, 2 + kept)


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_an_answer_behind_another_within_tls(tmp_path: Path, kept: bool) -> None:
    """What TLS has decrypted beyond an answer is noticed too, though the socket has nothing more to read."""
    authority = tmp_path / "ca.pem"
    authority.write_text(CERTIFICATE)
    transport = new_transport(ca_file=authority)
    # One record, of which http.client's buffer takes exactly the answer, and a plain exchange takes all.
    head = len(response(200, length=8192))
    long = response(200, REFERRAL.ljust(8192 - head)) + OF_NOBODY
    replies = in_turn(*[sends(PLAIN)] * kept, sends(long), sends(OF_THE_NEXT))
    with RawServer(replies, tls=server_tls(tmp_path)) as server:
        if kept:
            assert outcome(transport.post(server.url + "/", "t", b"{}")) == SENT
        assert outcome(transport.post(server.url + "/", "t", b"{}")) == SENT
        assert outcome(transport.post(server.url + "/", "t", b"{}")) == NEXT
        assert server.connections == 2
        assert outcome(transport.post(server.url + "/", "t", b"{}")) == NEXT
        assert server.connections == 2
    transport.close()


def test_a_call_that_is_interrupted_leaves_no_answer(transport: Transport) -> None:
    """An answer that comes after its call was given up is not read by the next call, which has its own connection."""

    class GivenUp(BaseException):
        """Raised amid a call, as Ctrl-C is."""

    def give_up(*_: object) -> None:
        raise GivenUp

    late = threading.Event()

    def answers_late(connection: Connection) -> None:
        signal.raise_signal(signal.SIGUSR1)
        late.wait(5)
        connection.send(OF_NOBODY)

    before = signal.signal(signal.SIGUSR1, give_up)
    try:
        with RawServer(in_turn(sends(PLAIN), answers_late, sends(OF_THE_NEXT))) as server:
            assert outcome(transport.post(server.url + "/", "t", b"{}")) == SENT
            with pytest.raises(GivenUp):
                transport.post(server.url + "/", "t", b"{}")
            assert outcome(transport.post(server.url + "/", "t", b"{}")) == NEXT
            late.set()
            assert (server.connections, len(server.requests)) == (2, 3)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("reply", [Connection.close, Connection.reset, hangs], ids=["close", "reset", "silence"])
def test_the_reason_is_the_same_on_a_kept_connection(transport: Transport, reply: Reply) -> None:
    """So an outage that some calls meet on kept connections is still one line of a shop."""
    reasons = []
    for kept in (False, True):
        with RawServer(in_turn(*[sends(PLAIN)] * kept, reply)) as server:
            if kept:
                assert outcome(transport.post(server.url + "/", "t", b"{}")) == SENT
            answer = transport.post(server.url + "/", "t", b"{}")
        assert isinstance(answer, NoAnswer)
        reasons.append(answer.reason)
    assert reasons[0] == reasons[1]


def refused_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_nothing_is_sent_without_a_connection(transport: Transport) -> None:
    """A refused connection, a name that is none and a server without TLS leave the request unsent."""
    with RawServer(sends(b"HTTP/1.1 400 no\r\n\r\n")) as plain:
        urls = [
            f"http://127.0.0.1:{refused_port()}/",
            "http://refer2..example.com/",
            f"https://127.0.0.1:{plain.port}/",
        ]
        answers = [transport.post(url, "t", b"{}") for url in urls]
        assert plain.requests == []
    assert [isinstance(answer, NoAnswer) and not answer.sent for answer in answers] == [True] * 3


def test_a_handshake_that_never_ends(transport: Transport) -> None:
    """A server that accepts the connection and no more is given up on after the time-out for connecting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        answer = transport.post(f"https://127.0.0.1:{silent.getsockname()[1]}/", "t", b"{}")
        assert time.monotonic() - started < DEADLINE + 1
    assert isinstance(answer, NoAnswer)
    assert (answer.sent, answer.flaw) == (False, "timeout")


def test_a_proxy_that_drips() -> None:
    """The deadline holds for a proxy's answer to CONNECT too."""
    proxied_answer = b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40 + b"\r\n"
    with RawServer(drips(proxied_answer, at_once=1, every=0.05)) as proxy:
        proxied = new_transport(proxy=proxy.url)
        started = time.monotonic()
        answer = proxied.post("https://refer2.example.com/", "t", b"{}")
        assert time.monotonic() - started < DEADLINE + 1
        proxied.close()
    assert isinstance(answer, NoAnswer)
    assert (answer.sent, answer.flaw) == (False, "timeout")


def test_connecting_may_use_up_the_time() -> None:
    """Where connecting took all the time there is, the request isn't sent any more."""
    late = new_transport(deadline=0)
    with RawServer(sends(response(200, REFERRAL))) as server:
        answer = late.post(server.url + "/", "t", b"{}")
        assert server.requests == []
    late.close()
    assert isinstance(answer, NoAnswer)
    assert (answer.sent, answer.flaw) == (False, "timeout")


def test_half_a_request_on_a_kept_connection_is_none() -> None:
    """A kept connection that stalls before the whole request has left leaves it unsent as well, whatever it answers."""
    transport = new_transport(deadline=30)
    stalled = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        def answer_once() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(PLAIN)
                sock.recv(1000)
                sock.sendall(OF_NOBODY)
                stalled.wait(5)

        answering = threading.Thread(target=answer_once)
        answering.start()
        assert outcome(transport.post(url, "t", b"{}")) == SENT
        answer = transport.post(url, "t", b" " * 30_000_000)
        stalled.set()
        answering.join()
    transport.close()
    assert isinstance(answer, NoAnswer)
    assert (answer.sent, answer.flaw) == (False, "timeout")


def test_half_a_request_is_none(transport: Transport) -> None:
    """A connection that ends, or stalls, before the whole request has left leaves it unsent: no body, no referral."""
    large = b" " * 30_000_000
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

        def accept_and_reset() -> None:
            sock, _ = listener.accept()
            sock.recv(1000)
            Connection(sock, threading.Event()).reset()

        resetting = threading.Thread(target=accept_and_reset)
        resetting.start()
        reset = transport.post(url, "t", large)
        resetting.join()
        stalled = transport.post(url, "t", large)
    assert isinstance(reset, NoAnswer)
    assert isinstance(stalled, NoAnswer)
    assert (reset.sent, stalled.sent, stalled.flaw) == (False, False, "timeout")


def classes_of(module: ModuleType) -> list[type[Exception]]:
    """The exceptions that a module defines for others, without its warnings."""
    public = [value for name, value in vars(module).items() if not name.startswith("_")]
    found = [kind for kind in public if isinstance(kind, type) and issubclass(kind, Exception)]
    return [kind for kind in found if kind.__module__ == module.__name__ and not issubclass(kind, Warning)]


FOREIGN: dict[str, type[Exception]] = {
    f"{kind.__module__}.{kind.__name__}": kind
    for module in (requests.exceptions, urllib3.exceptions, http.client, socket, ssl)
    for kind in (*classes_of(module), TimeoutError, ConnectionResetError, BrokenPipeError)
}


@pytest.mark.parametrize("kind", FOREIGN.values(), ids=FOREIGN.keys())
def test_every_foreign_error_is_mapped(kind: type[Exception]) -> None:
    """Each exception of the libraries below is caught at the boundary, before and after sending."""
    assert len(FOREIGN) > 60
    assert issubclass(kind, FOREIGN_ERRORS)
    error = kind.__new__(kind)
    for sent in (False, True):
        mapped = no_answer(error, sent=sent)
        assert mapped.sent is sent
        is_timeout = issubclass(kind, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError)
        assert mapped.flaw == ("timeout" if is_timeout else "connection_lost")
        assert kind.__name__ in mapped.reason
