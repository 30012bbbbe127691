"""Bodies that are discarded while they come in, and properties that would take too long to decode."""

import hashlib
import struct

import pika
import pika.frame
import pika.spec
import pytest

from worker.rabbitmq.frame_reader import (
    LONGEST_KEPT,
    UNREAD_PROPERTIES,
    DiscardedBody,
    FrameReader,
    discarded_body,
)
from worker.text.bounds import MESSAGE, ORDINARY, structural_characters, weight

LARGEST = 100


@pytest.fixture
def reader() -> FrameReader:
    """The reader of a connection whose bytes are the test's."""
    return FrameReader(LARGEST)


def header(channel: int, size: int) -> bytes:
    """The frame that announces a body."""
    return bytes(pika.frame.Header(channel, size, pika.BasicProperties(delivery_mode=2)).marshal())


def body(channel: int, fragment: bytes) -> bytes:
    """A frame with a part of one."""
    return bytes(pika.frame.Body(channel, fragment).marshal())


def assembled(reader: FrameReader, *frames: bytes) -> list[tuple[bytes, DiscardedBody | None]]:
    """The bodies that pika makes of these frames, and what is known of each that was discarded."""
    bodies = []
    by_channel: dict[int, tuple[pika.frame.Header, bytes]] = {}
    for data in frames:
        frame = reader.read(data)
        if isinstance(frame, pika.frame.Header):
            by_channel[frame.channel_number] = (frame, b"")
            continue
        announced, before = by_channel[frame.channel_number]
        by_channel[frame.channel_number] = (announced, before + frame.fragment)
        if len(before + frame.fragment) == announced.body_size:
            bodies.append((before + frame.fragment, discarded_body(announced.properties)))
    return bodies


def discarded(whole: bytes) -> tuple[bytes, DiscardedBody]:
    """What is left of a body that was discarded."""
    return b"\0", DiscardedBody(len(whole), hashlib.sha256(whole).hexdigest())


@pytest.mark.parametrize("pieces", [[LARGEST + 1], [LARGEST, 1], [1] * (LARGEST + 1), [60, 60, 60]])
def test_a_body_is_cut(reader: FrameReader, pieces: list[int]) -> None:
    """However it is divided, of a body that is too large one byte is left, and what it was is known."""
    parts = [bytes([65 + number % 26]) * size for number, size in enumerate(pieces)]
    frames = [header(1, sum(pieces)), *(body(1, part) for part in parts)]
    whole = [header(1, LARGEST), body(1, b"z" * LARGEST)]
    assert assembled(reader, *frames, *whole, *frames) == [
        discarded(b"".join(parts)),
        (b"z" * LARGEST, None),
        discarded(b"".join(parts)),
    ]


def test_channels_have_nothing_to_do_with_each_other(reader: FrameReader) -> None:
    """Frames of two channels may alternate; each body is discarded or kept by its own size."""
    large, small = b"x" * 150, b"y" * 50
    frames = [header(1, 150), header(2, 50), body(1, large[:75]), body(2, small[:25]), body(1, large[75:])]
    assert assembled(reader, *frames, body(2, small[25:])) == [discarded(large), (small, None)]


def test_a_channel_that_was_closed_amid_a_body(reader: FrameReader) -> None:
    """What it left unfinished cuts nothing of the next channel that has its number."""
    frames = [header(1, 150), body(1, b"x" * 75), header(1, 50), body(1, b"y" * 50)]
    assert assembled(reader, *frames) == [(b"y" * 50, None)]


PROPERTIES = len(b"".join(pika.BasicProperties(delivery_mode=2).encode()))

