"""A connection that outlives what it can't read or hold.

A producer in another language may put a value into a message's headers that pika can't decode: a time beyond Python's,
a type it doesn't know. pika raises it out of its pump, and the message, unacknowledged, comes again after each
reconnect: one such message would keep every shop from being served. Properties that would take too long to decode
(`worker.rabbitmq.property_bounds`) are handled like those that can't be.

And a message may have as many megabytes as RabbitMQ takes (128 MiB on 3.10, 16 on 4), of which a consumer may have one
for each place of its prefetch. pika puts a body together before anybody sees it. So of one that is larger than it may
be only length and digest are kept, frame by frame; whoever gets the message then asks :func:`cut_of`.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Any

import pika
import pika.exceptions
import pika.frame
import pika.spec

from worker.rabbitmq.property_bounds import LIGHT, are_heavy
from worker.text.bounds import MESSAGE, ORDINARY, marks, weight

UNREAD_PROPERTIES = "x-referral-properties"
"""Header that stands for properties that were not decoded, and holds them as they came."""

LONGEST_KEPT = 65_536
"""Longer ones are dropped: with the headers of a dead letter around them they might not fit into a frame again."""

_UNDECODABLE = (ValueError, OverflowError, OSError, IndexError, RecursionError, struct.error, pika.exceptions.AMQPError)

_NO_PROPERTIES = bytes(2)

_BEFORE_PROPERTIES = 12
"""Bytes of a content header's class, weight and body size."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is known of a body that was not kept: its bytes, and its SHA-256 in hex.

    One that is ``crowded`` is no larger than it may be, but others have left no room for it; its body may be there.
    """

    size: int
    digest: str
    crowded: bool = False

    @property
    def detail(self) -> str:
        """A line for whoever finds the message among the dead letters."""
        return f"the body has {self.size:,} bytes, and {MESSAGE.size:,} is the most of a job's"


class _Cutting:
    # Lets go of a body while it comes in. pika is to see a body of one byte, which comes with the last frame.

    def __init__(self, size: int, properties: pika.BasicProperties, *, crowded: bool) -> None:
        self._size = self._left = size
        self._crowded = crowded
        self._digest = hashlib.sha256()
        self._properties = properties

    def take(self, fragment: bytes) -> bytes:
        self._left -= len(fragment)
        self._digest.update(fragment)
        if self._left > 0:
            return b""
        self._properties.cut = Cut(self._size, self._digest.hexdigest(), self._crowded)
        return b"\0"


class _Weighing:
    # Of a body that is kept: how many marks are still to come in how many frames is not known before.

    __slots__ = ("marks", "properties", "size")

    def __init__(self, size: int, properties: pika.BasicProperties) -> None:
        self.size = size
        self.properties = properties
        self.marks = 0


def cut_of(properties: pika.BasicProperties) -> Cut | None:
    """What a delivery's body was that is not to be read, in place of which it may have one byte; None for others."""
    return getattr(properties, "cut", None)


