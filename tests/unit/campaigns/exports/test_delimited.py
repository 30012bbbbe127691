"""CSV as it comes: encodings, delimiters, line ends, and the ways in which a file can be damaged."""

import itertools
from pathlib import Path

import pytest

from tests.unit.campaigns.conftest import Import, Imported
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.exports.delimited import DelimitedExport
from worker.campaigns.exports.text import MAX_ROW, Source
from worker.campaigns.presets.recognition import Recognition
from worker.campaigns.warnings import ImportWarnings
from worker.errors import InputError, UsageError

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "cp1252"]
BOMS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}


@pytest.mark.parametrize(
    ("encoding", "delimiter", "newline"), list(itertools.product(ENCODINGS, ",;\t|", ["\n", "\r\n", "\r"]))
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
    ("end", "rejects"),
    [
        ("two@example.com", [(3, "doubtful_row"), (4, "unreadable_row")]),
        ("two@example.com,b", [(3, "doubtful_row"), (4, "unreadable_row")]),
        ("two@example.com,b\n", [(3, "doubtful_row"), (4, "unreadable_row")]),
        ('two@example.com,b,"torn', [(3, "doubtful_row"), (4, "unreadable_row")]),
        ("two@example.com,b,y", []),
    ],
)
def test_torn_last_row(run_import: Import, end: str, rejects: list[tuple[int, str]]) -> None:
    """A file that stops within a row loses it, and the one before where that may be its beginning."""
    done = run_import(f"customer_email,customer_bhid,reference\none@example.com,a,x\nzero@example.com,,\n{end}")
    assert done.rejects == rejects
    assert len(done.jobs) == 3 - len(rejects)


def test_a_last_line_without_an_end(run_import: Import) -> None:
    """The last cell of such a line may be cut; that is a warning if a job is made of it."""
    rows = "note,customer_shopid\nx,1\ny,72231203"
    (warning,) = run_import(rows).importer.warnings
    assert warning.endswith("line 3 is the last and has no line end; if the file was cut off, so was its last cell")
    for whole in (f"{rows}\n", rows.replace("72231203", ""), "customer_shopid,note\n1,x"):
        assert not run_import(whole).importer.warnings


def test_torn_last_row_of_several_lines(run_import: Import) -> None:
    """A file that stops within quotes, lines after they were opened, loses what is torn and the row before it."""
    done = run_import('customer_email,reference\nzero@example.com,x\none@example.com,x\ntwo@example.com,"a\nb\nc')
    assert done.emails == ["zero@example.com"]
    assert done.rejects == [(3, "doubtful_row"), *((line, "unreadable_row") for line in (4, 5, 6))]
    whole = run_import('customer_email,reference\none@example.com,x\ntwo@example.com,"a\nb\nc"')
    assert whole.emails == ["one@example.com", "two@example.com"]
    assert whole.rejects == []


def test_a_job_has_its_line_and_its_row(run_import: Import) -> None:
    """A person finds the row in an editor and in a spreadsheet, which counts a cell of several lines as one row."""
    done = run_import('customer_email,note\none@example.com,"a\nb\nc"\n\ntwo@example.com,"d\ne"\n')
    assert [(job.line, job.row) for job in done.jobs] == [(2, 2), (6, 4)]


@pytest.mark.parametrize(("beyond", "taken"), [(0, True), (1, False)])
@pytest.mark.parametrize("lines", [1, 3])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_the_longest_row(run_import: Import, beyond: int, taken: bool, lines: int, end: str) -> None:
    """A row of exactly the longest length, its line ends included, is read; one more character is too much."""
    start, stop = 'one@example.com,"' + "line\n" * (lines - 1), '"' + end
    row = start + "x" * (MAX_ROW - len(start) - len(stop) + beyond) + stop
    after = "two@example.com,y\n" if end else ""
    done = run_import(f"customer_email,note\n{row}{after}")
    # What is left of a row of several lines stands before the next one, and may belong to it.
    after_it = ["two@example.com"] if end and (taken or lines == 1) else []
    assert done.emails == (["one@example.com"] if taken else []) + after_it
    assert (not done.rejects) is taken
    if taken and end:
        assert done.jobs[1].line == 2 + lines


def test_stray_quote_costs_two_lines(run_import: Import) -> None:
    """A quote that is never closed doesn't swallow the rows after it, but the next one may be the rest of its cell."""
    rows = "".join(f"c{number}@example.com,x\n" for number in range(100))
    done = run_import(f'customer_email,reference\nfirst@example.com,"oops\n{rows}')
    assert len(done.jobs) == 99
    assert done.jobs[0].line == 4
    assert done.rejects == [(2, "unreadable_row"), (3, "doubtful_row")]


