"""What programs that write CSV write is read back the same, or left out: never otherwise."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.exports.base import Record
from worker.campaigns.exports.detect import open_export
from worker.campaigns.exports.text import Source
from worker.campaigns.presets.recognition import Recognition
from worker.campaigns.warnings import ImportWarnings

Table = list[list[str]]
Writer = Callable[[Table], str]


def by_csv_module(**dialect: Any) -> Writer:
    """Writes as Python's csv module does in a dialect."""

    def written(table: Table) -> str:
        text = io.StringIO(newline="")
        csv.writer(text, **dialect).writerows(table)
        return text.getvalue()

    return written


def by_libreoffice(delimiter: str = ",", line_end: str = "\n", *, quote_all_text: bool = False) -> Writer:
    """Writes as LibreOffice Calc saves a sheet of texts as CSV.

    By its source (`ScDocShell::AsciiSave` in sc/source/ui/docshell/docsh.cxx): a text is quoted if it has the quote,
    the delimiter, a line feed or a carriage return, or if "Quote all text cells" is ticked; a cell without content is
    written as nothing even then. Lines end as the system's do.
    """

    def cell(text: str) -> str:
        quoted = text and (quote_all_text or any(sign in text for sign in ('"', delimiter, "\n", "\r")))
        return f'"{text.replace(chr(34), chr(34) * 2)}"' if quoted else text

    return lambda table: "".join(delimiter.join(map(cell, row)) + line_end for row in table)


QUOTED_WHERE_NEEDED: dict[str, Writer] = {
    # Python's documentation of csv: the registered dialects `excel` and `excel-tab` end lines with \r\n and quote only
    # where it is needed. Excel itself writes so too, with `;` where the decimal sign is a comma.
    "excel": by_csv_module(dialect="excel"),
    "excel-tab": by_csv_module(dialect="excel-tab"),
    "excel ;": by_csv_module(dialect="excel", delimiter=";"),
    # pandas' documentation of DataFrame.to_csv: sep "," (others are often given), QUOTE_MINIMAL, doublequote, and
    # os.linesep, which is \r\n on Windows. The writer is the csv module's.
    "pandas on Windows": by_csv_module(lineterminator="\r\n"),
    "pandas on Windows |": by_csv_module(lineterminator="\r\n", delimiter="|"),
    "LibreOffice": by_libreoffice(),
    "LibreOffice on Windows": by_libreoffice(";", "\r\n"),
    "LibreOffice tab": by_libreoffice("\t"),
    "LibreOffice texts": by_libreoffice(quote_all_text=True),
}

ALL_QUOTED: dict[str, Writer] = {
    # Python's documentation of csv: `unix` ends lines with \n and quotes all cells.
    "unix": by_csv_module(dialect="unix"),
    "unix ;": by_csv_module(dialect="unix", delimiter=";"),
    # pandas' documentation: quoting=csv.QUOTE_ALL, or QUOTE_NONNUMERIC, which is the same for texts.
    "pandas all": by_csv_module(lineterminator="\r\n", quoting=csv.QUOTE_ALL),
    "pandas texts": by_csv_module(lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC, delimiter="\t"),
}

PANDAS_ON_LINUX = by_csv_module(lineterminator="\n")
"""With that line end the csv module of Python 3.11 leaves a cell with a lone carriage return without quotes."""

CODES: dict[str, tuple[str | None, str]] = {
    # How it is written, what `--encoding` names, and texts that it can hold.
    "utf-8": (None, "éß€日本 \u00a0\u2028\x0b\x0c\x85\U0001f600"),
    "utf-8-sig": (None, "éß€日本 \u00a0\u2028"),
    "utf-16": (None, "éß€日本 \u00a0\u2028\U0001f600"),
    "utf-32": (None, "éß€日本\U0001f600"),
    # Letters as names have them. A capital with a sign behind it, such as Ã©, may be UTF-8 as well.
    "cp1252": (None, "éßüñøåç"),
    "utf-16-le": ("utf-16-le", "éß€日本\u2028"),
    "utf-16-be": ("utf-16-be", "éß€日本\u2028"),
    "cp1250": ("cp1250", "čřžőłé€"),
    "cp1251": ("cp1251", "Привет№"),
    "cp932": ("cp932", "日本ソ表ｱ"),
    "gb18030": ("gb18030", "中文€é"),
    "utf-8 ": ("utf-8", "éß€日本\u2028"),
}