class TolerantConnection(pika.SelectConnection):  # type: ignore[misc] # pika has no types
    """pika's connection, which hands a message on whose properties it can't or won't decode; its body is whole all the
    same.

    Those that it can decode keep their bytes as ``raw``, for :mod:`worker.rabbitmq.properties`. Bodies of more than
    ``largest`` bytes are not kept. With ``room`` (bytes), messages that weigh more than it leaves, as jobs and beyond
    what is ordinary, are crowded; it is counted down for the others, whose ``properties.taken`` says by how much; and
    headers are kept as bytes alone, but for those named in ``wanted``.
    """

    largest = MESSAGE.size
    room: int | None = None
    wanted: frozenset[str] = frozenset()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._cutting: dict[int, _Cutting] = {}
        self._weighing: dict[int, _Weighing] = {}
        super().__init__(*arguments, **options)

    def _read_frame(self) -> Any:
        size, frame = self._decoded_frame()
        if isinstance(frame, pika.frame.Header):
            # What a channel that was closed has left unfinished is not this one's.
            self._cutting.pop(frame.channel_number, None)
            self._weighing.pop(frame.channel_number, None)
            self._receive(frame)
        elif isinstance(frame, pika.frame.Body):
            if frame.channel_number in self._cutting:
                frame.fragment = self._cutting[frame.channel_number].take(frame.fragment)
            elif frame.channel_number in self._weighing:
                self._weigh(self._weighing[frame.channel_number], frame.fragment)
        return size, frame

    def _receive(self, header: pika.frame.Header) -> None:
        properties = header.properties
        crowded = False
        if self.room is not None:
            raw: bytes | None = getattr(properties, "raw", None)
            size = header.body_size + (LONGEST_KEPT if raw is None else len(raw))
            if raw is not None and properties.headers:
                properties.headers = {
                    name: properties.headers[name] for name in self.wanted & properties.headers.keys()
                }
            weighs = max(0, weight(size) - ORDINARY)
            # Ordinary ones never are: what was half received when the room was told anew may have overdrawn it.
            crowded = weighs > max(0, self.room)
            if crowded:
                properties.raw = _NO_PROPERTIES
            elif header.body_size <= self.largest:
                self.room -= weighs
                properties.taken = weighs
                self._weighing[header.channel_number] = _Weighing(size, properties)
        if header.body_size > self.largest:
            self._cutting[header.channel_number] = _Cutting(header.body_size, properties, crowded=False)
            header.body_size = 1
        elif crowded and header.body_size:
            self._cutting[header.channel_number] = _Cutting(header.body_size, properties, crowded=True)
            header.body_size = 1
        elif crowded:
            properties.cut = Cut(0, "", crowded=True)

    def _weigh(self, message: _Weighing, fragment: bytes) -> None:
        # What it takes as a job is known only with its body; what its bytes take is counted until it is let go of.
        message.marks += marks(fragment)
        properties = message.properties
        more = weight(message.size, message.marks) - ORDINARY - properties.taken
        if more <= 0 or self.room is None:
            return
        if more > self.room:
            properties.cut = Cut(message.size, "", crowded=True)
        else:
            self.room -= more
            properties.taken += more

    def _decoded_frame(self) -> Any:
        if len(self._frame_buffer) > LIGHT and self._frame_buffer[0] == pika.spec.FRAME_HEADER:
            raw = _properties_in(self._frame_buffer)
            undecoded = _header_without_properties(self._frame_buffer) if are_heavy(raw) else None
            if undecoded is not None:
                return undecoded
        try:
            read = super()._read_frame()
        except _UNDECODABLE:
            frame = _header_without_properties(self._frame_buffer)
            if frame is None:
                raise
            return frame
        if isinstance(read[1], pika.frame.Header):
            first, last = pika.spec.FRAME_HEADER_SIZE + _BEFORE_PROPERTIES, read[0] - pika.spec.FRAME_END_SIZE
            read[1].properties.raw = bytes(self._frame_buffer[first:last])
        return read


def _properties_in(data: bytes) -> bytes:
    # Of a frame that is still coming in, none.
    end: int = pika.spec.FRAME_HEADER_SIZE + struct.unpack_from(">L", data, 3)[0]
    return bytes(data[pika.spec.FRAME_HEADER_SIZE + _BEFORE_PROPERTIES : end]) if end < len(data) else b""


def _header_without_properties(data: bytes) -> tuple[int, Any] | None:
    kind, channel, size = struct.unpack_from(">BHL", data)
    end = pika.spec.FRAME_HEADER_SIZE + size
    if kind != pika.spec.FRAME_HEADER or data[end : end + pika.spec.FRAME_END_SIZE] != bytes([pika.spec.FRAME_END]):
        return None
    payload = bytes(data[pika.spec.FRAME_HEADER_SIZE : end])
    _, _, body_size = struct.unpack_from(">HHQ", payload)
    raw = payload[_BEFORE_PROPERTIES:]
    headers = {UNREAD_PROPERTIES: raw if len(raw) <= LONGEST_KEPT else b""}
    properties = pika.BasicProperties(headers=headers)
    return end + pika.spec.FRAME_END_SIZE, pika.frame.Header(channel, body_size, properties)