DENSE = b"[" + b"[]," * 600 + b"[]]"


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_a_dense_body_is_weighed(reader: FrameReader, pieces: int) -> None:
    """However it is divided, a small body takes room for its JSON structure, and one that finds none is marked so."""
    reader.largest = MESSAGE.size
    weighs = weight(len(DENSE) + PROPERTIES, structural_characters(DENSE)) - ORDINARY
    reader.room = 2 * weighs
    size = -(-len(DENSE) // pieces)
    frames = [header(1, len(DENSE)), *(body(1, DENSE[at : at + size]) for at in range(0, len(DENSE), size))]
    found = [discarded is not None and discarded.no_room for _, discarded in assembled(reader, *frames * 3)]
    assert found == [False, False, True]
    assert reader.room == 0


@pytest.mark.parametrize("room", [0, -1])
def test_ordinary_bodies_need_no_room(reader: FrameReader, room: int) -> None:
    """They are taken whatever others have left, even of a room that is overdrawn."""
    reader.largest, reader.room = MESSAGE.size, room
    ordinary = b"{" + b'"a":"bcdefghijklmnopqrstuvwxyz",' * 20 + b"}"
    assert assembled(reader, header(1, len(ordinary)), body(1, ordinary)) == [(ordinary, None)]
    assert reader.room == room


HEADERS = 1 << 13
"""The flag of a message's headers."""


def properties(table: bytes, flags: int = HEADERS) -> bytes:
    """A message's properties with these entries as its headers."""
    return struct.pack(">HI", flags, len(table)) + table


def array(values: bytes) -> bytes:
    """One header that is an array."""
    return b"\x01hA" + struct.pack(">I", len(values)) + values


def nested(levels: int) -> bytes:
    """Arrays one in the other."""
    values = b""
    for _ in range(levels - 1):
        values = b"A" + struct.pack(">I", len(values)) + values
    return array(values)


def read_headers(reader: FrameReader, raw: bytes) -> tuple[pika.BasicProperties, bytes]:
    """What the reader makes of a message with these properties, and of the body behind it."""
    payload = struct.pack(">HHQ", pika.spec.Basic.INDEX, 0, 4) + raw
    header = reader.read(struct.pack(">BHL", pika.spec.FRAME_HEADER, 1, len(payload)) + payload + b"\xce")
    return header.properties, reader.read(body(1, b"body")).fragment


HEAVY = {
    "an array of nothing": properties(array(b"V" * 130_000)),
    "nothing by name": properties(b"\x00V" * 60_000),
    "one value too many": properties(array(b"V" * MESSAGE.parts)),
    "tables in an array": properties(array(b"F\x00\x00\x00\x00" * 10_000)),
    "a level too deep": properties(nested(MESSAGE.depth)),
    "more than the array says": properties(b"\x01hA\x00\x00\x00\x01F\x00\x00\xff\x00" + b"\x00V" * 32_640),
    "twice a usual frame": properties(b"\x01hS" + struct.pack(">I", 262_144) + b"V" * 262_144),
    "behind other texts": b"\xe0\x00\x01a\x01b" + properties(array(b"V" * 60_000))[2:],
    "words and words of flags": b"\x20\x01" * 30_000 + bytes(2) + properties(array(b"V" * 200))[2:],
}


@pytest.mark.parametrize("raw", HEAVY.values(), ids=HEAVY)
def test_heavy_properties_are_not_decoded(reader: FrameReader, raw: bytes) -> None:
    """Of more values or levels than a job may have nothing is made but one header; the body is whole."""
    read, fragment = read_headers(reader, raw)
    assert read.headers == {UNREAD_PROPERTIES: raw if len(raw) <= LONGEST_KEPT else b""}
    assert fragment == b"body"


WIDTHS = (1, 1, 1, 2, 2, 2, 4, 4, 8, 8, 4, 8, 5, 8, 0, 4, 4, 4, 4)

KINDS = b"".join(
    bytes([1, kind, kind]) + bytes(width) for kind, width in zip(b"tbBUusIilLfdDTVSxAF", WIDTHS, strict=True)
)
"""A header of each kind, empty or 0."""

LARGE = {
    "a long text": properties(b"\x01hS" + struct.pack(">I", 100_000) + b"V" * 100_000),
    "as many values as there may be": properties(array(b"V" * (MESSAGE.parts - 1))),
    "as deep as it may be": properties(nested(MESSAGE.depth - 1)),
    "every kind": properties(KINDS + b"\x01hS\x00\x00\x00\xa0" + b"a" * 160),
    "no headers": b"\xd0\x00\xffa".replace(b"a", b"a" * 255) + b"\x01b\x02",
}


@pytest.mark.parametrize("raw", LARGE.values(), ids=LARGE)
def test_large_properties_are_decoded(reader: FrameReader, raw: bytes) -> None:
    """However many bytes they have, properties within the bounds are what their producer wrote."""
    read, fragment = read_headers(reader, raw)
    assert read.raw == raw
    assert UNREAD_PROPERTIES not in (read.headers or {})
    assert fragment == b"body"
