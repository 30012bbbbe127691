"""The properties of a copy, where the original's were written by no client that is whole."""

import pika
import pytest

from tests.fuzz.headers import content_header
from worker.broker.frames import UNREAD_PROPERTIES
from worker.broker.properties import has_one_meaning, kept


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
    copy = kept(came, returned=False, add={"x-referral-reason": "bad_schema"})
    read = content_header(b"".join(copy.encode())).properties
    assert read.headers == {"x-referral-reason": "bad_schema", UNREAD_PROPERTIES: raw}
    assert (read.content_type, read.delivery_mode) == (None, 2)


def test_headers_that_are_cut_short_have_no_one_meaning() -> None:
    """Nothing of them is believed."""
    assert not has_one_meaning(content_header(b"\x80\x00\xff\xfc\x02").properties)
