"""An .xlsx as an export: what a person sees in the sheet is what is read, or one line says why not."""

import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.campaigns.conftest import Import
from tests.unit.campaigns.exports.xlsx.sheets import HEAD, cell, replaced, row, workbook
from worker.campaigns.consent import parse_consent
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions
from worker.errors import InputError, UsageError

HEADER = ("customer_shopid", "reference")


def _saved(*rows: tuple[Any, ...], formats: dict[str, str] | None = None, hidden: int = 0) -> bytes:
    """A workbook of these rows, with the formats by cell."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for values in rows:
        sheet.append(values)
    for place, code in (formats or {}).items():
        sheet[place].number_format = code
    if hidden:
        sheet.row_dimensions[hidden].hidden = True
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        (7223120008123, "General", "7223120008123"),
        (7223120008123, "0.00E+00", "7223120008123"),
        (42, "00000", "00042"),
        (42, '"C-"0000', "C-0042"),
        (123456789, "000-00-0000", "123-45-6789"),
        (1234567, "#,##0", "1234567"),
        (12.5, "0.00", "12.5"),
        (0.1 + 0.2, "General", "0.3"),
        (True, "General", "TRUE"),
        (False, "General", "FALSE"),
        ("007", "General", "007"),
        (" Zoë <&> _x0041_ ", "@", "Zoë <&> A"),
        (date(2026, 3, 1), "yyyy-mm-dd", "2026-03-01"),
        (datetime.combine(date(2026, 3, 1), time(14, 30)), "dd/mm/yyyy hh:mm", "2026-03-01 14:30:00"),
        (date(1900, 1, 1), "dd.mm.yy", "1900-01-01"),
        (time(14, 30), "h:mm", "14:30:00"),
        (-1, "yyyy-mm-dd", "#VALUE!"),
    ],
)
def test_a_cell_is_read_as_it_is_shown(run_import: Import, value: Any, code: str, shown: str) -> None:
    """Numbers keep their digits and leading zeros, dates are ISO 8601, and texts are as they are."""
    done = run_import(_saved(HEADER, ("a", value), formats={"B2": code}), suffix=".xlsx")
    if shown == "#VALUE!":
        assert done.rejects == [(2, "spreadsheet_error")]
    else:
        assert [job.reference for job in done.jobs] == [shown]
    assert done.importer.exports[0].encoding == "utf-8"
    assert done.importer.exports[0].delimiter == ""


@pytest.mark.parametrize("text", ["1234567890123456", "1234567890123450", "7.2231200081234501E+15", "-1E+20", "1e99"])
def test_a_number_that_lost_digits_is_no_id(run_import: Import, text: str) -> None:
    """A spreadsheet keeps 15 digits, so the last ones of a longer id are zeros that nobody typed."""
    content = workbook(row(1, *HEADER) + f'<row r="2"><c r="A2"><v>{text}</v></c></row>')
    assert run_import(content).rejects == [(2, "shortened_id")]


@pytest.mark.parametrize("text", ["722312000812345", "7.22312000812345E+14", "0722312000812345"])
def test_fifteen_digits_are_an_id(run_import: Import, text: str) -> None:
    """A number of 15 digits is whole, however the file writes it."""
    content = workbook(row(1, *HEADER) + f'<row r="2"><c r="A2"><v>{text}</v></c></row>')
    found = [job.customer.shopid for job in run_import(content).jobs]
    assert found == ["722312000812345"] or text.startswith("0")


def test_a_formula_gives_its_last_value(run_import: Import) -> None:
    """The value that the spreadsheet stored is read: a text, a number, a truth or an error; else it is an error."""
    stored = [("str", "abc"), ("n", "12"), ("b", "1"), ("e", "#N/A"), ("n", "")]
    rows = "".join(
        row(number, "id", more=f'<c r="B{number}" t="{kind}"><f>A1&amp;"x"</f><v>{value}</v></c>')
        for number, (kind, value) in enumerate(stored, 2)
    )
    done = run_import(workbook(row(1, *HEADER) + rows), mapping={"customer_bhid": "reference"})
    assert [job.customer.bhid for job in done.jobs] == ["abc", "12"]
    assert done.rejects == [(4, "bad_id"), (5, "spreadsheet_error"), (6, "spreadsheet_error")]


def test_rows_have_their_numbers_in_the_sheet(run_import: Import) -> None:
    """Blank rows and rows that are not in the file count, so that a person finds the row."""
    rows = row(3, "customer_email", "x") + row(4) + row(5, "nobody") + row(1000, "a@example.org") + row(1001, "", "y")
    done = run_import(workbook(rows))
    assert done.emails == ["a@example.org"]
    assert done.jobs[0].line == 1000
    assert done.rejects == [(5, "no_customer"), (1001, "no_customer")]


def test_cells_may_be_missing(run_import: Import) -> None:
    """Blank cells are not in the file; a cell stands where it says, or after the one before."""
    rows = row(1, "customer_email", "sender", "reference")
    rows += f'<row r="2">{cell("A2", "a@example.org")}{cell("C2", "x")}</row>'
    rows += '<row><c t="inlineStr"><is><t>b@example.org</t></is></c></row>'
    done = run_import(workbook(rows))
    assert [(job.customer.email, job.sender, job.reference) for job in done.jobs] == [
        ("a@example.org", None, "x"),
        ("b@example.org", None, None),
    ]


def test_shared_texts(run_import: Import) -> None:
    """A text of several fonts is one text, without its pronunciation."""
    strings = "<si><t>customer_email</t></si><si><r><t>a@</t></r><r><t>example.org</t></r><rPh><t>x</t></rPh></si><si/>"
    rows = '<row r="1"><c r="A1" t="s"><v>0</v></c></row><row r="2"><c r="A2" t="s"><v>1</v></c></row>'
    done = run_import(workbook(rows + '<row r="3"><c r="A3" t="s"><v>2</v></c></row>', strings=strings))
    assert done.emails == ["a@example.org"]


def test_dates_since_1904(run_import: Import) -> None:
    """Workbooks of old Macs count days from another one."""
    rows = row(1, *HEADER) + row(2, "a", more='<c r="B2" s="0"><v>1</v></c>')
    content = workbook(rows, styles='<xf numFmtId="14"/>', properties='<workbookPr date1904="1"/>')
    assert [job.reference for job in run_import(content).jobs] == ["1904-01-02"]


def test_other_sheets_and_hidden_rows_are_told(run_import: Import) -> None:
    """Only the first visible sheet is read; a hidden row is read too, and both are said."""
    sheets = '<sheet name="no" sheetId="1" state="hidden" r:id="r0"/>'
    sheets += '<sheet name="A" sheetId="2" r:id="r1"/><sheet name="B" sheetId="3" r:id="r1"/>'
    rows = row(1, "customer_email") + row(2, "a@example.org", attributes='hidden="1"')
    done = run_import(workbook(rows, sheets=sheets))
    assert done.emails == ["a@example.org"]
    assert [warning.partition(": ")[2][:40] for warning in done.importer.warnings] == [
        "only its first sheet, 'A', is read; 1 mo",
        "hidden rows are read too (first in line ",
    ]


def test_a_cell_beyond_the_header_costs_its_row(run_import: Import) -> None:
    """As in CSV nobody knows what it is."""
    done = run_import(workbook(row(1, "customer_email") + row(2, "a@example.org", "no!") + row(3, "b@example.org")))
    assert (done.emails, done.rejects) == (["b@example.org"], [(2, "unreadable_row")])


def test_a_header_that_comes_again(run_import: Import) -> None:
    """Sheets are put together by hand too."""
    rows = row(1, "customer_shopid") + row(2, "a") + row(3, "Customer ShopID") + row(4, "b")
    assert run_import(workbook(rows)).rejects == [(3, "repeated_header")]


def test_rejects_saved_as_a_workbook(run_import: Import) -> None:
    """A rejects file that a spreadsheet saved is read without our escapes, and what must stay out stays out."""
    rows = row(1, "line", "reason", "customer_email", "sender") + row(2, "2", "no_customer", "a@example.org", "'=Zoë")
    done = run_import(workbook(rows + row(3, "3", "doubtful_row", "b@example.org")))
    assert [(job.customer.email, job.sender) for job in done.jobs] == [("a@example.org", "=Zoë")]
    assert done.rejects == [(3, "doubtful_row")]


def test_a_huge_cell_costs_its_row(run_import: Import) -> None:
    """A row that is too long is refused, and memory with it; the next one is read."""
    huge = "x" * 10 * 1024 * 1024
    rows = row(1, "customer_email", "x") + row(2, "a@example.org", huge) + row(3, "b@example.org")
    done = run_import(workbook(rows, compression=0))
    assert (done.emails, done.rejects) == (["b@example.org"], [(2, "unreadable_row")])
    shared = f"<si><t>customer_email</t></si><si><t>{huge}</t></si><si><t>b@example.org</t></si>"
    places = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>{n - 1}</v></c></row>' for n in (1, 2, 3))
    done = run_import(workbook(places, strings=shared, compression=0))
    assert (done.emails, done.rejects) == (["b@example.org"], [(2, "unreadable_row")])
    (path,) = done.importer.reject_files
    assert path.stat().st_size < 2_000


def test_a_long_text_is_read_up_to_what_a_cell_can_have(run_import: Import) -> None:
    """Beyond that a few bytes that name a shared text could fill the memory."""
    strings = (
        f"<si><t>customer_email</t></si><si><t>x</t></si><si><t>{'y' * 32_767}</t></si><si><t>{'y' * 32_768}</t></si>"
    )
    rows = '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>'
    for number in (2, 3):
        rows += row(number, f"{number}@example.org", more=f'<c r="B{number}" t="s"><v>{number}</v></c>')
    done = run_import(workbook(rows, strings=strings, compression=0))
    assert (done.emails, done.rejects) == (["2@example.org"], [(3, "unreadable_row")])


_LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'


def _twice(content: bytes) -> bytes:
    """The workbook with another member of its sheet's name, but for its case."""
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("xl/worksheets/SHEET1.XML", archive.read("xl/worksheets/sheet1.xml"))
    return buffer.getvalue()


