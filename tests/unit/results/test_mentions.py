"""Whether a message or a result mentions a person, wherever and however her address stands in it."""

import json

import pytest

from tests.unit.making import make_result
from worker.model.job import Customer
from worker.results.mentions import Mentions

ANN = Mentions("ann@example.com")


@pytest.mark.parametrize(
    "fields",
    [
        {"customer": {"email": "ANN@Example.com"}},
        {"destination": " ann@example.com "},
        {"sender": "Ann <Ann@example.com>"},
        {"reference": "row 7, ann@example.com."},
        {"message": "Write to 'ann@example.com'!"},
        {"share_action": {"urls": [{"href": "mailto:ann@example.com?subject=x"}, 7, None]}},
        {"share_action": "https://wa.me/?text=Hi+ann%40Example.com!&x=1"},
        {"share_action": "https://x.example/?to=ann@example.com&x=1"},
        {"ann@example.com": True},
        {"customer": {"email": "ａｎｎ@example.com"}},
    ],
)
def test_finds_the_address_in_any_field(fields: dict[str, object]) -> None:
    """The vendor's and the producer's own ones too, and whatever the JSON escapes."""
    for body in (json.dumps(fields), json.dumps(fields, ensure_ascii=False)):
        assert ANN.body(body.encode())
    assert ANN.document(fields)


def test_finds_what_needs_no_escape_and_has_one() -> None:
    """Some producers escape every @."""
    assert ANN.body(rb'{"destination":"\u0061nn\u0040example.com"}')


@pytest.mark.parametrize(
    "text", ["joann@example.com", "ann@example.company", "ann@example", "ann", "x-ann@example.com", "ann@@example.com"]
)
def test_leaves_others_alone(text: str) -> None:
    """A longer address is somebody else's."""
    result = make_result(7, customer=Customer(email="ben@example.org"), reference=text)
    assert not ANN.document(result)
    assert not ANN.body(json.dumps(result).encode())


def test_finds_it_in_what_is_no_json() -> None:
    """A dead letter may be anything, and nobody is going to call it."""
    assert ANN.body(b'\xff{"email": "Ann@example.com", ')
    assert ANN.body(b"[" * 100_000 + b"ann@example.com")
    assert not ANN.body(b"\xff{}")


@pytest.mark.parametrize("address", ["mike@kk.example", "zoë@example.com", "o'neil@example.com", "ann+x@example.com"])
def test_finds_addresses_of_every_kind(address: str) -> None:
    """With letters that a search for bytes can't rely on."""
    who = Mentions(address)
    for ascii_only in (True, False):
        assert who.body(json.dumps({"sender": address.upper()}, ensure_ascii=ascii_only).encode())
    assert not who.body(b'{"sender": "somebody@else.example"}')
