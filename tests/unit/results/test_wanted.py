"""What is looked for, and the results that it matches."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.making import PATIENT, make_result
from worker.errors import UsageError
from worker.model.job import Customer
from worker.results.rows import json_line, row
from worker.results.wanted import Wanted, keys_of

RESULT = make_result(
    7,
    customer=Customer(email="Ann@Example.com", shopid="0012", bhid="C-9"),
    destination="Bob@example.org",
    channel="email",
    reference="row 7",
    referral={"link": "https://Go.example.com/r/Ab7"},
)


@pytest.mark.parametrize(
    "text",
    [
        "Ann@Example.com",
        " ann@example.COM ",
        "ａｎｎ@example.com",
        "0012",
        "C-9",
        "bob@example.org",
        "row 7",
        RESULT["job_id"],
        RESULT["job_id"].upper(),
        "https://Go.example.com/r/Ab7",
        "HTTPS://go.example.com/r/Ab7/",
        "go.example.com/r/Ab7",
    ],
)
def test_every_way_to_name_it(text: str) -> None:
    """Addresses count in any case and width, links as a browser shows them."""
    assert Wanted.parse(text).matches(RESULT)


@pytest.mark.parametrize(
    "text", ["ann", "12", "c-9", "row", "Go.example.com/r/ab7", "example.com", "acme", "sent", "7"]
)
def test_what_is_only_alike_does_not_match(text: str) -> None:
    """An id in another case, a part of a text, or the name of its shop is not what was asked for."""
    assert not Wanted.parse(text).matches(RESULT)


def test_nobody_has_the_key_of_an_empty_field() -> None:
    """A result with nothing but its job id has one key."""
    assert keys_of({"job_id": "a" * 32, "customer": None, "referral": {"link": 5}}) == {f"j:{'a' * 32}"}


@pytest.mark.parametrize("text", ["", " \n", "x" * 2049])
def test_what_nothing_can_match(text: str) -> None:
    """Blank or endless, it is refused in a line that says what may be given."""
    with pytest.raises(UsageError, match=r"^WHAT: "):
        Wanted.parse(text)


def test_only_the_scheme_in_front_is_left_out() -> None:
    """A link that holds another one is searched for as it stands."""
    link = "https://go.example.com/?to=https://shop.example.com/"
    result = make_result(1, referral={"link": link})
    wanted = Wanted.parse(link)
    assert wanted.matches(result)
    assert any(needle in row(result).lower().encode() for needle in wanted.needles())


ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
PIECES = st.lists(
    st.sampled_from([*"kKaA1.-@;'\"\\/ {", "é", "e\u0301", "İ", "\u212a", "\u202e"]), min_size=1, max_size=9
)


@given(st.one_of(ANY, PIECES.map("".join).filter(str.strip)), st.sampled_from([row, json_line]))
@PATIENT
def test_rows_that_match_hold_a_needle(text: str, form: Any) -> None:
    """Rows without any needle are skipped unread, so a row that matches must have one, in both formats."""
    result = make_result(1, customer=Customer(shopid=text), destination=text, reference=text, referral={"link": text})
    wanted = Wanted.parse(text.swapcase())
    line = form(result).encode(errors="backslashreplace").lower()
    if wanted.matches(result) and wanted.needles():
        assert any(needle in line for needle in wanted.needles())
