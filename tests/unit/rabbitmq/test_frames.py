"""The frames that we pack and read ourselves, beside pika's own."""

import pika
import pika.frame
import pika.spec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rabbitmq import frames

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
channels = st.integers(1, 65_535)
tags = st.integers(0, 2**64 - 1)
bits = st.booleans()


def framed(channel: int, method: pika.spec.amqp_object.Method) -> bytes:
    """A method's frame, by pika."""
    return bytes(pika.frame.Method(channel, method).marshal())


@given(
    message_id=st.none() | names,
    timestamp=st.none() | st.integers(0, 2**63 - 1),
    headers=st.dictionaries(names.filter(lambda name: len(name.encode()) <= 128), st.text(), max_size=3),
)
def test_properties(message_id: str | None, timestamp: int | None, headers: dict[str, str]) -> None:
    """Those of every message that is made here."""
    properties = pika.BasicProperties(
        content_type="application/json",
        delivery_mode=pika.DeliveryMode.Persistent.value,
        message_id=message_id,
        timestamp=timestamp,
        headers=headers or None,
    )
    assert frames.persistent_json(message_id, timestamp, headers) == b"".join(properties.encode())


@given(channel=channels, exchange=names, key=names, body=st.binary(max_size=200), largest=st.integers(60, 90))
def test_publishing(channel: int, exchange: str, key: str, body: bytes, largest: int) -> None:
    """A method, a header and the parts of the body; none for an empty one."""
    properties = pika.BasicProperties(message_id="id", headers={"x": 1})
    expected = framed(channel, pika.spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True))
    expected += pika.frame.Header(channel, len(body), properties).marshal()
    for start in range(0, len(body), largest):
        expected += pika.frame.Body(channel, body[start : start + largest]).marshal()
    packed = b"".join(properties.encode())
    assert frames.publish(channel, exchange, key, packed, body, largest=largest) == expected


@pytest.mark.parametrize(("exchange", "key"), [("é" * 128, "key"), ("exchange", "k" * 256), ("\ud800", "key")])
def test_names_that_amqp_has_no_room_for(exchange: str, key: str) -> None:
    """Refused before anything is sent: RabbitMQ would end the connection."""
    with pytest.raises(ValueError, match=r"255 bytes|surrogates"):
        frames.publish(1, exchange, key, b"", b"", largest=100)
    with pytest.raises(ValueError, match="255 bytes"):
        frames.persistent_json("x" * 256, None)


def test_properties_that_no_frame_has_room_for() -> None:
    """Refused likewise: a header is not divided."""
    assert frames.publish(1, "exchange", "key", b"p" * 88, b"", largest=100)
    with pytest.raises(ValueError, match="89 bytes, and a frame has 100"):
        frames.publish(1, "exchange", "key", b"p" * 89, b"", largest=100)


@given(channel=channels, tag=tags)
def test_acknowledging(channel: int, tag: int) -> None:
    """One delivery and not all before it."""
    assert frames.ack(channel, tag) == framed(channel, pika.spec.Basic.Ack(tag))


@given(channel=channels, tag=tags, multiple=bits, requeue=bits)
def test_confirms(channel: int, tag: int, multiple: bool, requeue: bool) -> None:
    """What is confirmed, and what is refused."""
    taken = framed(channel, pika.spec.Basic.Ack(tag, multiple=multiple))
    refused = framed(channel, pika.spec.Basic.Nack(tag, multiple=multiple, requeue=requeue))
    assert frames.read_confirm(taken) == (tag, multiple, True)
    assert frames.read_confirm(refused) == (tag, multiple, False)
    assert frames.read_confirm(framed(channel, pika.spec.Basic.Reject(tag, requeue=requeue))) is None


@given(channel=channels, tag=tags, redelivered=bits, consumer=names, exchange=names, key=names)
def test_deliveries(channel: int, tag: int, redelivered: bool, consumer: str, exchange: str, key: str) -> None:
    """As pika reads them."""
    frame = framed(channel, pika.spec.Basic.Deliver(consumer, tag, redelivered, exchange, key))
    read = frames.read_deliver(frame)
    assert read is not None
    assert vars(read) == vars(pika.frame.decode_frame(frame)[1].method)
    assert frames.read_deliver(framed(channel, pika.spec.Basic.Ack(tag))) is None


def test_a_routing_key_that_is_no_text() -> None:
    """A producer may give any bytes; they stay bytes, as with pika."""
    frame = framed(1, pika.spec.Basic.Deliver("c", 1, redelivered=False, exchange="e", routing_key=b"\xff"))
    read = frames.read_deliver(frame)
    assert read is not None
    assert vars(read) == vars(pika.frame.decode_frame(frame)[1].method)
    assert read.routing_key == b"\xff"


HEARTBEAT = bytes(pika.frame.Heartbeat().marshal())
BODY = bytes(pika.frame.Body(1, b"123").marshal())


@pytest.mark.parametrize(
    ("data", "ends"),
    [
        (b"", []),
        (BODY[:7], []),
        (BODY[:-1], []),
        (BODY, [11]),
        (BODY + HEARTBEAT + BODY[:9], [11, 19]),
        (b"AMQP\0\0\x09\x01", [8]),
    ],
)
def test_cutting(data: bytes, ends: list[int]) -> None:
    """Whole frames, one after the other, and what is left."""
    found, start = [], 0
    while (end := frames.end_of_frame(data, start, 100)) is not None:
        found.append(end)
        start = end
    assert found == ends


@pytest.mark.parametrize(("data", "told"), [(BODY[:-1] + b"x", "doesn't end"), (BODY[:8], "11 bytes, and 10 are")])
def test_what_is_no_frame(data: bytes, told: str) -> None:
    """Another end, or more bytes than both sides have agreed on: refused before they come."""
    with pytest.raises(pika.exceptions.InvalidFrameError, match=told):
        frames.end_of_frame(data, 0, 100 if data.endswith(b"x") else 10)


def test_a_header_may_be_larger() -> None:
    """RabbitMQ notes deliveries and deaths among a message's headers, whatever size both sides have agreed on."""
    header = bytes(pika.frame.Header(1, 3, pika.BasicProperties(headers={"mine": "x" * 200})).marshal())
    assert frames.end_of_frame(header + BODY, 0, 100) == len(header)
    largest = frames.HEAD.pack(frames.HEADER, 1, frames.LARGEST_HEADER - frames.OVERHEAD)
    assert frames.end_of_frame(largest + b"x", 0, 100) is None
    larger = frames.HEAD.pack(frames.HEADER, 1, frames.LARGEST_HEADER - frames.OVERHEAD + 1)
    with pytest.raises(pika.exceptions.InvalidFrameError, match="100 are"):
        frames.end_of_frame(larger + b"x", 0, 100)
