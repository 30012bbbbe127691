"""Bodies that are let go of while they come in."""

import hashlib
from collections.abc import Iterator

import pika
import pika.frame
import pika.spec
import pytest

from worker.broker.frames import Cut, TolerantConnection, cut_of

LARGEST = 100


@pytest.fixture
def connection() -> Iterator[TolerantConnection]:
    """A connection to nobody, whose bytes are the test's."""
    made = TolerantConnection(pika.ConnectionParameters(), internal_connection_workflow=False)
    made.largest = LARGEST
    yield made
    made.ioloop.close()


def header(channel: int, size: int) -> bytes:
    """The frame that announces a body."""
    return bytes(pika.frame.Header(channel, size, pika.BasicProperties(delivery_mode=2)).marshal())


def body(channel: int, fragment: bytes) -> bytes:
    """A frame with a part of one."""
    return bytes(pika.frame.Body(channel, fragment).marshal())


def assembled(connection: TolerantConnection, *frames: bytes) -> list[tuple[bytes, Cut | None]]:
    """The bodies that come of frames as pika puts them together, and what was cut of each."""
    bodies = []
    by_channel: dict[int, tuple[pika.frame.Header, bytes]] = {}
    connection._frame_buffer = b"".join(frames)
    while connection._frame_buffer:
        size, frame = connection._read_frame()
        connection._frame_buffer = connection._frame_buffer[size:]
        if isinstance(frame, pika.frame.Header):
            by_channel[frame.channel_number] = (frame, b"")
            continue
        announced, before = by_channel[frame.channel_number]
        by_channel[frame.channel_number] = (announced, before + frame.fragment)
        if len(before + frame.fragment) == announced.body_size:
            bodies.append((before + frame.fragment, cut_of(announced.properties)))
    return bodies


def cut(whole: bytes) -> tuple[bytes, Cut]:
    """A body that was let go of."""
    return b"\0", Cut(len(whole), hashlib.sha256(whole).hexdigest())


@pytest.mark.parametrize("pieces", [[LARGEST + 1], [LARGEST, 1], [1] * (LARGEST + 1), [60, 60, 60]])
def test_a_body_is_cut(connection: TolerantConnection, pieces: list[int]) -> None:
    """However it is divided, of a body that is too large one byte is left, and what it was is known."""
    parts = [bytes([65 + number % 26]) * size for number, size in enumerate(pieces)]
    frames = [header(1, sum(pieces)), *(body(1, part) for part in parts)]
    whole = [header(1, LARGEST), body(1, b"z" * LARGEST)]
    assert assembled(connection, *frames, *whole, *frames) == [
        cut(b"".join(parts)),
        (b"z" * LARGEST, None),
        cut(b"".join(parts)),
    ]


def test_channels_have_nothing_to_do_with_each_other(connection: TolerantConnection) -> None:
    """Bodies of two channels may come by turns; each is cut or kept by its own size."""
    large, small = b"x" * 150, b"y" * 50
    frames = [header(1, 150), header(2, 50), body(1, large[:75]), body(2, small[:25]), body(1, large[75:])]
    assert assembled(connection, *frames, body(2, small[25:])) == [cut(large), (small, None)]


def test_a_channel_that_was_closed_amid_a_body(connection: TolerantConnection) -> None:
    """What it left unfinished cuts nothing of the next channel that has its number."""
    frames = [header(1, 150), body(1, b"x" * 75), header(1, 50), body(1, b"y" * 50)]
    assert assembled(connection, *frames) == [(b"y" * 50, None)]
