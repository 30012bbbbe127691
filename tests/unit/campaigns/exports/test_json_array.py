"""One JSON array as an export."""

import json
from typing import Any

import pytest

from tests.unit.campaigns.conftest import Import

ROWS: list[dict[str, Any]] = [
    {"customer_email": "a@example.org", "reference": 'quote " and \\ and }],{['},
    {"customer": {"email": "b@example.org", "shopid": "7"}, "tags": [1, [2], {}]},
    {"customer_email": "c@example.org", "reference": "Zoë\n€"},
]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("escaping", [False, True])
def test_an_array_is_read_like_lines(run_import: Import, indent: int | None, encoding: str, escaping: bool) -> None:
    """Each object is a row, however the array is laid out."""
    done = run_import(json.dumps(ROWS, indent=indent, ensure_ascii=escaping).encode(encoding), suffix=".json")
    assert done.emails == ["a@example.org", "b@example.org", "c@example.org"]
    assert [job.reference for job in done.jobs if job.customer.email == "a@example.org"] == [ROWS[0]["reference"]]
    assert not done.importer.warnings


def test_a_row_has_the_line_where_it_starts(run_import: Import) -> None:
    """The line in the rejects file is one of the export."""
    done = run_import('[\n {"customer_email": "a@example.org"},\r\n\r {\n"customer_email":\n"nobody"},\n {"x": 1}\n]\n')
    assert done.rejects == [(4, "no_customer"), (7, "no_customer")]


@pytest.mark.parametrize(
    ("text", "emails", "rejected"),
    [
        ("[]", [], 0),
        ("[ ]\n", [], 0),
        ('\ufeff\ufeff[{"customer_email":"a@example.org"}]', ["a@example.org"], 0),
        ('[{"customer_email":"a@example.org"},]', ["a@example.org"], 0),
        ('[{"customer_email":"a@example.org"}, 5, "x", null, [1,{"a":2}]]', ["a@example.org"], 4),
        ('[{"customer_email":"a@example.org"}} , {"customer_email":"b@example.org"}]', ["b@example.org"], 1),
        ('[{"customer_email":"a@example.org"}] {"customer_email":"b@example.org"}', ["a@example.org"], 1),
        ('[{"a":"b\n},\n{"customer_email":"b@example.org"}]', ["b@example.org"], 1),
        ('[{"customer_email":"a@example.org"} {"customer_email":"b@example.org"}]', [], 1),
    ],
)
def test_a_broken_element_costs_itself(run_import: Import, text: str, emails: list[str], rejected: int) -> None:
    """What is no object is one row that can't be read; nothing is lost, and the next one is read."""
    if not emails and rejected:
        text = text.replace("[", '[{"customer_email":"z@example.org"},', 1)
        emails = ["z@example.org"]
    done = run_import(text)
    assert done.emails == emails
    assert [reason for _, reason in done.rejects] == ["unreadable_row"] * rejected


def test_bytes_that_are_no_text_cost_their_element(run_import: Import) -> None:
    """JSON is UTF-8; an element in another encoding can't be read."""
    done = run_import(b'[{"customer_email":"a@example.org"},\n{"customer_email":"b@example.org","x":"\xff"}]')
    assert (done.emails, done.rejects) == (["a@example.org"], [(2, "unreadable_row")])


@pytest.mark.parametrize("end", ["", ",", ',\n{"customer_email":"b@exam'])
def test_an_array_that_was_cut_off(run_import: Import, end: str) -> None:
    """The whole elements are rows, the piece is one that can't be read, and a warning says that more may be missing."""
    done = run_import('[{"customer_email":"a@example.org"}' + end)
    assert done.emails == ["a@example.org"]
    assert done.importer.rejected.total() == (len(end) > 1)
    (warning,) = done.importer.warnings
    assert "ends before its JSON array does" in warning


def test_a_huge_element_costs_itself(run_import: Import) -> None:
    """An element beyond the bound is given up, and memory with it; the rest is read."""
    huge = json.dumps({"customer_email": "b@example.org", "x": 'y"' * 5 * 1024 * 1024})
    done = run_import(f'[{{"customer_email":"a@example.org"}},{huge},{{"customer_email":"c@example.org"}}]')
    assert (done.emails, done.rejects) == (["a@example.org", "c@example.org"], [(1, "unreadable_row")])