@pytest.mark.parametrize("quote", ["", '"'])
def test_overlong_row(run_import: Import, quote: str) -> None:
    """A row beyond the bound is rejected, cut short in the rejects file, and the other rows are read."""
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
    """A row with more cells than the header is unreadable: a blank last cell doesn't prove that none is shifted."""
    rows = ["one@example.com,a, b", "two@example.com,a", "three@example.com,b,", ",,, ", "four@example.com,a"]
    done = run_import("\n".join(["customer_email,note", *rows, "five@example.com,a", ""]))
    assert done.emails == ["five@example.com"]
    unreadable, doubtful = "unreadable_row", "doubtful_row"
    assert done.rejects == [(2, unreadable), (3, doubtful), (4, unreadable), (6, doubtful)]
    warning = done.importer.warnings[0]
    assert "more cells than the header" in warning
    assert warning.endswith("(first in line 2)")


def test_blank_rows(run_import: Import) -> None:
    """Blank rows, before the header too, count as lines and as nothing else."""
    done = run_import("\n\ncustomer_email,note\n\none@example.com,a\n,\n , \n\n")
    assert [job.line for job in done.jobs] == [5]
    assert done.importer.rows == 1


@pytest.mark.parametrize("blank", ["\u3000", "\u00a0", "\u2003\t", "\u2028", "\x1a", "\ufeff"], ids=repr)
def test_a_line_of_any_white_space_is_no_piece(run_import: Import, blank: str) -> None:
    """It parts rows as an empty line does, and leaves none of its neighbours in doubt."""
    done = run_import(f"customer_email,note\none@example.com,a\n{blank}\ntwo@example.com,b\n")
    assert done.emails == ["one@example.com", "two@example.com"]
    assert done.rejects == []


def test_thousand_columns(run_import: Import) -> None:
    """An export of 1,000 columns is read, and a rejected row keeps them all."""
    header = ",".join(f"c{number}" for number in range(998)) + ",customer_email,channel"
    cells = ",".join("x" for _ in range(998))
    done = run_import(f"{header}\n{cells},one@example.com,sms\n{cells},,sms\n")
    assert done.emails == ["one@example.com"]
    assert done.importer.reject_files[0].read_text() == f"line,reason,row,{header}\n3,no_customer,3,{cells},,sms\n"


def test_header_only(run_import: Import) -> None:
    """An export of 0 rows is no error and leaves no file."""
    done = run_import("customer_email,channel\n")
    assert (done.jobs, done.importer.rows, done.importer.reject_files) == ([], 0, [])


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_empty_file(run_import: Import, content: str) -> None:
    """A file without a header is refused in one line."""
    with pytest.raises(UsageError, match=r"0\.csv: is empty"):
        run_import(content)


def test_unreadable_file(tmp_path: Path) -> None:
    """A missing file and a folder are refused by name."""
    for path, message in ((tmp_path / "none.csv", r"none\.csv: can't be read: No such"), (tmp_path, "not a regular")):
        with pytest.raises(InputError, match=message), Source(PlainFile(path), None, ImportWarnings()).lines():
            pass


NOTES = "customer_email,note,customer_shopid\n"


def sent(done: Imported) -> list[tuple[int | None, str | None, str | None]]:
    return [(job.line, job.customer.email, job.customer.shopid) for job in done.jobs]


def test_backslashes_before_quotes(run_import: Import) -> None:
    """A row that escapes quotes with a backslash is rejected alone, and a warning names the dialect."""
    rows = ['m1@example.org,"ends \\"",7223120301', "m2@example.org,plain,7223120302", 'm3@example.org,"x",7223120303']
    done = run_import(NOTES + "\n".join(rows) + "\n")
    assert sent(done) == [(3, "m2@example.org", "7223120302"), (4, "m3@example.org", "7223120303")]
    assert done.rejects == [(2, "unreadable_row")]
    (warning,) = done.importer.warnings
    assert "escape quotes with a backslash" in warning
    assert warning.endswith("(first in line 2)")


@pytest.mark.parametrize(("begin", "end"), [('says \\"hi\\"', "bye"), ('\\"', '\\"')])
def test_a_row_of_backslashes_ends_where_it_does(run_import: Import, begin: str, end: str) -> None:
    """Lines within a cell that only backslashes hold together are no rows, whatever stands in them."""
    row = f'm1@example.org,"{begin}\nfake@example.org,x,9\nfake@example.org,x,8\n{end}",7223120301'
    done = run_import(f"{NOTES}{row}\nm2@example.org,plain,7223120302\n")
    assert sent(done) == [(6, "m2@example.org", "7223120302")]
    assert done.rejects == [(line, "unreadable_row") for line in range(2, 6)]


