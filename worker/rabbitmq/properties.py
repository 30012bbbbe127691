"""A message's properties, copied byte for byte onto the copy that a worker publishes of it. Pure.

Decoding by pika and encoding again loses: a float becomes an integer, and a text that is not UTF-8 or a short integer
changes its type. So :mod:`worker.rabbitmq.frame_reader` keeps the bytes, and only what must change is changed here.

A header is its producer's claim, whatever its name. Headers that only RabbitMQ or a worker may state are left out of
the copy: a reader would believe them there, and RabbitMQ would route by some of them.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import pika
import pika.data
import pika.exceptions

from worker.rabbitmq.frame_reader import LONGEST_KEPT, UNREAD_PROPERTIES
from worker.rabbitmq.property_bounds import are_heavy

OURS = "x-referral-"
"""What the headers of this system begin with; only a worker may state them."""

DEATHS = "x-death"
"""RabbitMQ's header with one entry for each queue and cause by which it moved the message."""

_ROUTING = frozenset({"CC", "BCC"})
"""Routing keys that RabbitMQ reads in addition to a message's own, on every exchange that the message passes."""

_NOTED_BY_RABBITMQ = (DEATHS, "x-first-death-", "x-last-death-", "x-delivery-count")
"""What RabbitMQ notes on a message's way. Kept, it would mislead readers and pile up on a job that is delayed often."""

LONGEST = 131_072 - 64
"""Bytes of properties that fit into one frame of RabbitMQ's usual size; given more, it closes the connection."""

DROPPED = "x-referral-headers-dropped"
"""Header that replaces headers for which a copy's own left no room; its value is how many bytes they had."""

SPARE_VALUES = 64
"""Values kept free for RabbitMQ's own notes, some ten each time it moves the copy. Without them the copy could become
too heavy to be decoded, and its next reader would not see our headers."""

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
"""AMQP's properties in the order of their flags, from bit 15 down."""

_CUT_SHORT = (ValueError, IndexError, RecursionError, struct.error, pika.exceptions.AMQPError)
"""Raised by bytes that end in the midst of a property, or that nest too deep to be read."""

# Of fixed size; all others but the headers are short texts with their length in one byte.
_SIZES = {"delivery_mode": 1, "priority": 1, "timestamp": 8}


class _Encoded(pika.BasicProperties):  # type: ignore[misc] # pika has no types
    # Properties whose bytes are ready: pika asks for nothing but their encoding.
    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self._raw = raw

    def encode(self) -> list[bytes]:
        return [self._raw]


def copy_properties(
    properties: pika.BasicProperties,
    *,
    add: Mapping[str, Any],
    returned: bool,
    expiration: str | None = None,
    message_id: str | None = None,
) -> pika.BasicProperties:
    """The properties of a persistent copy: without its producer's claims, and with the headers of ``add``.

    A message that ``returned`` from a delay queue is itself a worker's copy, so it keeps the headers in which that
    worker put what it could not carry over.

    Bytes that end in the midst of a property are read by pika as if the property were whole. They become one header, as
    properties that pika can't read do. A copy that RabbitMQ can't read would cost the connection, and the message would
    come again for ever.

    The copy expires as ``expiration`` says, never as the original did. ``message_id`` replaces the original's if given.
    The copy names no user, since RabbitMQ refuses a name that is not the connection's own.
    """
    raw: bytes | None = getattr(properties, "raw", None)
    # Without raw bytes, these properties are the ones that the frame reader made for a message that it can't decode.
    carried = {UNREAD_PROPERTIES, DROPPED} if returned or raw is None else set()
    came = b"".join(properties.encode()) if raw is None else raw
    try:
        fields = dict(_split(came))
        headers = _entries(fields.pop("headers", b""))
        entries = [entry for name, entry in headers if name in carried or not (is_reserved(name) or name in add)]
    except _CUT_SHORT:
        fields, entries = {}, []
        add = {**add, UNREAD_PROPERTIES: came if len(came) <= LONGEST_KEPT else b""}
    fields.pop("expiration", None)
    fields.pop("user_id", None)
    fields["delivery_mode"] = b"\x02"
    for name, text in (("expiration", expiration), ("message_id", message_id)):
        if text is not None:
            fields[name] = bytes([len(text)]) + text.encode()
    whole = _join(fields, entries, add)
    if len(whole) > LONGEST or are_heavy(whole, SPARE_VALUES):
        whole = _join(fields, [], {**add, DROPPED: sum(map(len, entries))})
    return _Encoded(whole)


def is_reserved(header: str) -> bool:
    """Whether only RabbitMQ or a worker may state a header of this name, or RabbitMQ routes by it."""
    return header in _ROUTING or header.startswith((OURS, *_NOTED_BY_RABBITMQ))


def is_unambiguous(properties: pika.BasicProperties) -> bool:
    """Whether all reserved headers can be read, and each of them and each field of a death is there only once.

    Of a header that is there twice RabbitMQ 3.10 reads and changes the first, and pika reads the last.
    """
    raw: bytes | None = getattr(properties, "raw", None)
    if raw is None:
        # The frame reader made these, so they are not what came.
        return False
    try:
        reserved = [one for one in _entries(dict(_split(raw)).get("headers", b"")) if is_reserved(one[0])]
        deaths = (table for name, entry in reserved if name == DEATHS for table in _tables(entry[1 + len(DEATHS) :]))
        tables = [[name for name, _ in reserved], *([name for name, _ in _entries(table)] for table in deaths)]
    except _CUT_SHORT:
        return False
    return all(len(set(names)) == len(names) for names in tables)


def _split(raw: bytes) -> Iterator[tuple[str, bytes]]:
    # Each property's name and its bytes as they travel, length included.
    flags, offset = struct.unpack_from(">H", raw)[0], 2
    for number, name in enumerate(_FIELDS):
        if not flags >> (15 - number) & 1:
            continue
        if name == "headers":
            end = offset + 4 + struct.unpack_from(">I", raw, offset)[0]
        else:
            end = offset + _SIZES.get(name, 1 + raw[offset])
        if end > len(raw):
            raise ValueError(f"{name} ends after {end} bytes of {len(raw)}")
        yield name, raw[offset:end]
        offset = end


def _entries(table: bytes) -> Iterator[tuple[str, bytes]]:
    # Each header's name, and its bytes with the name.
    offset = 4
    while offset < len(table):
        name, value_at = pika.data.decode_short_string(table, offset)
        _, end = pika.data.decode_value(table, value_at)
        if end > len(table):
            raise ValueError(f"a header ends after {end} bytes of {len(table)}")
        yield str(name), table[offset:end]
        offset = end


def _tables(value: bytes) -> Iterator[bytes]:
    # The tables of an array, each with its length before it; none of another value.
    offset = 5 if value.startswith(b"A") else len(value)
    while offset < len(value):
        end: int = pika.data.decode_value(value, offset)[1]
        if value[offset : offset + 1] == b"F":
            yield value[offset + 1 : end]
        offset = end


def _join(fields: Mapping[str, bytes], entries: list[bytes], add: Mapping[str, Any]) -> bytes:
    added: list[bytes] = []
    pika.data.encode_table(added, dict(add))
    table = b"".join([*entries, *added[1:]])
    present = {**fields, "headers": struct.pack(">I", len(table)) + table}
    flags = sum(1 << (15 - number) for number, name in enumerate(_FIELDS) if name in present)
    return struct.pack(">H", flags) + b"".join(present[name] for name in _FIELDS if name in present)
