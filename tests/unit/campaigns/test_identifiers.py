"""Which texts an id of a customer can be."""

import json

import pytest

from tests.unit.campaigns.conftest import Import
from worker.campaigns.identifiers import bare, can_be_id, is_shortened, is_spreadsheet_error

HEADER = "customer_email,customer_shopid,customer_bhid,channel,destination,sender,reference,shop\n"

IDS = [
    "7223120301",
    "12-abc-34",
    "ns:12:30",
    "0",
    "007",
    "-5",
    "+4915112345678",
    "gid://shopify/Customer/7223120301",
    "Z2lkOi8vc2hvcGlmeS8xMjM=",
    "{6F9619FF-8B86-D011-B42D-00C04FC964FF}",
    "507f1f77bcf86cd799439011",
    "12345e67",
    "1E5",
    "cus_9s6XKzkNRiz8i3",
    "anna@example.com",
    "O'Brien-12",
    "1.2.840.113",
    "123.45.6",
    "2026-0001",
    "#1042",
    "顧客12",
]
NO_IDS = [
    "(null)",
    "<null>",
    "<NULL>",
    "Infinity",
    "-Infinity",
    "n.a.",
    "N.A.",
    "12:30",
    "12:30:59",
    "26-Nov-26",
    "1-may-2026",
    "7.22312E+12",
    "7,22312E+12",
    "7.22312e+12",
    "7E+12",
    "7.223120008E9",
    "7223120008.0",
    "7223120008,0",
    "7223120008.00",
    "0.5",
    "7,223,120,008",
    "7.223.120.008",
    "7'223'120'008",
    "7 223 120 008",
    "7\u00a0223\u202f120",
    "#REF!",
    "#N/A",
    "#NAME?",
    "#NV",
    "#BEZUG!",
    "######",
    "Err:502",
    '"b"',
    "“7223120301”",
    "7223120301'",
    "=A1",
    "=HYPERLINK(1)",
    "nan",
    "None",
    "null",
    "TRUE",
    "n/a",
    "-",
    "----",
    "2026-03-12",
    "2026-03-12T00:00:00",
    "12.03.2026",
    "3/12/26",
    "likes tea",
    "7223120301,likes",
    "7223120301;x",
    "7223\t120",
    "7223\n120",
    "7223120301\u200b",
    "\u202a7223120301\u202c",
    "7223\ufffd",
]


@pytest.mark.parametrize("text", IDS)
def test_can_be_an_id(text: str) -> None:
    """Shops choose their ids freely: numbers, hashes, URLs, names."""
    assert can_be_id(text)


@pytest.mark.parametrize("text", NO_IDS)
def test_no_id(run_import: Import, text: str) -> None:
    """What a spreadsheet or a database made of an id, or a piece of another cell, is never sent as one."""
    assert not can_be_id(text)
    row = json.dumps({"customer_email": "one@example.com", "customer_bhid": text})
    done = run_import(row + "\n", suffix=".jsonl")
    (rejected,) = done.importer.rejected
    told = "spreadsheet_error" if is_spreadsheet_error(text) else "shortened_id" if is_shortened(text) else "bad_id"
    assert rejected == told


@pytest.mark.parametrize(
    ("text", "identifier"),
    [("'77", "77"), ("' 77", "77"), ('="0077"', "0077"), ('=" 77 "', "77"), ("77", "77"), ('="7"&"7"', '="7"&"7"')],
)
def test_guarded_ids(text: str, identifier: str) -> None:
    """What keeps a spreadsheet from counting with an id is no part of it."""
    assert bare(text) == identifier


@pytest.mark.parametrize("field", ["customer_shopid", "customer_bhid"])
def test_a_row_with_a_bad_id_is_rejected(run_import: Import, field: str) -> None:
    """An id that can't be one costs its row with a reason of its own, beside a good address or as a JSON number."""
    done = run_import(f"customer_email,{field}\none@example.com,7.22312E+12\ntwo@example.com,7\n")
    assert done.emails == ["two@example.com"]
    assert done.rejects == [(2, "shortened_id")]
    rows = f'{{"{field}": 7.22312E+12}}\n{{"{field}": 7223120008.0}}\n{{"{field}": 7}}\n'
    done = run_import(rows, suffix=".jsonl")
    assert done.rejects == [(1, "shortened_id"), (2, "shortened_id")]


@pytest.mark.parametrize("column", range(8))
def test_spreadsheet_errors(run_import: Import, column: int) -> None:
    """A row is rejected where a cell that a job is made of could not be worked out, whichever it is."""
    cells = ["one@example.com", "77", "b7", "email", "friend@example.org", "Ann", "r1", "acme"]
    good = ",".join(cells)
    cells[column] = "#REF!"
    done = run_import(f"{HEADER}{','.join(cells)}\n{good}\n")
    assert done.rejects == [(2, "spreadsheet_error")]
    assert [job.line for job in done.jobs] == [3]


def test_errors_in_unused_cells(run_import: Import) -> None:
    """A column that no job is made of may hold anything."""
    assert run_import("customer_email,total\none@example.com,#DIV/0!\n").emails == ["one@example.com"]


@pytest.mark.parametrize("null", ["NULL", r"\N"])
def test_nulls_of_databases(run_import: Import, null: str) -> None:
    """A database's null is an empty cell in every field, and the first line that has one is named."""
    row = f"{null},77,{null},{null},{null},{null},{null},{null}"
    done = run_import(f"{HEADER}two@example.com,,,,,,,\n{row}\n{row.replace('77', null)}\n")
    _, job = done.jobs
    assert job.customer.identity() == {"shopid": "77"}
    assert (job.channel, job.destination, job.sender, job.reference) == ("whatsapp", None, None, None)
    assert done.rejects == [(4, "no_customer")]
    (warning,) = done.importer.warnings
    assert warning.endswith(r"0.csv: cells NULL and \N are read as empty (first in line 3)")


def test_an_export_without_rows_is_said(run_import: Import) -> None:
    """A header without rows is a warning with the file's name; a limit that is reached is no such case."""
    done = run_import("customer_email\n", "customer_email\none@example.com\n", "customer_email\n", limit=1)
    assert [warning.rpartition("/")[2] for warning in done.importer.warnings] == ["0.csv: has no rows"]
    done = run_import("\n", suffix=".jsonl")
    assert [warning.rpartition("/")[2] for warning in done.importer.warnings] == ["0.jsonl: has no rows"]
