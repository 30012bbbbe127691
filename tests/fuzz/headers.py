"""What comes before a message's body: its properties, and the frame that they come in."""

import struct
from collections.abc import Mapping
from typing import Any

import pika
import pika.frame
import pika.spec

from tests.fuzz.target import Target
from worker.rabbitmq import frames
from worker.rabbitmq.frame_reader import UNREAD_PROPERTIES, FrameReader
from worker.rabbitmq.properties import DROPPED, LONGEST, copy_properties, is_reserved, is_unambiguous
from worker.rabbitmq.topology import REASON_HEADER as REASON

_BODY_SIZE = 7


def frame(data: bytes) -> None:
    """A whole content header is always a header: what pika can't read of it costs the properties, never the message."""
    header = content_header(data)
    assert header.body_size == _BODY_SIZE
    assert isinstance(header.properties, pika.BasicProperties)
    assert isinstance(header.properties.headers, dict | None)
    raw = _framed(data)
    for length in range(min(len(raw), 32)):
        # Half of it waits for the rest.
        assert frames.end_of_frame(raw[:length], 0, largest=8) is None
    assert frames.end_of_frame(raw + b"behind it", 0, largest=8) == len(raw)


def properties(data: bytes) -> None:
    """A copy keeps what is no claim, to the byte, fits into a frame, and can be read again."""
    came = content_header(data).properties
    is_unambiguous(came)
    for returned in (False, True):
        copy = copy_properties(came, returned=returned, add={REASON: "bad_schema"}, expiration="1000", message_id="m1")
        again = b"".join(copy.encode())
        assert len(again) <= LONGEST
        read = content_header(again).properties
        assert (read.expiration, read.message_id, read.user_id, read.delivery_mode) == ("1000", "m1", None, 2)
        assert read.headers[REASON] == "bad_schema"
        assert returned or is_unambiguous(read)
        # RabbitMQ passes over the last two flags, of which pika reads the last as one word of flags more.
        strange = len(data) < 2 or data[1] & 3
        if strange or DROPPED in read.headers or UNREAD_PROPERTIES in read.headers:
            continue
        # By their text: what is no number equals nothing.
        assert repr(_foreign(came.headers or {})) == repr(_foreign(read.headers))
        assert [getattr(read, name) for name in _KEPT] == [getattr(came, name) for name in _KEPT]


def _foreign(headers: Mapping[Any, Any]) -> dict[Any, Any]:
    # A name that is not UTF-8 comes as bytes.
    return {name: value for name, value in headers.items() if not is_reserved(str(name))}


_KEPT = ("content_type", "content_encoding", "priority", "correlation_id", "reply_to", "timestamp", "type", "app_id")


def content_header(data: bytes) -> Any:
    """The content header of a message with these properties, as a worker's connection reads it."""
    header = FrameReader().read(_framed(data))
    assert isinstance(header, pika.frame.Header)
    return header


def _framed(data: bytes) -> bytes:
    payload = struct.pack(">HHQ", pika.spec.Basic.INDEX, 0, _BODY_SIZE) + data
    return struct.pack(">BHL", pika.spec.FRAME_HEADER, 1, len(payload)) + payload + bytes([pika.spec.FRAME_END])


_WORDS = (
    b"\x20\x00\x00\x00\x00",
    b"\xff\xfc",
    b"x-deathA\x00\x00\x00",
    b"x-referral-reasonS\x00\x00\x00\x03abc",
    b"CCA\x00\x00\x00\x08S\x00\x00\x00\x03abc",
    *(kind.encode() for kind in "tbBuUsiIlLfdDSATFVx"),
    struct.pack(">d", float("nan")),
    struct.pack(">Q", 2**64 - 1),
    b"\xff\xff\xff\xff",
)

TARGETS = (Target("frame", frame, _WORDS), Target("properties", properties, _WORDS))