FEWER = settings(max_examples=15)
"""For a test that runs once for each of a dozen dialects or encodings."""

ORDINARY = [
    "a",
    "b c",
    "7223120008",
    "'",
    "''",
    '"',
    '""',
    '5" pipe',
    "x,y",
    " ",
    "=1+1",
    "-",
    "#",
    "[",
    "{",
    "NULL",
    "\\N",
]
DELIMITERS = [",", ";", "\t", "|", "sep=;"]
LINE_ENDS = ["\n", "\r\n", "\r"]


def cells(pieces: Sequence[str]) -> st.SearchStrategy[str]:
    """Texts that are put together from pieces; also empty ones."""
    return st.lists(st.sampled_from(pieces), max_size=4).map("".join)


@st.composite
def tables(draw: st.DrawFn, pieces: Sequence[str], *, fewest: int = 1) -> Table:
    """A header and rows, with a column of addresses anywhere; names and texts are put together from pieces."""
    width = draw(st.integers(fewest, 6))
    place = draw(st.integers(0, width - 1))
    names = st.sampled_from(["", "note", "note", "Total, net", "a;b", 'the "one"', "Straße", " tags "])
    header = [draw(names) if column != place else "customer_email" for column in range(width)]
    rows = draw(st.lists(st.lists(cells(pieces), min_size=width, max_size=width), min_size=1, max_size=5))
    for number, row in enumerate(rows):
        row[place] = f"customer-{number}@example.com"
    return [header, *rows]


def read(folder: Path, content: bytes, encoding: str | None = None) -> list[Record]:
    """The records of an export with these bytes."""
    path = folder / "export.csv"
    path.write_bytes(content)
    recognition = Recognition({}, (), has_shop=True, channel="whatsapp")
    return list(open_export(Source(PlainFile(path), encoding, ImportWarnings()), recognition).records())


def assert_same(records: list[Record], table: Table) -> None:
    """Every row of the table was read as it is, and no other."""
    assert [list(record.cells) for record in records] == table[1:]
    assert all(record.values for record in records)


