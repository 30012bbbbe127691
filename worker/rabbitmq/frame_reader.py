"""Frames from RabbitMQ, read so that no message can end the connection or fill the memory.

A producer in another language may put a value into a message's headers that pika can't decode: a time beyond Python's,
or a type that pika doesn't know. pika raises that out of its pump. The message is not acknowledged, so it comes again
after each reconnect: one such message would keep every shop from being served. Here it is handed on without its
properties. Properties that would take too long to decode (:mod:`worker.rabbitmq.property_bounds`) are handled alike.

A message may also have as many megabytes as RabbitMQ takes (128 MiB on 3.10, 16 on 4), and a consumer may hold as many
messages as its prefetch allows. pika puts a body together before it hands it on. So a body that is larger than it may
be is discarded frame by frame, and only its size and digest are kept: see :func:`discarded_body`.

pika feeds its bytes here from the thread that pumps the connection; nothing here blocks.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Any

import pika
import pika.exceptions
import pika.frame

from worker.rabbitmq import frames
from worker.rabbitmq.property_bounds import LIGHT, are_heavy
from worker.text.bounds import MESSAGE, ORDINARY, structural_characters, weight

UNREAD_PROPERTIES = "x-referral-properties"
"""Header that stands for properties that were not decoded, and holds their bytes as they came."""

LONGEST_KEPT = 65_536
"""Bytes of such properties that are kept. Longer ones are dropped: with a dead letter's own headers around them they
might not fit into one frame (128 KiB) again."""

_UNDECODABLE = (ValueError, OverflowError, OSError, IndexError, RecursionError, struct.error, pika.exceptions.AMQPError)

# Flags without a single property.
_NO_PROPERTIES = bytes(2)

_BEFORE_PROPERTIES = struct.Struct(">HHQ")
"""A content header's class, weight and body size."""

_PROPERTIES = slice(frames.HEAD.size + _BEFORE_PROPERTIES.size, -len(frames.END))
"""Where they are in a header's frame."""

# What pika gets as the body of a message whose own is discarded. Announced as empty, the message would be complete for
# pika at its header, and the frames of the body that still come would be an error.
_PLACEHOLDER = b"\0"


@dataclass(frozen=True, slots=True)
class DiscardedBody:
    """What is known of a body that was not kept: its bytes, and its SHA-256 in hex.

    ``no_room`` marks a body that is within its own bound and was discarded, or is to be, because other messages fill
    the memory. RabbitMQ still has such a message, so it is requeued and comes again.
    """

    size: int
    digest: str
    no_room: bool = False

    @property
    def detail(self) -> str:
        """A line for the person who finds the message among the dead letters."""
        return f"the body has {self.size:,} bytes, and {MESSAGE.size:,} is the most of a job's"


def discarded_body(properties: pika.BasicProperties) -> DiscardedBody | None:
    """What a delivery's body was if it must not be read; None for a body that is whole.

    In its place the delivery may have a placeholder of one byte.
    """
    return getattr(properties, "discarded", None)


class _Discarding:
    """A body that is let go of while it comes in; pika gets a placeholder with the last frame."""

    def __init__(self, size: int, properties: pika.BasicProperties, *, no_room: bool) -> None:
        self._size = self._left = size
        self._no_room = no_room
        self._digest = hashlib.sha256()
        self._properties = properties

    def take(self, fragment: bytes) -> bytes:
        """What pika gets in place of this part of the body."""
        self._left -= len(fragment)
        self._digest.update(fragment)
        if self._left > 0:
            return b""
        self._properties.discarded = DiscardedBody(self._size, self._digest.hexdigest(), self._no_room)
        return _PLACEHOLDER


class _Weighing:
    """A body that is kept, and how much JSON structure its frames have shown so far."""

    __slots__ = ("properties", "size", "structure")

    def __init__(self, size: int, properties: pika.BasicProperties) -> None:
        self.size = size
        self.properties = properties
        self.structure = 0


