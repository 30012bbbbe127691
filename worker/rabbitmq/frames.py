"""The frames that a job is made of, packed and read without pika's layers.

For one message pika makes some sixty calls to publish it, fifteen to acknowledge it and twenty to take its confirm. The
frames for that are few, fixed and plain, so they are packed and read here; whatever else goes over a connection is
pika's. The layouts are those of AMQP 0-9-1, sections 2.3.5 and 4.2, class ``basic``. Pure.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

import pika.exceptions
import pika.spec

END = b"\xce"
HEAD = struct.Struct(">BHL")
"""A frame's type, its channel, and the size of its payload. The payload and one byte, :data:`END`, follow."""

OVERHEAD = HEAD.size + len(END)
_OTHER_VERSION = b"AMQP"

METHOD, HEADER, BODY = pika.spec.FRAME_METHOD, pika.spec.FRAME_HEADER, pika.spec.FRAME_BODY

LARGEST_HEADER = 16 * 1024 * 1024
"""Bytes of a header's frame, which RabbitMQ doesn't keep to the size that both sides agreed on: its producer may have
agreed on another one, and RabbitMQ notes each delivery and death among the headers. Nobody could take a message away
that ends the connection, so it would come again for ever."""

_BASIC = 60
_PUBLISH = 40
_DELIVER = struct.pack(">HH", _BASIC, 60)
_ACK = struct.pack(">HH", _BASIC, 80)
_NACK = struct.pack(">HH", _BASIC, 120)
_MANDATORY = b"\x01"

_METHOD_ID = slice(HEAD.size, HEAD.size + 4)
_ARGUMENTS = HEAD.size + 4

_PACK_PUBLISH = struct.Struct(">HHHB")
_PACK_HEADER = struct.Struct(">HHQ")
_PACK_ACK = struct.Struct(">BHL4sQBB")
_TAG_AND_BITS = struct.Struct(">QB")

# In this order come the properties that are used.
_CONTENT_TYPE, _HEADERS, _DELIVERY_MODE, _MESSAGE_ID, _TIMESTAMP = 1 << 15, 1 << 13, 1 << 12, 1 << 7, 1 << 6
_JSON = b"\x10application/json"
_PERSISTENT = bytes([pika.spec.PERSISTENT_DELIVERY_MODE])


class Confirm(NamedTuple):
    """RabbitMQ has taken a message, or with ``multiple`` all up to ``tag``; not ``confirmed``, it refuses them."""

    tag: int
    multiple: bool
    confirmed: bool


def persistent_json(message_id: str | None, timestamp: int | None, headers: Mapping[str, str] | None = None) -> bytes:
    """The properties of a persistent message of JSON; ``timestamp`` in seconds since the epoch.

    Raises:
      ValueError: the id has more than 255 bytes, or can't be encoded.
    """
    flags = _CONTENT_TYPE | _DELIVERY_MODE
    words = _JSON
    if headers:
        flags |= _HEADERS
        words += _table(headers)
    words += _PERSISTENT
    if message_id is not None:
        flags |= _MESSAGE_ID
        words += _short(message_id)
    if timestamp is not None:
        flags |= _TIMESTAMP
        words += timestamp.to_bytes(8)
    return flags.to_bytes(2) + words


def publish(channel: int, exchange: str, routing_key: str, properties: bytes, body: bytes, *, largest: int) -> bytes:
    """The frames that publish a message as mandatory. ``largest`` is the most bytes that a frame's payload may have.

    Raises:
      ValueError: a name has more than 255 bytes, or can't be encoded; or the properties don't fit into a frame.
    """
    name = exchange.encode()
    method = _PACK_PUBLISH.pack(_BASIC, _PUBLISH, 0, _short_size(name)) + name + _short(routing_key) + _MANDATORY
    header = _PACK_HEADER.pack(_BASIC, 0, len(body)) + properties
    if len(header) > largest:
        raise ValueError(f"its properties have {len(properties):,} bytes, and a frame has {largest:,}")
    frames = [
        HEAD.pack(METHOD, channel, len(method)),
        method,
        END,
        HEAD.pack(HEADER, channel, len(header)),
        header,
        END,
    ]
    for start in range(0, len(body), largest):
        part = body[start : start + largest]
        frames += HEAD.pack(BODY, channel, len(part)), part, END
    return b"".join(frames)


def ack(channel: int, tag: int) -> bytes:
    """The frame that acknowledges one delivery."""
    return _PACK_ACK.pack(METHOD, channel, 13, _ACK, tag, 0, END[0])


def end_of_frame(data: bytes, start: int, largest: int) -> int | None:
    """Where the frame that begins at ``start`` ends; None while its end is still to come.

    A server that speaks another version answers with 8 bytes that are no frame, and counts as one here.

    Raises:
      pika.exceptions.InvalidFrameError: it is larger than ``largest`` bytes, for a header :data:`LARGEST_HEADER`, or
        doesn't end as a frame does.
    """
    if len(data) - start < OVERHEAD:
        return None
    if data.startswith(_OTHER_VERSION, start):
        return start + OVERHEAD
    size: int = HEAD.unpack_from(data, start)[2] + OVERHEAD
    if size > largest and (data[start] != HEADER or size > LARGEST_HEADER):
        raise pika.exceptions.InvalidFrameError(f"a frame of {size:,} bytes, and {largest:,} are agreed on")
    if start + size > len(data):
        return None
    if not data.startswith(END, start + size - 1):
        raise pika.exceptions.InvalidFrameError("a frame doesn't end as one does")
    return start + size


def read_confirm(frame: bytes) -> Confirm | None:
    """The confirm or refusal in a whole frame that holds a method; None for another method."""
    method = frame[_METHOD_ID]
    if method not in (_ACK, _NACK):
        return None
    tag, bits = _TAG_AND_BITS.unpack_from(frame, _ARGUMENTS)
    return Confirm(tag, bool(bits & 1), method == _ACK)


def read_deliver(frame: bytes) -> pika.spec.Basic.Deliver | None:
    """The delivery in a whole frame that holds a method; None for another method.

    As with pika, a name that is no UTF-8 stays bytes.

    Raises:
      struct.error, IndexError: the frame ends early.
    """
    if frame[_METHOD_ID] != _DELIVER:
        return None
    consumer, at = _read_short(frame, _ARGUMENTS)
    tag, bits = _TAG_AND_BITS.unpack_from(frame, at)
    exchange, at = _read_short(frame, at + _TAG_AND_BITS.size)
    routing_key, _ = _read_short(frame, at)
    return pika.spec.Basic.Deliver(consumer, tag, bool(bits & 1), exchange, routing_key)


def _table(headers: Mapping[str, str]) -> bytes:
    entries = b"".join(_short(name) + b"S" + _long(value.encode()) for name, value in headers.items())
    return _long(entries)


def _long(encoded: bytes) -> bytes:
    return len(encoded).to_bytes(4) + encoded


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes([_short_size(encoded)]) + encoded


def _short_size(encoded: bytes) -> int:
    if len(encoded) > 255:
        raise ValueError(f"a name of AMQP has 255 bytes at most, and this one {len(encoded)}")
    return len(encoded)


def _read_short(frame: bytes, at: int) -> tuple[str | bytes, int]:
    end = at + 1 + frame[at]
    value = frame[at + 1 : end]
    try:
        return value.decode(), end
    except UnicodeDecodeError:
        return value, end
