"""Reads an ordinary answer from bytes, by llhttp, the parser of Node.

http.client builds an e-mail message of every answer's head, which takes a fifth of a call's CPU. Nearly all answers
need none of that. Whatever isn't plain in every respect is left to http.client, so that there is one reading of odd
answers, and a strict one of all others.
"""

from collections.abc import Callable

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from worker.refer2.responses import Answer

LARGEST = 64 * 1024
"""Bytes of a plain answer, its head included. An answer to a call has some hundreds."""

PARSER_ERRORS = (HttpParserError, HttpParserUpgrade)
"""What the parser raises."""

_MOST_PIECES = 64
"""Pieces in which a plain answer comes; of one that drips in, each piece would be copied as often as others follow."""

_MOST_FIELDS = 64
"""Fields of a plain answer's head; http.client's own bound is 99."""

_WITHOUT_A_BODY = frozenset({204, 304})

_TELLING = frozenset({b"connection", b"content-encoding", b"content-length", b"retry-after", b"transfer-encoding"})
"""Fields that matter. Others may come twice, as Set-Cookie does behind some load balancers."""


class _Message:
    """What the parser calls while it reads."""

    __slots__ = ("begun", "body", "fields", "has_head", "is_whole", "names", "repeats")

    def __init__(self) -> None:
        self.begun = 0
        self.names = 0
        self.fields: dict[bytes, bytes] = {}
        self.repeats = False
        self.has_head = False
        self.body: list[bytes] = []
        self.is_whole = False

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.names += 1
        name = name.lower()
        if name in _TELLING:
            self.repeats = self.repeats or name in self.fields
            self.fields[name] = value

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.is_whole = True


def read_plain_answer(receive: Callable[[], bytes]) -> Answer | None:
    """The answer in the bytes that ``receive`` returns piece by piece; None as soon as it is no plain one.

    A plain answer is HTTP/1.1 with a final status, states nothing twice, says by its length or by chunks where it ends,
    leaves the connection open, has no coding, comes whole, and is followed by nothing. Blocks as ``receive`` does, and
    raises what that raises; ``receive`` returns no bytes at the end of the connection.
    """
    message = _Message()
    parser = HttpResponseParser(message)
    received = b""
    pieces = 0
    while not message.is_whole:
        piece = receive()
        pieces += 1
        received = received + piece if received else piece
        # The parser skips empty lines before an answer. What a server sends unasked is not plain.
        if not piece or pieces > _MOST_PIECES or len(received) > LARGEST or not received.startswith(b"HTTP/1.1 "):
            return None
        try:
            parser.feed_data(piece)
        except PARSER_ERRORS:
            return None
        if message.has_head and not _is_plain(parser.get_status_code(), message):
            return None
    if not _ends_there(received, message):
        return None
    retry_after = message.fields.get(b"retry-after")
    return Answer(
        parser.get_status_code(),
        None if retry_after is None else retry_after.decode("latin-1"),
        b"".join(message.body),
    )


def _is_plain(status: int, message: _Message) -> bool:
    fields = message.fields
    return (
        message.begun == 1
        and status >= 200
        and status not in _WITHOUT_A_BODY
        and not message.repeats
        and message.names <= _MOST_FIELDS
        and (b"content-length" in fields or fields.get(b"transfer-encoding") == b"chunked")
        and fields.get(b"content-encoding", b"identity") == b"identity"
        and fields.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    )


def _ends_there(received: bytes, message: _Message) -> bool:
    # The parser also skips empty lines after an answer, and the connection must be at its end.
    length = message.fields.get(b"content-length")
    if length is None:
        return received.endswith(b"\r\n0\r\n\r\n")
    return len(received) == received.index(b"\r\n\r\n") + 4 + int(length)
