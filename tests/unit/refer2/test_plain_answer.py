"""Which answers are plain, and what is read of them."""

from collections.abc import Callable

import httptools
import pytest

from tests.unit.rawserver import response
from worker.refer2.plain_answer import LARGEST, PARSER_ERRORS, read_plain_answer
from worker.refer2.responses import Answer

REFERRAL = b'{"referral": {"link": "https://example.com/r/1"}}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HALF = b"10\r\n" + REFERRAL[:16] + b"\r\n"
OTHER_HALF = b"21\r\n" + REFERRAL[16:] + b"\r\n"
END = b"0\r\n\r\n"
ANSWER = Answer(200, None, REFERRAL)
LARGE = b"x" * (LARGEST - len(response(200, length=LARGEST)))


def coming(*pieces: bytes) -> Callable[[], bytes]:
    """Receives the pieces one by one, and then the connection's end."""
    left = list(pieces)
    return lambda: left.pop(0) if left else b""


PLAIN: dict[str, tuple[bytes, Answer]] = {
    "with a length": (response(200, REFERRAL), ANSWER),
    "in chunks": (CHUNKED + HALF + OTHER_HALF + END, ANSWER),
    "empty": (response(200), Answer(200, None, b"")),
    "empty, in chunks": (CHUNKED + END, Answer(200, None, b"")),
    "a redirect": (response(302, b"", {"Location": "/"}), Answer(302, None, b"")),
    "a refusal": (response(429, b"{}", {"Retry-After": "3"}), Answer(429, "3", b"{}")),
    "a time beyond ASCII": (response(429, b"", {"Retry-After": "3 é"}), Answer(429, "3 é", b"")),
    "a failure": (response(503, b"<html>"), Answer(503, None, b"<html>")),
    "a body like an answer": (response(200, response(200, END)), Answer(200, None, response(200, END))),
    "a coding that is none": (response(200, REFERRAL, {"content-encoding": "identity"}), ANSWER),
    "kept": (response(200, REFERRAL, {"Connection": "Keep-Alive"}), ANSWER),
    "a field that tells nothing, twice": (response(200, REFERRAL, {"Via": "a", "via": "b"}), ANSWER),
    "63 other fields": (response(200, REFERRAL, {f"x-{n}": "y" for n in range(63)}), ANSWER),
    "as large as may be": (response(200, LARGE), Answer(200, None, LARGE)),
}