class FrameReader:
    """Decodes one connection's frames in place of pika's own function.

    Properties that can be decoded keep their bytes as ``properties.raw``, for :mod:`worker.rabbitmq.properties`. Bodies
    of more than ``largest`` bytes are discarded.

    With ``room`` (bytes) the reader also bounds the memory that all messages in hand take as jobs, beyond what is
    ordinary for each (:func:`worker.text.bounds.weight`). It takes from ``room`` what a message weighs and notes it as
    ``properties.taken``, for the consumer to return once the job is done. A message that weighs more than is left is
    marked ``no_room``. And of its headers only those named in ``wanted`` are kept as values, the others as bytes alone.
    """

    def __init__(self, largest: int = MESSAGE.size) -> None:
        self.largest = largest
        self.room: int | None = None
        self.wanted: frozenset[str] = frozenset()
        # By channel: AMQP interleaves frames of different channels, never those of one.
        self._discarding: dict[int, _Discarding] = {}
        self._weighing: dict[int, _Weighing] = {}

    def read(self, data: bytes) -> Any:
        """What is in a whole frame.

        Raises:
          pika.exceptions.AMQPError, struct.error: the bytes are no AMQP.
        """
        frame = _decoded(data)
        if isinstance(frame, pika.frame.Header):
            # The number may have belonged to a channel that was closed amid a body.
            self._discarding.pop(frame.channel_number, None)
            self._weighing.pop(frame.channel_number, None)
            self._receive(frame)
        elif isinstance(frame, pika.frame.Body):
            if frame.channel_number in self._discarding:
                frame.fragment = self._discarding[frame.channel_number].take(frame.fragment)
            elif frame.channel_number in self._weighing:
                self._weigh(self._weighing[frame.channel_number], frame.fragment)
        return frame

    def _receive(self, header: pika.frame.Header) -> None:
        # A content header: the message's properties, and how large its body will be.
        properties = header.properties
        no_room = False
        if self.room is not None:
            raw: bytes | None = getattr(properties, "raw", None)
            size = header.body_size + (LONGEST_KEPT if raw is None else len(raw))
            if raw is not None and properties.headers:
                properties.headers = {
                    name: properties.headers[name] for name in self.wanted & properties.headers.keys()
                }
            weighs = max(0, weight(size) - ORDINARY)
            # An ordinary message always fits. The room may be below 0: it was set anew while messages were half
            # received, and these have overdrawn it.
            no_room = weighs > max(0, self.room)
            if no_room:
                properties.raw = _NO_PROPERTIES
            elif header.body_size <= self.largest:
                self.room -= weighs
                properties.taken = weighs
                self._weighing[header.channel_number] = _Weighing(size, properties)
        if header.body_size > self.largest:
            # Too large whatever room there is: no_room would have it come again for ever.
            self._discarding[header.channel_number] = _Discarding(header.body_size, properties, no_room=False)
            header.body_size = len(_PLACEHOLDER)
        elif no_room and header.body_size:
            self._discarding[header.channel_number] = _Discarding(header.body_size, properties, no_room=True)
            header.body_size = len(_PLACEHOLDER)
        elif no_room:
            properties.discarded = DiscardedBody(0, "", no_room=True)

    def _weigh(self, message: _Weighing, fragment: bytes) -> None:
        # How much a message takes as a job is known only with its body: small JSON can make many objects.
        message.structure += structural_characters(fragment)
        properties = message.properties
        more = weight(message.size, message.structure) - ORDINARY - properties.taken
        if more <= 0 or self.room is None:
            return
        if more > self.room:
            # Its bytes are there already, and stay counted until it is requeued.
            properties.discarded = DiscardedBody(message.size, "", no_room=True)
        else:
            self.room -= more
            properties.taken += more


def _decoded(data: bytes) -> Any:
    is_header = data[0] == frames.HEADER
    raw = data[_PROPERTIES] if is_header else b""
    # Looked at before decoding: a frame full of one-byte values takes pika 150 ms.
    if len(raw) > LIGHT and are_heavy(raw):
        return _header_without_properties(data, raw)
    try:
        _, frame = pika.frame.decode_frame(data)
    except _UNDECODABLE:
        if not is_header:
            raise
        return _header_without_properties(data, raw)
    if is_header:
        frame.properties.raw = raw
    return frame


def _header_without_properties(data: bytes, raw: bytes) -> pika.frame.Header:
    # The frame's lengths can be trusted, whatever its properties hold: RabbitMQ has made them.
    channel: int = frames.HEAD.unpack_from(data)[1]
    _, _, body_size = _BEFORE_PROPERTIES.unpack_from(data, frames.HEAD.size)
    headers = {UNREAD_PROPERTIES: raw if len(raw) <= LONGEST_KEPT else b""}
    return pika.frame.Header(channel, body_size, pika.BasicProperties(headers=headers))