def test_a_mark_alone_behind_a_row_of_backslashes(run_import: Import) -> None:
    """A file that ends with a byte order mark ends there, also if its last lines have to be read twice."""
    done = run_import(NOTES + 'm1@example.org,plain,1\n\nm2@example.org,"\\"" x,2\n\ufeff')
    assert done.rejects[-1] == (4, "unreadable_row")


def test_backslashes_that_are_text(run_import: Import) -> None:
    """A cell that ends with a backslash is one where nothing else makes sense."""
    done = run_import(NOTES + 'm1@example.org,"C:\\",1\nm2@example.org,C:\\,2\nm3@example.org,plain,3\n')
    assert [shopid for _, _, shopid in sent(done)] == ["1", "2", "3"]


def test_a_line_break_without_quotes(run_import: Import) -> None:
    """Both halves of a torn row are rejected, with their lines; the rows around it are sent."""
    header = "customer_email,note,channel,destination\n"
    torn = "c9@example.org,likes tea\nand cake,email,friend9@example.org"
    done = run_import(f"{header}a@example.org,x,,\n{torn}\nb@example.org,x,,\n")
    assert done.emails == ["a@example.org", "b@example.org"]
    assert done.rejects == [(3, "unreadable_row"), (4, "unreadable_row")]
    assert "fewer cells than the header" in done.importer.warnings[0]


@pytest.mark.parametrize(
    ("rows", "rejects"),
    [
        # In the last cell, in the first one, beside a delimiter of the text.
        (["a@example.org,1,likes tea", "and cake", "b@example.org,2,x"], [(2, "doubtful_row"), (4, "doubtful_row")]),
        (["a@example.org,1,likes tea", "and cake", "b@example.org,2", "3,x"], [(2, "doubtful_row")]),
        (["a@example.org,1,x", "likes", "tea@example.org,2,x"], [(2, "doubtful_row"), (4, "doubtful_row")]),
        (["a@example.org,1", "and tea, cake,x", "b@example.org,2,x"], [(3, "doubtful_row")]),
    ],
)
def test_a_piece_that_has_all_cells(run_import: Import, rows: list[str], rejects: list[tuple[int, str]]) -> None:
    """A row beside a piece may be one itself, and is rejected as doubtful."""
    done = run_import("\n".join(["customer_email,customer_bhid,reference", *rows, "z@example.org,9,x", ""]))
    assert [reject for reject in done.rejects if reject[1] == "doubtful_row"] == rejects
    assert done.emails[-1] == "z@example.org"


def test_two_rows_that_quotes_join(run_import: Import) -> None:
    """Where quotes in the texts of two rows make them look like one, neither is sent, and each is rejected."""
    done = run_import('customer_email\tnote\tcustomer_shopid\nm1@example.org\t"oops\t1\nm2@example.org\t5"\t2\n')
    assert done.jobs == []
    assert done.rejects == [(2, "unreadable_row"), (3, "unreadable_row")]


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        # The closing quote of a note was cut off, and a later note is torn and ends in one.
        (
            "ok,note,customer_email,customer_shopid",
            ['yes,"Best,m0@example.org,10', "no,says", 'never",m1@example.org,11'],
        ),
        # So was a note of several lines: none of the lines is a row by itself.
        ("ok,note,customer_email,customer_shopid", ['yes,"a', "b,m0@example.org,10", "no,c", 'd",m1@example.org,11']),
        (
            "customer_email,note,customer_shopid",
            ['m1@example.org,"tea,1', "m2@example.org,plain,2", "m3@example.org,it is", '12",3'],
        ),
        ("customer_email,customer_shopid,note", ['m1@example.org,1,"tea', "m2@example.org,2,plain", 'cake"']),
        ("customer_email,sender,note", ['m1@example.org,x,"tea', "m2@example.org,An", 'na,cake"']),
        # A row amid the lines.
        ("ok,note,customer_email,customer_shopid", ['yes,"Best', "no,x,m1@example.org,10", 'never",m1@example.org,11']),
    ],
)
def test_rows_that_a_lost_quote_joins(run_import: Import, header: str, rows: list[str]) -> None:
    """Lines that look like one row, and have the delimiters of two or a later one that is a row, are rejected."""
    done = run_import("\n".join([header, *rows, ""]))
    assert done.jobs == []
    assert done.rejects == [(line, "unreadable_row") for line in range(2, 2 + len(rows))]