_GOOD = row(1, "customer_email") + row(2, "a@example.org")
# Made by their tests: each process of a test run imports all tests, and bombs take a second.
_HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "entities in the sheet": (lambda: workbook(_GOOD, head=HEAD + _LAUGHS), "its XML declares types"),
    "entities in the texts": (lambda: workbook(_GOOD, head=HEAD + _LAUGHS, strings=""), "its XML declares types"),
    "an encoding that Python has": (
        lambda: workbook(_GOOD, head='<?xml version="1.0" encoding="rot13"?>'),
        "another encoding",
    ),
    "an encoding of several bytes": (
        lambda: workbook(_GOOD, head='<?xml version="1.0" encoding="utf-7"?>'),
        "another encoding",
    ),
    "a tag without end": (lambda: workbook(_GOOD + f"<row x='{' ' * 1_300_000}'/>"), "its XML has an endless tag"),
    "a comment without end": (lambda: workbook(_GOOD + f"<!--{' ' * 1_300_000}-->"), "its XML has an endless tag"),
    "elements without end": (lambda: workbook(_GOOD + "<a>" * 1_000), "its XML is too deep"),
    "names without end": (
        lambda: workbook(_GOOD + "".join(f"<n{n}/>" for n in range(30_000))),
        "its XML has endless names",
    ),
    "a cell within a cell": (lambda: workbook(_GOOD + '<row r="3"><c r="A3"><c r="B3"/></c></row>'), "not in order"),
    "a cell outside of rows": (lambda: workbook(_GOOD + cell("B2", "x")), "not in order"),
    "a row within a row": (lambda: workbook(_GOOD + f'<row r="3">{row(4, "x")}</row>'), "not in order"),
    "two values of a cell": (
        lambda: workbook(_GOOD + '<row r="3"><c r="A3"><v>1</v><v>2</v></c></row>'),
        "not in order",
    ),
    "two parts of one name": (lambda: _twice(workbook(_GOOD)), "is damaged"),
    "a binary workbook": (
        lambda: replaced(workbook(_GOOD, prefix="book/"), "workbook.xml", "workbook.bin"),
        "format .xlsb",
    ),
    "no XML": (lambda: workbook("<row"), "its XML can't be read"),
    "rows out of order": (lambda: workbook(row(2, "customer_email") + row(1, "a@example.org")), "not in order"),
    "a row too far": (lambda: workbook(_GOOD + row(1_048_577, "b@example.org")), "not in order"),
    "a cell too far": (lambda: workbook(f'<row r="1">{cell("XFE1", "x")}</row>'), "not in order"),
    "a place that is none": (lambda: workbook('<row r="1"><c r="1A"><v>1</v></c></row>'), "not in order"),
    "a text that is not there": (
        lambda: workbook('<row r="1"><c r="A1" t="s"><v>7</v></c></row>', strings=""),
        "not in order",
    ),
    "no sheet": (lambda: workbook(_GOOD, sheets=""), "has no sheet of rows"),
    "a sheet that is not there": (lambda: workbook(_GOOD).replace(b"sheet1.xml", b"sheet9.xml", 1), "is damaged"),
    "a bomb": (lambda: workbook(_GOOD + " " * 80 * 1024 * 1024), "unpacks to more than 200 times its size"),
    "a bomb of texts": (
        lambda: workbook(_GOOD, strings=f"<si><t>{' ' * 80 * 1024 * 1024}</t></si>"),
        "unpacks to more",
    ),
    "formats without end": (
        lambda: workbook(_GOOD, styles='<xf numFmtId="0"/>' * 1_000_000),
        "too many sheets or formats",
    ),
    "a sheet with a wrong sum": (lambda: workbook(_GOOD, compression=0).replace(b"a@example", b"b@example"), "damaged"),
}