def assert_nothing_else(records: list[Record], table: Table) -> None:
    """What was read as a row is a row of the table. Trailing carriage returns can't be told from the line's end."""
    rows = [[cell.strip() for cell in row] for row in table[1:]]
    assert all([cell.strip() for cell in record.cells] in rows for record in records if record.values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the exports, one after the other."""
    return tmp_path_factory.mktemp("exports")


@pytest.mark.parametrize("writer", [*QUOTED_WHERE_NEEDED, *ALL_QUOTED])
@FEWER
@given(table=tables([*ORDINARY, *DELIMITERS, *CODES["utf-8"][1]]))
def test_rows_of_one_line_are_read_back(folder: Path, writer: str, table: Table) -> None:
    """Whatever texts of one line a program writes in its dialect come back as they were."""
    written = (QUOTED_WHERE_NEEDED | ALL_QUOTED)[writer](table)
    assert_same(read(folder, written.encode()), table)


@pytest.mark.parametrize("code", CODES)
@FEWER
@given(data=st.data(), writer=st.sampled_from([*QUOTED_WHERE_NEEDED, *ALL_QUOTED]))
def test_every_encoding_is_read_back(folder: Path, code: str, data: st.DataObject, writer: str) -> None:
    """So do they in each encoding, found by itself or named."""
    named, letters = CODES[code]
    table = data.draw(tables([*ORDINARY, *DELIMITERS, *letters]))
    table[0] = [name.replace("Straße", "street") for name in table[0]]
    written = (QUOTED_WHERE_NEEDED | ALL_QUOTED)[writer](table)
    assert_same(read(folder, written.encode(code), named), table)


@pytest.mark.parametrize("writer", ALL_QUOTED)
@FEWER
@given(table=tables([*ORDINARY[:7], "b", *LINE_ENDS, "x,y\nz", "é"], fewest=2))
def test_texts_of_several_lines_are_read_back_if_all_is_quoted(folder: Path, writer: str, table: Table) -> None:
    """Where every cell is quoted, texts may have line ends wherever they stand."""
    for row in table[1:]:
        # A quote beside a delimiter or a line end may be another row's: see the next test.
        row[:] = [cell.replace('"', "”") for cell in row]
    assert_same(read(folder, ALL_QUOTED[writer](table).encode()), table)


@pytest.mark.parametrize("writer", ALL_QUOTED)
@FEWER
@given(data=st.data(), table=tables(["", "a", ",", '"', "\n", '","', '\n"', '",'], fewest=2))
def test_a_quote_too_many_or_too_few_joins_no_rows(
    folder: Path, writer: str, data: st.DataObject, table: Table
) -> None:
    """Where every cell is quoted, a damaged quote may cost rows, but none is read that is about two people."""
    written = ALL_QUOTED[writer](table)
    rows = written.index("customer-0@example.com")
    quotes = [place for place, sign in enumerate(written) if sign == '"' and place > rows]
    place = data.draw(st.sampled_from(quotes))
    damaged = written[:place] + data.draw(st.sampled_from(["", '""'])) + written[place + 1 :]
    for record in read(folder, damaged.encode()):
        if record.values:
            told = "".join(record.cells)
            assert sum(f"customer-{number}@" in told for number, _ in enumerate(table[1:])) <= 1


@pytest.mark.parametrize("writer", QUOTED_WHERE_NEEDED)
@FEWER
@given(data=st.data(), text=cells(["a", "b c", "'", "é", " ", *LINE_ENDS]))
def test_a_note_of_several_lines_is_read_back(folder: Path, writer: str, data: st.DataObject, text: str) -> None:
    """Where quotes stand only where needed, a text behind the first column may have line ends but no delimiters."""
    table = data.draw(tables(ORDINARY[:4], fewest=2))
    table[0][0], table[0][1:] = "customer_email", [f"note {column}" for column, _ in enumerate(table[0][1:])]
    for number, row in enumerate(table[1:]):
        row[0] = f"customer-{number}@example.com"
        row[1:] = [cell.replace('"', "") for cell in row[1:]]
        row[-1] = text
    assert_same(read(folder, QUOTED_WHERE_NEEDED[writer](table).encode()), table)


@pytest.mark.parametrize("writer", [*QUOTED_WHERE_NEEDED, *ALL_QUOTED, "pandas on Linux"])
@FEWER
@given(table=tables([*ORDINARY, *DELIMITERS, *LINE_ENDS, 'Hi, "you"\nthere', "\\", '\\"', "é"]))
@example(table=[["customer_email", "note"], ["customer-0@example.com", "a\rb"], ["customer-1@example.com", ""]])
@example(table=[["note", "customer_email"], ["a,\\", "customer-0@example.com"], ['"', "customer-1@example.com"]])
def test_any_other_text_is_read_back_or_left_out(folder: Path, writer: str, table: Table) -> None:
    """Whatever the texts are, no row comes back as another one, and none is gone."""
    every = QUOTED_WHERE_NEEDED | ALL_QUOTED | {"pandas on Linux": PANDAS_ON_LINUX}
    records = read(folder, every[writer](table).encode())
    assert_nothing_else(records, table)
    told = "\n".join(cell for record in records for cell in record.cells)
    assert all(f"customer-{number}@example.com" in told for number, _ in enumerate(table[1:]))


@given(table=tables([*ORDINARY, *DELIMITERS, "é"]), sign=st.sampled_from(";,\t|^~:"))
def test_a_first_line_states_the_delimiter(folder: Path, table: Table, sign: str) -> None:
    """As Excel does, `sep=` in front of the header names any delimiter."""
    written = f"sep={sign}\r\n" + by_csv_module(dialect="excel", delimiter=sign)(table)
    assert_same(read(folder, written.encode()), table)