@pytest.mark.parametrize(("data", "expected"), PLAIN.values(), ids=PLAIN.keys())
def test_plain(data: bytes, expected: Answer) -> None:
    """A plain answer is read, in one piece or in two, wherever it is cut behind the first word."""
    assert len(data) <= LARGEST
    assert read_plain_answer(coming(data)) == expected
    for cut in range(9, len(data), 1 + len(data) // 300):
        assert read_plain_answer(coming(data[:cut], data[cut:])) == expected


ODD: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-server\r\n",
    "HTTP/1.0": response(200, REFERRAL, {"Connection": "keep-alive"}).replace(b"1.1", b"1.0"),
    "HTTP/1.2": response(200, REFERRAL).replace(b"1.1", b"1.2"),
    "a line end before it": b"\r\n" + response(200, REFERRAL),
    "an interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "an interim answer before it": b"HTTP/1.1 100 Continue\r\n\r\n" + response(200, REFERRAL),
    "an empty answer in chunks before another": b"HTTP/1.1 103 x\r\n\r\n" + CHUNKED + END,
    "a change of the protocol": response(101, b"", {"Connection": "upgrade", "Upgrade": "x"}),
    "a status below 100": response(99, REFERRAL),
    "an interim answer with a length": response(103),
    "no content": response(204),
    "not modified": response(304),
    "no length": b"HTTP/1.1 200 OK\r\n\r\n" + REFERRAL,
    "two lengths": response(200, REFERRAL, {"content-length": str(len(REFERRAL))}),
    "a length and chunks": response(200, END, {"Transfer-Encoding": "chunked"}),
    "chunks of a coding": CHUNKED.replace(b"chunked", b"gzip, chunked") + END,
    "a coding": response(200, REFERRAL, {"Content-Encoding": "gzip"}),
    "two codings": response(200, REFERRAL, {"Content-Encoding": "identity", "content-encoding": "gzip"}),
    "trailers": CHUNKED + HALF + OTHER_HALF + b"0\r\nx: y\r\n\r\n",
    "an extension of the last chunk": CHUNKED + HALF + OTHER_HALF + b"0;x\r\n\r\n",
    "closes": response(200, REFERRAL, {"Connection": "close"}),
    "closes, among others": response(200, REFERRAL, {"Connection": "keep-alive, close"}),
    "says twice that it keeps": response(200, REFERRAL, {"Connection": "keep-alive", "connection": "keep-alive"}),
    "two times to retry": response(429, b"", {"Retry-After": "3", "retry-after": "5", "Connection": "keep-alive"}),
    "64 other fields": response(200, REFERRAL, {f"x-{n}": "y" for n in range(64)}),
    "a folded field": response(200, REFERRAL, {"x": "a\r\n b"}),
    "NUL": response(200, REFERRAL, {"x": "a\0b"}),
    "a bare carriage return": response(200, REFERRAL, {"x": "a\rb"}),
    "bare line feeds": response(200, REFERRAL).replace(b"\r\n", b"\n"),
    "a signed length": response(200, REFERRAL, {"Content-Length": "+49"}),
    "a length that is too large": response(200, length=LARGEST, body=b"x"),
    "larger than may be": response(200, LARGE + b"x"),
    "cut in the head": response(200, REFERRAL)[:30],
    "cut in the body": response(200, REFERRAL)[:-1],
    "cut in a chunk": CHUNKED + HALF[:-5],
    "cut before the last chunk": CHUNKED + HALF + OTHER_HALF,
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_odd(data: bytes) -> None:
    """Whatever is not plain in every respect is left to another reader, also if it comes in pieces."""
    assert read_plain_answer(coming(data)) is None
    for cut in range(9, len(data), 1 + len(data) // 300):
        assert read_plain_answer(coming(data[:cut], data[cut:])) is None


BEHIND: dict[str, tuple[bytes, bytes]] = {
    "a line end": (response(200, REFERRAL), b"\r\n"),
    "a line end, behind chunks": (CHUNKED + HALF + OTHER_HALF + END, b"\r\n"),
    "a byte": (response(200, REFERRAL), b"x"),
    "an answer": (response(200, REFERRAL), response(200, REFERRAL)),
    "an answer in chunks": (response(200, REFERRAL), CHUNKED + END),
    "an answer behind chunks": (CHUNKED + HALF + OTHER_HALF + END, response(200, REFERRAL)),
}


@pytest.mark.parametrize(("data", "behind"), BEHIND.values(), ids=BEHIND.keys())
def test_bytes_behind_it(data: bytes, behind: bytes) -> None:
    """An answer that comes together with more is not plain; what comes later is for the next look at the connection."""
    for cut in range(len(data)):
        assert read_plain_answer(coming(data[:cut], data[cut:] + behind)) is None
    assert read_plain_answer(coming(data, behind)) == ANSWER


def test_an_odd_head_is_not_read_on() -> None:
    """Once the head shows that an answer is not plain, nothing more is waited for."""
    pieces = [response(200, length=500, headers={"Connection": "close"}), b"never asked for"]
    assert read_plain_answer(lambda: pieces.pop(0)) is None
    assert pieces == [b"never asked for"]


@pytest.mark.parametrize(("drops", "expected"), [(62, ANSWER), (63, None)])
def test_an_answer_in_drops(drops: int, expected: Answer | None) -> None:
    """An answer in more than 64 pieces is left to a reader that buffers."""
    data = response(200, REFERRAL)
    first, rest = data[:10], data[10:]
    assert read_plain_answer(coming(first, *(bytes([byte]) for byte in rest[:drops]), rest[drops:])) == expected


def test_nothing_is_read_behind_the_end() -> None:
    """Once the connection has ended, nothing more is waited for."""
    pieces = [response(200, length=500), b"", b"never asked for"]
    assert read_plain_answer(lambda: pieces.pop(0)) is None
    assert pieces == [b"never asked for"]


def test_every_error_of_the_parser_is_expected() -> None:
    """Whatever the parser can raise says that an answer is not plain."""
    public = [getattr(httptools, name) for name in httptools.__all__]
    kinds = [kind for kind in public if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 5
    assert [kind for kind in kinds if not issubclass(kind, PARSER_ERRORS)] == []


def test_what_goes_wrong_is_raised() -> None:
    """An error of the connection is the caller's."""

    def receive() -> bytes:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        read_plain_answer(receive)