def test_the_rest_of_an_open_cell(run_import: Import) -> None:
    """The line after one that leaves a quote open is doubtful, also where both have the header's cells."""
    rows = ['7223120301,"we met Bob, Ann, Eve', "Joe, too,f1@example.org,Ann", "7223120302,x,,Bob", "7223120303,x,,Bob"]
    done = run_import("\n".join(["customer_shopid,note,destination,sender", *rows, ""]))
    assert [shopid for _, _, shopid in sent(done)] == ["7223120302", "7223120303"]
    assert done.rejects == [(2, "unreadable_row"), (3, "doubtful_row")]


def test_a_half_with_too_many_cells(run_import: Import) -> None:
    """The row after one of too many cells may be its other half."""
    rows = ["m1@example.org,Ann,likes a, b, c", "and d, e, f,1", "m4@example.org,S,z,4"]
    done = run_import("\n".join(["customer_email,sender,note,customer_shopid", *rows, ""]))
    assert done.emails == ["m4@example.org"]
    assert done.rejects == [(2, "unreadable_row"), (3, "doubtful_row")]


@pytest.mark.parametrize(
    "text",
    [
        'customer_email,"note,customer_shopid\nm1@example.org,ends",7223120301\nm2@example.org,plain,7223120302\n',
        'customer_email,customer_shopid,"note\nm1@example.org,1,x\nm2@example.org,2,"\nm3@example.org,3,y\n',
        '"customer_email\nm1@example.org"\nm2@example.org\n',
    ],
)
def test_a_header_that_takes_rows(run_import: Import, text: str) -> None:
    """A quote that the header leaves open is refused with its line where the next lines may be rows."""
    with pytest.raises(
        InputError, match=r"0\.csv: line 1: the header has a quote that is not closed in its row; close it"
    ):
        run_import(text)


def test_a_header_of_several_lines(run_import: Import) -> None:
    """Names of columns may have line ends."""
    done = run_import('customer_email,"What, if\nanything?",customer_shopid,ok\nm1@example.org,x,1,y\n')
    assert sent(done) == [(3, "m1@example.org", "1")]


@pytest.mark.parametrize(
    "row", ['"a" and "b",x,1', '"a, b" x,1', ' "a",x,1', '\u00a0"a, b",1', '"a",b",1', '",",a",1', '\\,",",1']
)
def test_quotes_that_csv_does_not_know(run_import: Import, row: str) -> None:
    """A quote within a cell in quotes, after a space, or without its other one costs its row, whatever the cells."""
    done = run_import(f"note,customer_email,customer_shopid\n{row}\nx,m2@example.org,2\n")
    assert done.emails == ["m2@example.org"]
    assert done.rejects == [(2, "unreadable_row")]


def test_quotes_that_are_text(run_import: Import) -> None:
    """In a row without quotes around cells a quote is a sign like others."""
    (job,) = run_import('customer_email,reference\nm1@example.org,5" pipe\n').jobs
    assert job.reference == '5" pipe'


def test_rejected_pieces_are_none_when_read_again(run_import: Import) -> None:
    """A piece of a row is no row of the rejects file either."""
    done = run_import("customer_email,note,channel\nc9@example.org,likes tea\nand cake,sms\n")
    again = run_import(done.importer.reject_files[0].read_text())
    assert again.jobs == []
    assert again.rejects == [(2, "unreadable_row"), (3, "unreadable_row")]


def test_doubtful_rows_stay_out_until_their_reason_is_deleted(run_import: Import) -> None:
    """A file of rejected rows that is run as it is sends no row whose cells may be another's, or are damaged."""
    rows = ["a@example.org,1,tea", "and cake", "b@example.org,2,x", "c@example.org,3,\0", "d@example.org,4,x"]
    header = "customer_email,customer_shopid,reference"
    other = ["customer_shopid,customer_email,reference", "5,e@example.org,x"]
    done = run_import("\n".join([header, *rows, *other, ""]))
    assert done.emails == ["d@example.org"]
    rejects = done.importer.reject_files[0].read_text()
    assert run_import(rejects).jobs == []
    fixed = rejects.replace("2,doubtful_row,", "2,,").replace("4,doubtful_row,", "4,,")
    assert run_import(fixed).emails == ["a@example.org", "b@example.org"]


@pytest.mark.parametrize(
    "again",
    ["customer_email,customer_shopid", "\ufeffCustomer_Email,customer_shopid", "CUSTOMER_EMAIL, Customer ShopID "],
)
def test_repeated_header(run_import: Import, again: str) -> None:
    """The header amid the rows is no row, whatever its case and blanks."""
    done = run_import(f"customer_email,customer_shopid\na@example.org,1\n{again}\nb@example.org,2\n")
    assert [shopid for _, _, shopid in sent(done)] == ["1", "2"]
    assert done.rejects == [(3, "repeated_header")]


