"""A connection that outlives what it can't read.

A producer in another language may put a value into a message's headers that pika can't decode: a time beyond Python's,
a type it doesn't know. pika raises it out of its pump, and the message, unacknowledged, comes again after each
reconnect: one such message would keep every shop from being served.
"""

import struct
from typing import Any

import pika
import pika.exceptions
import pika.frame
import pika.spec

UNREAD_PROPERTIES = "x-referral-properties"
"""Header that stands for properties that could not be decoded, and holds them as they came."""

LONGEST_KEPT = 65_536
"""Longer ones are dropped: with the headers of a dead letter around them they might not fit into a frame again."""

_UNDECODABLE = (ValueError, OverflowError, OSError, IndexError, RecursionError, struct.error, pika.exceptions.AMQPError)

_BEFORE_PROPERTIES = 12
"""Bytes of a content header's class, weight and body size."""


class TolerantConnection(pika.SelectConnection):  # type: ignore[misc]
    """pika's connection, which hands a message on whose properties it can't decode; its body is whole all the same.

    Those that it can decode keep their bytes as ``raw``, for :mod:`worker.broker.properties`.
    """

    def _read_frame(self) -> Any:
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