@pytest.mark.parametrize("case", _HOSTILE)
def test_what_is_no_workbook_costs_one_line(run_import: Import, case: str) -> None:
    """A broken or hostile workbook is refused in one line that names it."""
    make, message = _HOSTILE[case]
    with pytest.raises(InputError) as refused:
        run_import(make())
    assert message in str(refused.value)
    assert str(refused.value).partition(": ")[0].endswith("0.csv")


def test_parts_are_found_by_what_the_file_says(run_import: Import) -> None:
    """Programs choose other folders, absolute paths, another case or backslashes; the file says where its parts are."""
    for content in (
        workbook(_GOOD, prefix="book/"),
        replaced(workbook(_GOOD), 'Target="worksheets', 'Target="Worksheets'),
        replaced(workbook(_GOOD), 'Target="worksheets', 'Target="/xl/worksheets'),
        replaced(workbook(_GOOD), "worksheets/", "worksheets\\"),
    ):
        assert run_import(content).emails == ["a@example.org"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-03-01", "2026-03-01"),
        ("2026-03-01T00:00:00.000Z", "2026-03-01"),
        ("2026-03-01T14:30:00", "2026-03-01 14:30:00"),
        ("soon", "soon"),
    ],
)
def test_dates_of_strict_workbooks(run_import: Import, text: str, shown: str) -> None:
    """They are ISO 8601 in the file, and come as every other date does."""
    dated = row(1, "customer_email", "reference") + row(2, "a@example.org", more=f'<c r="B2" t="d"><v>{text}</v></c>')
    assert [job.reference for job in run_import(workbook(dated)).jobs] == [shown]