def test_another_header(run_import: Import) -> None:
    """Rows after a header of other columns are rejected until the file's own returns."""
    own, other = "customer_email,customer_shopid,note", "customer_shopid,customer_email,note"
    done = run_import("\n".join([own, "a@example.org,1,", other, "2,b@example.org,", own, "c@example.org,3,", ""]))
    assert [shopid for _, _, shopid in sent(done)] == ["1", "3"]
    assert done.rejects == [(3, "other_columns"), (4, "other_columns"), (5, "repeated_header")]
    (warning,) = done.importer.warnings
    assert warning.endswith("(first in line 3)")


def test_a_header_of_another_order_and_case(run_import: Import) -> None:
    """It is one of other columns, so that no name is sent as an id, and no cell of the rows after it."""
    rows = [
        "ShopID,Sender",
        "7223120301,Ann",
        "SHOPID,SENDER",
        "7223120302,Bob",
        "SENDER,SHOPID",
        "Carl,7223120303",
        "",
    ]
    done = run_import("\n".join(rows), mapping={"customer_shopid": "ShopID"})
    assert [shopid for _, _, shopid in sent(done)] == ["7223120301", "7223120302"]
    assert done.rejects == [(3, "repeated_header"), (5, "other_columns"), (6, "other_columns")]


def test_a_customer_named_as_a_column(run_import: Import) -> None:
    """One cell that is a column's name is no header of other columns."""
    done = run_import("customer_shopid,note\nnote,x\n2,y\n")
    assert [shopid for _, _, shopid in sent(done)] == ["2"]
    assert done.rejects == [(2, "repeated_header")]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "\ufeffsep=;", "\ufeff\ufeffsep=;"])
def test_first_line_of_excel(run_import: Import, first: str) -> None:
    """A line that states the delimiter is not the header."""
    done = run_import(f"{first}\r\ncustomer_email;customer_shopid\r\na@example.org;1\r\n")
    assert sent(done) == [(3, "a@example.org", "1")]


def test_any_delimiter_that_the_file_tells(run_import: Import) -> None:
    """An unusual delimiter needs a first line that states it, as the error says."""
    rows = "customer_email^customer_shopid\na@example.org^1\n"
    with pytest.raises(UsageError, match=r"start the file with a line sep=X$"):
        run_import(rows)
    assert sent(run_import(f"sep=^\n{rows}")) == [(3, "a@example.org", "1")]


def test_the_delimiter_is_the_one_that_fits(run_import: Import) -> None:
    """Delimiters in the names of columns don't outvote the one that gives the columns which are looked for."""
    done = run_import("customer_email;tags, of, all, kinds;customer_shopid\na@example.org;x;1\n")
    assert sent(done) == [(2, "a@example.org", "1")]
    done = run_import("customer_email;note, or;x,customer_bhid\na@example.org;b;c\n")
    assert done.emails == ["a@example.org"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_two_byte_order_marks(run_import: Import, encoding: str) -> None:
    """A file that was saved twice with a mark is read, its first cell in quotes included."""
    done = run_import('\ufeff\ufeff"customer_email","note"\n"a@example.org","x"\n'.encode(encoding))
    assert done.emails == ["a@example.org"]


def test_a_row_tells_its_physical_lines(tmp_path: Path) -> None:
    """Whoever writes a row's bytes must know where it ends; lines that may be one row tell that they may."""
    path = tmp_path / "spring.csv"
    path.write_text('customer_email,note\na@example.org,"two\nlines"\nb@example.org,x\n"c@example.org,\nd"d,\n')
    source = Source(PlainFile(path), None, ImportWarnings())
    export = DelimitedExport(source, Recognition({}, [], has_shop=True, channel="sms"))
    assert [(record.line, record.lines) for record in export.records()] == [(2, 2), (4, 1), (5, 1), (6, 1)]
    assert (export.dialect.first, export.dialect.height, export.dialect.headless) == (1, 1, False)


def test_a_column_may_have_a_long_name(run_import: Import) -> None:
    """A question of a form may be a column; no bound of the csv module stands for its quotes."""
    assert run_import(f"customer_email,{'why ' * 50_000}\none@example.com,\n").emails == ["one@example.com"]


def test_a_header_without_end_is_refused(run_import: Import) -> None:
    """Its length is named, and not its encoding."""
    with pytest.raises(InputError, match=r"line 1: the header is longer than 1,048,576 characters; leave columns out"):
        run_import(f"customer_email,{'x' * 2_000_000}\none@example.com,\n")
