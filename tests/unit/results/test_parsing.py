"""Rows of results files become the results that they were made of."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import hostile
from tests.unit.making import PATIENT, make_result
from worker.model.job import Customer
from worker.results.parsing import from_csv, from_json
from worker.results.rows import LAYOUTS, json_line, row

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=40),
    st.lists(st.sampled_from([*"=+-@;' ,\n\r\t\\nx1u0{}[]\":", "\u202e", "\ud83d", "é"]), max_size=12).map("".join),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)


@st.composite
def results(draw: st.DrawFn) -> dict[str, Any]:
    """Any result: ids and texts that people chose, and whatever the vendor answers."""
    customer = Customer(
        shopid=draw(IDS), bhid=draw(st.none() | IDS), email=draw(st.sampled_from([None, "a@example.com"]))
    )
    return make_result(
        draw(st.integers(0, 2**53 - 1)),
        draw(st.sampled_from(["sent", "failed", "expired"])),
        customer=customer,
        row=draw(st.none() | st.integers(0, 2**53 - 1)),
        run=draw(st.integers(0, 9)),
        campaign=draw(IDS.filter(str.isprintable)),
        reference=draw(st.none() | IDS),
        destination=draw(st.none() | IDS),
        sender=draw(st.none() | IDS),
        window=draw(st.sampled_from([None, "Mon-Fri 09:00-18:00 Europe/Vienna"])),
        message=draw(st.none() | TEXTS),
        referral=draw(st.none() | st.dictionaries(TEXTS, VALUES, max_size=3)),
        share_action=draw(VALUES),
        status=draw(st.none() | st.integers(100, 999)),
        latency_seconds=draw(st.none() | st.floats(0, 1e9)),
        called_at=draw(st.sampled_from([None, "2026-11-02T11:59:59.125000Z"])),
    )


def test_a_run_that_a_producer_left_out() -> None:
    """Is the first one, as the schema says."""
    result = make_result()
    del result["run"]
    assert from_csv(row(result).encode()[:-1])["run"] == 0


def test_what_stood_for_a_number_comes_back() -> None:
    """Another producer may write a number as a text or with a point; what was a result is read as the same one."""
    result = make_result() | {"attempts": "2", "line": 7.0, "run": "0"}
    assert from_csv(row(result).encode()[:-1]) == result | {"attempts": 2, "run": 0}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"attempts": "3"}, {"attempts": 3}),
        ({"attempts": True, "run": False}, {"attempts": 1, "run": 0}),
        ({"latency_seconds": "0.5"}, {"latency_seconds": 0.5}),
        ({"finished_at": 1700000000}, {"finished_at": "2023-11-14T22:13:20+00:00"}),
        (
            {"finished_at": "1700000000", "called_at": 0},
            {"finished_at": "2023-11-14T22:13:20+00:00", "called_at": "1970-01-01T00:00:00+00:00"},
        ),
    ],
)
def test_numbers_are_numbers_and_times_are_times(written: dict[str, Any], read: dict[str, Any]) -> None:
    """What the check lets pass in another form is read in the form of the schema, so that it can be added up."""
    found = from_json(json.dumps(make_result() | written).encode())
    assert {name: found[name] for name in read} == read
    assert {name: type(found[name]) for name in read} == {name: type(value) for name, value in read.items()}


def test_a_row_of_an_earlier_version() -> None:
    """Is read by the columns of its file; what these have no place for is none."""
    result = make_result(7, row=5, window="09:00-18:00 Europe/Vienna")
    absent: dict[str, Any] = {}
    for columns, name in zip(LAYOUTS, (None, "window", "row"), strict=True):
        absent |= {name: None} if name is not None else {}
        assert from_csv(row(result, columns).encode()[:-1], columns) == result | absent


def without_empty_texts(result: dict[str, Any]) -> dict[str, Any]:
    """A CSV has one kind of empty cell, so a text that is empty is read back as none."""
    return {name: None if value == "" else value for name, value in result.items()}


@given(results())
@example(make_result(message='{"a": "\u202e"}', share_action="true"))
@example(make_result(message='{"a": ";=1"}', share_action='"quoted"'))
@example(make_result(message=hostile.TEXT, share_action=hostile.TEXT, reference="'=1"))
@example(make_result(share_action="-5", message="null"))
@PATIENT
def test_a_result_comes_back_from_its_row(result: dict[str, Any]) -> None:
    """Each text and JSON value is what it was, though spreadsheets and terminals are kept from it in between."""
    assert from_csv(row(result).encode(errors="backslashreplace")[:-1]) == without_empty_texts(result)


@given(results())
@PATIENT
def test_a_result_comes_back_from_its_line(result: dict[str, Any]) -> None:
    """A line of JSON is the result as it came."""
    assert from_json(json_line(result).encode()[:-1]) == result


def test_what_a_newer_producer_wrote_stays_in_json() -> None:
    """Unknown fields are kept where the format has room for them."""
    assert from_json(json_line({**make_result(), "mood": "good"}).encode())["mood"] == "good"


def edited(**fields: Any) -> bytes:
    """The row of a result that somebody has changed."""
    return row({**make_result(), **fields}).encode()[:-1]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"a,b,c", "it has 3 cells, and a result has 26"),
        (b'"open', "it is not one line of CSV in UTF-8"),
        (b"\xff", "it is not one line of CSV in UTF-8"),
        (edited(customer={"email": "eve@example.com"}), "a result whose fields make another job id"),
        (edited(attempts="many"), "attempts"),
        (edited(line={}), "line"),
        (edited(finished_at="yesterday"), "finished_at"),
        (edited(outcome="eaten"), "outcome"),
    ],
)
def test_a_row_that_is_no_result(line: bytes, why: str) -> None:
    """It is refused whole, with the reason: a changed id must not pass as another customer's."""
    with pytest.raises(ValueError, match=why):
        from_csv(line)


@pytest.mark.parametrize("line", [b"{", b"[]", b"5", b'{"job_id": 5}', b'{"a": NaN}', b"[" * 200])
def test_a_line_that_is_no_result(line: bytes) -> None:
    """Neither is JSON that holds something else, or too much of it."""
    with pytest.raises(ValueError, match=r"^it is no"):
        from_json(line)