@pytest.mark.parametrize(
    ("value", "calculation", "warned"),
    [
        ("<f>A1</f><v/>", "", True),
        ("<f>A1</f><v>0</v>", "<calcPr fullCalcOnLoad='1'/>", True),
        ("<f>A1</f><v>0</v>", "<calcPr calcId='1'/>", False),
        ("<f>A1</f><v>7</v>", "<calcPr fullCalcOnLoad='1'/>", False),
    ],
    ids=["no value", "not calculated", "zero", "seven"],
)
def test_a_formula_without_a_value_is_no_blank_cell(
    run_import: Import, value: str, calculation: str, warned: bool
) -> None:
    """openpyxl leaves the value out, and xlsxwriter writes 0. In a column of consent a blank cell may say yes."""
    rows = row(1, "customer_email", "unsubscribed_at") + row(2, "a@example.org", more=f'<c r="B2">{value}</c>')
    content = workbook(rows + row(3, "b@example.org"), calculation=calculation)
    done = run_import(content, consent=[parse_consent("unsubscribed_at=")])
    assert done.emails == ["b@example.org"]
    assert ("formulas without a value" in "".join(done.importer.warnings)) == warned


def test_a_formula_may_give_an_empty_text(run_import: Import) -> None:
    """Spreadsheets store that as a text without characters."""
    rows = row(1, "customer_email", "unsubscribed_at") + row(
        2, "a@example.org", more='<c r="B2" t="str"><f>""</f><v></v></c>'
    )
    done = run_import(workbook(rows), consent=[parse_consent("unsubscribed_at=")])
    assert done.emails == ["a@example.org"]


