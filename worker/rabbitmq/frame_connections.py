"""pika's connections, with the frames that each job needs packed, joined, cut and taken here.

pika sees to everything else: the handshake, heartbeats, channels, consumers, errors, TLS. It calls these methods on the
thread that runs its loop; none blocks.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pika
import pika.exceptions
import pika.frame
import pika.spec

from worker.rabbitmq import frames
from worker.rabbitmq.frame_reader import FrameReader

MOST_JOINED = 65_536
"""Bytes that are joined for one send: some 50 results."""

MOST_READ = 65_536
"""Bytes that one read takes. pika takes 4,096, so three or four messages."""


class SmallFramesError(pika.exceptions.AMQPConnectionError):  # type: ignore[misc]  # pika has no types
    """The node takes frames of at most ``largest`` bytes, which is less than its default."""

    def __init__(self, largest: int) -> None:
        super().__init__(largest)
        self.largest = largest


class UnansweredError(pika.exceptions.AMQPConnectionError):  # type: ignore[misc]  # pika has no types
    """The node keeps the connection alive, and has left a question unanswered for so many ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class FrameConnection(pika.SelectConnection):  # type: ignore[misc]  # pika has no types
    """A connection that sends what waits together, and takes confirms by itself once :attr:`on_confirm` is set.

    pika sends each frame by itself, three to a message: as many system calls and, without Nagle's algorithm, as many
    packets.
    """

    _frame_buffer: bytes

    on_confirm: Callable[[frames.Confirm], None] | None = None
    """Called with each confirm and refusal, in place of pika's callbacks."""

    def publish(self, channel: int, exchange: str, routing_key: str, properties: bytes, body: bytes) -> None:
        """Publish a mandatory message on an open channel; it is sent at the loop's next turn.

        Raises:
          ValueError: as :func:`worker.rabbitmq.frames.publish`.
        """
        largest: int = self._body_max_length
        self._adapter_emit_data(frames.publish(channel, exchange, routing_key, properties, body, largest=largest))

    def ack(self, channel: int, tag: int) -> None:
        """Acknowledge a delivery on an open channel; sent as in :meth:`publish`."""
        self._adapter_emit_data(frames.ack(channel, tag))

    def abort(self) -> None:
        """End a connection that is being closed without waiting for RabbitMQ. On its own thread."""
        if self.is_closing:
            self._adapter_disconnect_stream()

    def break_off(self, seconds: float) -> None:
        """End the connection, over which a question was unanswered for so long. On its own thread."""
        self._terminate_stream(UnansweredError(seconds))

    def _on_connection_tune(self, method_frame: Any) -> None:
        # Copies of jobs fill frames of the usual size: smaller ones have no room for dead letters. 0 is any size.
        largest = method_frame.method.frame_max
        if 0 < largest < self.params.frame_max:
            self._terminate_stream(SmallFramesError(largest))
        else:
            super()._on_connection_tune(method_frame)

    def _proto_connection_made(self, transport: Any) -> None:
        transport._MAX_RECV_BYTES = MOST_READ
        super()._proto_connection_made(transport)

    def _adapter_emit_data(self, data: bytes) -> None:
        # pika's one place that hands bytes to its transport, which sends them once its loop comes round.
        transport = self._transport
        waiting = transport._tx_buffers
        if waiting and len(waiting[-1]) + len(data) <= MOST_JOINED:
            # Safe over TLS too: OpenSSL takes a write up again from a longer buffer that begins alike.
            waiting[-1] += data
            transport._tx_buffered_byte_count += len(data)
        else:
            # Grown in place by what is joined to it.
            super()._adapter_emit_data(bytearray(data))

    def _on_data_available(self, data_in: bytes) -> None:
        # pika's one place that cuts what comes into frames. It moves all bytes that are left forward for each frame.
        data: bytes = self._frame_buffer + data_in
        start = 0
        try:
            while (end := frames.end_of_frame(data, start, self.params.frame_max)) is not None:
                frame, start = data[start:end], end
                self.bytes_received += len(frame)
                if not self._take(frame):
                    self._process_frame(self._decode(frame))
        finally:
            self._frame_buffer = data[start:]

    def _take(self, frame: bytes) -> bool:
        """Whether the frame was taken here and is none of pika's."""
        if self.on_confirm is None or frame[0] != frames.METHOD:
            return False
        confirm = frames.read_confirm(frame)
        if confirm is None:
            return False
        self.on_confirm(confirm)
        return True

    def _decode(self, frame: bytes) -> Any:
        return pika.frame.decode_frame(frame)[1]


Delivered: TypeAlias = deque[tuple[pika.spec.Basic.Deliver, pika.BasicProperties, bytes]]
"""Deliveries: RabbitMQ's method frame, properties and body."""


@dataclass(slots=True)
class _Arriving:
    # A delivery whose body is still to come, or a part of it.
    method: pika.spec.Basic.Deliver
    header: pika.frame.Header | None = None
    body: bytes = b""


class TolerantConnection(FrameConnection):
    """A connection whose frames :class:`FrameReader` decodes, and that keeps deliveries for their consumer.

    Those to one of ``consumers``, by its tag, gather in ``delivered``.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Before pika's own, which may read at once.
        self.frames = FrameReader()
        self.consumers: set[str] = set()
        self.delivered: Delivered = deque()
        # By channel: AMQP interleaves frames of different channels, never those of one.
        self._arriving: dict[int, _Arriving] = {}
        super().__init__(*arguments, **options)

    def _take(self, frame: bytes) -> bool:
        kind, channel, _ = frames.HEAD.unpack_from(frame)
        if kind == frames.METHOD:
            # The number may belong to a channel that was closed amid a body.
            self._arriving.pop(channel, None)
            method = frames.read_deliver(frame) if self.consumers else None
            if method is None or method.consumer_tag not in self.consumers:
                return super()._take(frame)
            self._arriving[channel] = _Arriving(method)
            return True
        arriving = self._arriving.get(channel)
        if arriving is None:
            return False
        part = self.frames.read(frame)
        if kind == frames.HEADER:
            arriving.header = part
        elif arriving.header is None:
            raise pika.exceptions.UnexpectedFrameError(part)
        else:
            arriving.body = arriving.body + part.fragment if arriving.body else part.fragment
        header = arriving.header
        if header is not None and len(arriving.body) >= header.body_size:
            del self._arriving[channel]
            self.delivered.append((arriving.method, header.properties, arriving.body))
        return True

    def _decode(self, frame: bytes) -> Any:
        return self.frames.read(frame)
