"""The properties of a copy, where the original's were written by no client that is whole."""

import pika
import pytest

from tests.fuzz.headers import content_header
from worker.rabbitmq.frame_reader import UNREAD_PROPERTIES
from worker.rabbitmq.properties import DROPPED, copy_properties, is_unambiguous
from worker.text.bounds import MESSAGE


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x00\x02\xff\xfe"[:4],
        b"\x80\x00\xff\xfc\x02",
        b"\x80\x00",
        b"\x20\x00\x00\x00\x00\x20\x01a",
    ],
    ids=["a text cut short", "a text longer than all", "no text at all", "a table longer than all"],
)
def test_what_ends_in_the_midst_of_a_property_becomes_one_header(raw: bytes) -> None:
    """pika reads it as if it were whole; a copy of it, RabbitMQ could not read, and would close the connection."""
    came = content_header(raw).properties
    assert isinstance(came, pika.BasicProperties)
    copy = copy_properties(came, returned=False, add={"x-referral-reason": "bad_schema"})
    read = content_header(b"".join(copy.encode())).properties
    assert read.headers == {"x-referral-reason": "bad_schema", UNREAD_PROPERTIES: raw}
    assert (read.content_type, read.delivery_mode) == (None, 2)


def test_what_a_copy_states_replaces_what_came() -> None:
    """A header of that name is there once."""
    raw = b"".join(pika.BasicProperties(headers={"traceparent": "nonsense", "other": 1}).encode())
    came = content_header(raw).properties
    copy = copy_properties(came, returned=False, add={"traceparent": "00-1-2-01"})
    assert b"".join(copy.encode()).count(b"traceparent") == 1
    assert content_header(b"".join(copy.encode())).properties.headers == {"traceparent": "00-1-2-01", "other": 1}


def test_headers_that_are_cut_short_have_no_one_meaning() -> None:
    """Nothing of them is believed."""
    assert not is_unambiguous(content_header(b"\x80\x00\xff\xfc\x02").properties)


@pytest.mark.parametrize("spare", [1, 2, 64])
def test_a_copy_s_own_headers_can_be_read(spare: int) -> None:
    """Where there are so many values that RabbitMQ's notes would make them too many, ours stay and the others go."""
    raw = b"".join(pika.BasicProperties(headers={"h": [None] * (MESSAGE.parts - spare)}).encode())
    came = content_header(raw).properties
    assert came.headers.keys() == {"h"}
    copy = copy_properties(came, returned=False, add={"x-referral-place": 7})
    read = content_header(b"".join(copy.encode())).properties
    assert read.headers == {"x-referral-place": 7, DROPPED: MESSAGE.parts - spare + 7}
