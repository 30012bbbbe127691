"""CSV as it comes: encodings, delimiters, line ends, and the ways in which a file can be damaged."""

import itertools
from pathlib import Path

import pytest

from tests.unit.campaigns.conftest import Import
from worker.campaigns.exports.text import MAX_ROW, open_lines
from worker.errors import InputError, UsageError

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "cp1252"]
BOMS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}


@pytest.mark.parametrize(
    ("encoding", "delimiter", "newline"), list(itertools.product(ENCODINGS, ",;\t", ["\n", "\r\n", "\r"]))
)
def test_every_encoding_delimiter_and_line_end(run_import: Import, encoding: str, delimiter: str, newline: str) -> None:
    """Each combination gives the same jobs, with the physical line in which each row starts."""
    rows = [
        ["customer_email", "reference", "note"],
        ["one@example.com", "Zoë", f'"two{newline}lines{delimiter} ""quoted"""'],
        ["two@example.com", "Ünal", ""],
    ]
    content = newline.join(delimiter.join(row) for row in rows) + newline
    done = run_import(BOMS.get(encoding, b"") + content.encode(encoding))
    assert [(job.customer.email, job.reference, job.line) for job in done.jobs] == [
        ("one@example.com", "Zoë", 2),
        ("two@example.com", "Ünal", 4),
    ]
    assert not done.importer.reject_files


def test_rows_decide_their_encoding(run_import: Import) -> None:
    """A file put together from UTF-8 and Windows-1252 gives the right text for both."""
    content = b"customer_email,reference\none@example.com,Zo\xc3\xab\ntwo@example.com,Zo\xeb\n"
    assert [job.reference for job in run_import(content).jobs] == ["Zoë", "Zoë"]


@pytest.mark.parametrize("bad", [b"Zo\x81\xeb", b"a\0b"])
def test_undecodable_row(run_import: Import, bad: bytes) -> None:
    """Bytes that are neither UTF-8 nor Windows-1252, and NULs, cost their row only."""
    done = run_import(b"customer_email,reference\none@example.com,%b\ntwo@example.com,x\n" % bad)
    assert done.emails == ["two@example.com"]
    assert done.rejects == [(2, "unreadable_row")]


def test_truncated_utf16(run_import: Import) -> None:
    """A UTF-16 file that ends within a character loses its last row only."""
    content = "customer_email,reference\none@example.com,x\ntwo@example.com,y".encode("utf-16")
    done = run_import(content[:-1])
    assert done.emails == ["one@example.com"]
    assert done.rejects == [(3, "unreadable_row")]


@pytest.mark.parametrize(
    ("end", "emails"),
    [
        ("two@example.com", ["one@example.com"]),
        ('two@example.com,"torn', ["one@example.com"]),
        ("two@example.com,y", ["one@example.com", "two@example.com"]),
        ("two@example.com\n", ["one@example.com", "two@example.com"]),
    ],
)
def test_torn_last_row(run_import: Import, end: str, emails: list[str]) -> None:
    """A file that stops within a row loses it; one without a final newline, or with short rows, loses nothing."""
    done = run_import(f"customer_email,reference\none@example.com,x\n{end}")
    assert done.emails == emails
    assert done.rejects == ([(3, "unreadable_row")] if len(emails) == 1 else [])


def test_torn_last_row_of_several_lines(run_import: Import) -> None:
    """A file that stops within quotes, lines after they were opened, loses what is torn and no row before it."""
    done = run_import('customer_email,reference\none@example.com,x\ntwo@example.com,"a\nb\nc')
    assert done.emails == ["one@example.com"]
    assert done.rejects == [(3, "unreadable_row"), (4, "no_customer"), (5, "unreadable_row")]
    whole = run_import('customer_email,reference\none@example.com,x\ntwo@example.com,"a\nb\nc"')
    assert whole.emails == ["one@example.com", "two@example.com"]
    assert whole.rejects == []


@pytest.mark.parametrize(("beyond", "taken"), [(0, True), (1, False)])
@pytest.mark.parametrize("lines", [1, 3])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_the_longest_row(run_import: Import, beyond: int, taken: bool, lines: int, end: str) -> None:
    """A row of exactly the longest length, its line ends included, is read; one more character is too much."""
    start, stop = 'one@example.com,"' + "line\n" * (lines - 1), '"' + end
    row = start + "x" * (MAX_ROW - len(start) - len(stop) + beyond) + stop
    after = "two@example.com,y\n" if end else ""
    done = run_import(f"customer_email,note\n{row}{after}")
    assert done.emails == (["one@example.com"] if taken else []) + (["two@example.com"] if end else [])
    assert (not done.rejects) is taken
    if taken and end:
        assert done.jobs[1].line == 2 + lines