def test_a_title_above_the_header_is_suggested(run_import: Import) -> None:
    """The columns seen are then one, the title."""
    with pytest.raises(UsageError, match="columns seen: Spring; delete the rows above the header"):
        run_import(workbook(row(1, "Spring") + row(2, "customer_email")))


def test_a_cell_far_right_does_not_fill_the_rejects_file(run_import: Import) -> None:
    """A few bytes in the last of 16,384 columns would cost as many commas in each row."""
    done = run_import(workbook(_GOOD + row(3, "b@example.org", more=cell("XFD3", "x"))))
    (path,) = done.importer.reject_files
    assert path.read_text().splitlines()[1:] == ["3,unreadable_row,3,b@example.org,x"]


def test_an_empty_workbook(run_import: Import) -> None:
    """A sheet without a text has no header."""
    with pytest.raises(UsageError, match="is empty; the first row must name the columns"):
        run_import(workbook(row(1) + row(2)))


def test_blank_rows_are_skipped(run_import: Import) -> None:
    """Rows that were formatted and never filled are no rows."""
    blank = "".join(f'<row r="{number}"><c r="A{number}" s="1"/></row>' for number in range(3, 100_000))
    done = run_import(workbook(_GOOD + blank))
    assert (done.emails, done.importer.rows) == (["a@example.org"], 1)


_TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn", "Co"]), max_size=30).filter(
    lambda text: text == text.strip() and "_x" not in text and not text.startswith("=")
)


@given(st.lists(st.lists(_TEXTS | st.integers(0, 10**15 - 1) | st.booleans(), min_size=1, max_size=5), max_size=10))
def test_what_a_library_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[list[Any]]) -> None:
    """Every cell that openpyxl wrote comes back, row by row."""
    path: Path = tmp_path_factory.mktemp("xlsx") / "a.xlsx"
    path.write_bytes(_saved(("customer_shopid", "b", "c", "d", "e"), *(("id", *row[:4]) for row in rows)))
    options = ImportOptions(shop="acme", campaign="spring", channel="sms")
    with JobIndex() as index:
        importer = Importer([PlainFile(path)], options, index=index, published_at=None, allowed_shops=None)
        (export,) = importer.exports
        found = [list(record.cells) for record in export.records()]
    shown = [["id", *(str(cell).upper() if isinstance(cell, bool) else str(cell) for cell in row[:4])] for row in rows]
    assert found == [[*row, *[""] * (5 - len(row))] for row in shown]
