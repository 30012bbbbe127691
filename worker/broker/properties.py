"""A message's properties as they came, to the byte, for the copy that is made of it.

pika's own way from bytes to values and back loses: a float becomes a whole number, a text that is not UTF-8 and a short
number become another type. So the bytes are kept (by `worker.broker.frames`), and only what must change is changed.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pika
import pika.data

LONGEST = 131_072 - 64
"""Bytes of properties that go into one frame of RabbitMQ's size; with more it closes the connection."""

DROPPED = "x-referral-headers-dropped"
"""Header that stands for headers for which the dead letter's own left no room, and tells how many bytes they had."""

_FIELDS = (
    "content_type",
    "content_encoding",
    "headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)
"""In the order of their flags, from bit 15 down."""

_SIZES = {"delivery_mode": 1, "priority": 1, "timestamp": 8}


class _Encoded(pika.BasicProperties):  # type: ignore[misc]
    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self._raw = raw

    def encode(self) -> list[bytes]:
        return [self._raw]


def kept(
    properties: pika.BasicProperties,
    *,
    drop: Callable[[str], bool],
    add: Mapping[str, Any],
    expiration: str | None = None,
    message_id: str | None = None,
) -> pika.BasicProperties:
    """The properties of a persistent copy: without the headers that ``drop`` names, with those of ``add``.

    The copy expires as ``expiration`` says, never as the original did; ``message_id`` replaces its own if given. It
    names no user, since RabbitMQ refuses a name that is not the connection's own.
    """
    fields = dict(_split(_raw_of(properties)))
    entries = [entry for name, entry in _entries(fields.pop("headers", b"")) if not drop(name)]
    fields.pop("expiration", None)
    fields.pop("user_id", None)
    fields["delivery_mode"] = b"\x02"
    for name, text in (("expiration", expiration), ("message_id", message_id)):
        if text is not None:
            fields[name] = bytes([len(text)]) + text.encode()
    whole = _join(fields, entries, add)
    if len(whole) > LONGEST:
        whole = _join(fields, [], {**add, DROPPED: sum(map(len, entries))})
    return _Encoded(whole)


def _raw_of(properties: pika.BasicProperties) -> bytes:
    raw: bytes | None = getattr(properties, "raw", None)
    return b"".join(properties.encode()) if raw is None else raw


def _split(raw: bytes) -> Iterator[tuple[str, bytes]]:
    flags, offset = struct.unpack_from(">H", raw)[0], 2
    for number, name in enumerate(_FIELDS):
        if not flags >> (15 - number) & 1:
            continue
        if name == "headers":
            end = offset + 4 + struct.unpack_from(">I", raw, offset)[0]
        else:
            end = offset + _SIZES.get(name, 1 + raw[offset])
        yield name, raw[offset:end]
        offset = end


def _entries(table: bytes) -> Iterator[tuple[str, bytes]]:
    offset = 4
    while offset < len(table):
        name, value_at = pika.data.decode_short_string(table, offset)
        _, end = pika.data.decode_value(table, value_at)
        yield str(name), table[offset:end]
        offset = end


def _join(fields: Mapping[str, bytes], entries: list[bytes], add: Mapping[str, Any]) -> bytes:
    added: list[bytes] = []
    pika.data.encode_table(added, dict(add))
    table = b"".join([*entries, *added[1:]])
    present = {**fields, "headers": struct.pack(">I", len(table)) + table}
    flags = sum(1 << (15 - number) for number, name in enumerate(_FIELDS) if name in present)
    return struct.pack(">H", flags) + b"".join(present[name] for name in _FIELDS if name in present)