def test_stray_quote_costs_one_line(run_import: Import) -> None:
    """A quote that is never closed doesn't swallow the rows after it."""
    rows = "".join(f"c{number}@example.com,x\n" for number in range(100))
    done = run_import(f'customer_email,reference\nfirst@example.com,"oops\n{rows}')
    assert len(done.jobs) == 100
    assert done.jobs[0].line == 3
    assert done.rejects == [(2, "unreadable_row")]


@pytest.mark.parametrize("quote", ["", '"'])
def test_overlong_row(run_import: Import, quote: str) -> None:
    """A row beyond the bound is rejected, cut short in the rejects file, and the rest goes on."""
    long = quote + "x" * (2 * MAX_ROW + 10) + quote
    done = run_import(f"customer_email,note\none@example.com,{long}\ntwo@example.com,y\nthree@example.com,z\n")
    assert done.emails == ["two@example.com", "three@example.com"]
    assert [job.line for job in done.jobs] == [3, 4]
    assert done.rejects == [(2, "unreadable_row")]
    assert done.importer.reject_files[0].stat().st_size < 2000


def test_overlong_row_of_many_lines(run_import: Import) -> None:
    """An open quote followed by an overlong line: both are rejected, each by itself."""
    long = "x" * (MAX_ROW + 10)
    done = run_import(f'customer_email,note\none@example.com,"y\n{long}\nthree@example.com,z\n')
    assert done.emails == ["three@example.com"]
    assert done.rejects == [(2, "unreadable_row"), (3, "unreadable_row")]
    assert done.jobs[0].line == 4


def test_long_cell(run_import: Import) -> None:
    """A cell longer than the csv module's own bound of 131,072 characters is read."""
    done = run_import(f"customer_email,note\none@example.com,{'x' * 200_000}\n")
    assert done.emails == ["one@example.com"]


def test_extra_cells(run_import: Import) -> None:
    """A row with more cells than the header is unreadable, unless the extra ones are blank."""
    done = run_import("customer_email,note\none@example.com,a, b\ntwo@example.com,a,, \n")
    assert done.emails == ["two@example.com"]
    assert done.rejects == [(2, "unreadable_row")]


def test_blank_rows(run_import: Import) -> None:
    """Blank rows, before the header too, count as lines and as nothing else."""
    done = run_import("\n\ncustomer_email,note\n\none@example.com,a\n,\n , \n\n")
    assert [job.line for job in done.jobs] == [5]
    assert done.importer.rows == 1


def test_thousand_columns(run_import: Import) -> None:
    """An export of 1,000 columns is read, and a rejected row keeps them all."""
    header = ",".join(f"c{number}" for number in range(998)) + ",customer_email,channel"
    cells = ",".join("x" for _ in range(998))
    done = run_import(f"{header}\n{cells},one@example.com,sms\n{cells},,sms\n")
    assert done.emails == ["one@example.com"]
    assert done.importer.reject_files[0].read_text() == f"line,reason,{header}\n3,no_customer,{cells},,sms\n"


def test_header_only(run_import: Import) -> None:
    """An export of 0 rows is no error and leaves no file."""
    done = run_import("customer_email,channel\n")
    assert (done.jobs, done.importer.rows, done.importer.reject_files) == ([], 0, [])


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_empty_file(run_import: Import, content: str) -> None:
    """A file without a header is refused in one line."""
    with pytest.raises(UsageError, match=r"0\.csv: is empty"):
        run_import(content)


@pytest.mark.parametrize("content", [b"PK\x03\x04zip", b"\x1f\x8bgzip", "customer_email\n".encode("utf-16-le")])
def test_not_text(run_import: Import, content: bytes) -> None:
    """Compressed files, spreadsheets and UTF-16 without its mark are refused with a remedy."""
    with pytest.raises(InputError, match=r"0\.csv: .*(unpack|UTF-8)"):
        run_import(content)


def test_unreadable_file(tmp_path: Path) -> None:
    """A missing file and a folder are refused by name."""
    with pytest.raises(InputError, match=r"none\.csv: can't be read: No such file"), open_lines(tmp_path / "none.csv"):
        pass
    with pytest.raises(InputError, match="not a regular file"), open_lines(tmp_path):
        pass
