"""Tables as spreadsheets, databases and editors write them, with the mistakes that these make."""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.making import PATIENT
from worker.campaigns.containers.plain import PlainFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.options import ImportOptions

COLUMNS = ["customer_email", "customer_shopid", "sender", "reference", "note"]
FREE = ("sender", "reference", "note")
LINE_END = re.compile(r"\r\n|\r|\n")

Row = dict[str, str]
Write = Callable[[Sequence[str], str], str]
"""Cells and delimiter to the text of a row, without its line end."""


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def proper(cells: Sequence[str], sign: str) -> str:
    """As the standard says."""
    return sign.join(quoted(cell) if re.search(rf'[{re.escape(sign)}"\r\n]', cell) else cell for cell in cells)


def all_quoted(cells: Sequence[str], sign: str) -> str:
    return sign.join(map(quoted, cells))


def backslashes(cells: Sequence[str], sign: str) -> str:
    """As Spark and many scripts write quotes."""
    return sign.join('"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"' for cell in cells)


def backslashed(cells: Sequence[str], sign: str) -> str:
    """As MySQL and PostgreSQL write files for themselves."""
    return sign.join(re.sub(rf"([\\{sign}\r\n])", r"\\\1", cell) for cell in cells)


def bare(cells: Sequence[str], sign: str) -> str:
    """As a program that knows no quotes."""
    return sign.join(cells)


def single_quoted(cells: Sequence[str], sign: str) -> str:
    return sign.join(f"'{cell}'" for cell in cells)


def spaced(cells: Sequence[str], sign: str) -> str:
    return f"{sign} ".join(map(quoted, cells))


def curled(cells: Sequence[str], sign: str) -> str:
    """As a word processor corrects it."""
    return sign.join(f"“{cell}”" for cell in cells)


STYLES: list[Write] = [proper, all_quoted, backslashes, backslashed, bare, single_quoted, spaced, curled]
GUARDED: list[Write] = [proper, all_quoted, backslashes]
"""Those that can have one more mistake; two that cancel each other out can't be seen."""

UNGUARDED = (backslashed, bare, single_quoted, curled)
"""Those in which a delimiter or a line end in a cell is none of its text."""


@dataclass(frozen=True)
class Table:
    """What the file is, which rows were meant, and in which lines each of them stands."""

    text: str
    rows: Sequence[Row]
    lines: Sequence[Sequence[int]]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """What people type: quotes, delimiters, line ends, backslashes."""
    parts = st.sampled_from(["tea", "x", " ", '"', '""', "'", "\\", ",", ";", "\n", "\r\n", "\r", "é", "=", "7"])
    return "".join(draw(st.lists(parts, max_size=6)))


@st.composite
def mistaken(draw: st.DrawFn, raw: str, cells: Sequence[str], sign: str) -> str:
    """A row with one more mistake, of its own."""
    kind = draw(st.sampled_from(["stray", "lost", "torn", "longer", "shorter", "nul", "glued"]))
    place = draw(st.integers(0, max(0, len(raw) - 1)))
    if kind == "stray":
        return raw[:place] + '"' + raw[place:]
    if kind == "lost":
        quotes = [found.start() for found in re.finditer('"', raw)]
        assume(quotes)
        place = draw(st.sampled_from(quotes))
        return raw[:place] + raw[place + 1 :]
    if kind == "torn":
        # What is cut in its last cell looks like a shorter text.
        return raw[: min(place, raw.rfind(sign))]
    if kind == "nul":
        return raw[:place] + "\0" + raw[place:]
    index = draw(st.integers(0, len(cells) - 1))
    if kind == "longer":
        return proper([*cells[:index], draw(st.sampled_from(["", "more"])), *cells[index:]], sign)
    if kind == "shorter":
        return proper([*cells[:index], *cells[index + 1 :]], sign)
    # Twice without a line end in between; with one within, the end of the first may pass for a whole row.
    assume(not LINE_END.search(raw))
    return raw + raw


@st.composite
def half_quoted(draw: st.DrawFn, row: Row, columns: Sequence[str], sign: str, kind: str) -> str:
    """A row of which a text lost its closing quote, or its opening one beside a line break: both in a table join rows.

    The text has no delimiter, since with some its pieces have all cells of a row.
    """
    name = draw(st.sampled_from(FREE))
    words = draw(
        st.sampled_from(["tea", "a\nb", "12\nx", "\n", "é\n\n7"] if kind == "ended" else ["tea", "a\nb", "x y"])
    )
    row[name] = words
    for other in FREE:
        if other != name:
            row[other] = plain(row[other]).replace(sign, "")
    return sign.join(
        {"opened": f'"{words}', "ended": f'{words}"'}[kind] if column == name else row[column] for column in columns
    )


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Rows of different customers in one style, some of them with a mistake or a style of their own."""
    columns = draw(st.permutations(COLUMNS))
    sign = draw(st.sampled_from([",", ";", "\t", "|"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r", "\r\r\n", "\n\n"]))
    style = draw(st.sampled_from(STYLES))
    header = draw(st.sampled_from([proper, all_quoted]))(columns, sign)
    text = draw(st.sampled_from(["", "\ufeff", "\ufeff\ufeff"]))
    if draw(st.booleans()):
        text += f"sep={sign}{end}"
    text += header + end
    # Beside rows with other mistakes, an open quote can take a piece of one and nobody can know.
    halves = draw(st.integers(0, 3)) == 0
    style = draw(st.sampled_from([proper, all_quoted])) if halves else style
    rows: list[Row] = []
    lines: list[Sequence[int]] = []
    for number in range(draw(st.integers(1, 6))):
        row = {"customer_email": f"m{number}@example.org", "customer_shopid": f"72231{number:05}"}
        row |= {name: draw(texts()) for name in FREE}
        cells = [row[name] for name in columns]
        write = style if halves else draw(st.sampled_from([style, style, style, *STYLES]))
        if write in UNGUARDED:
            # With more, pieces of the row are rows, and nobody can know.
            assume(sum(cell.count(sign) for cell in cells) < len(columns) - 2)
        raw = write(cells, sign)
        if halves:
            if pair := draw(st.sampled_from(["", "opened", "ended"])):
                raw = draw(half_quoted(row, columns, sign, pair))
        elif draw(st.integers(0, 3)) == 0:
            raw = draw(mistaken(draw(st.sampled_from(GUARDED))(cells, sign), cells, sign))
        if draw(st.integers(0, 7)) == 0:
            text += draw(st.sampled_from([header, "\ufeff" + header])) + end
        first = len(LINE_END.findall(text)) + 1
        text += raw + end
        # Of a row of which nothing is left there is nothing to say.
        if plain(raw).strip(sign):
            rows.append(row)
            lines.append(range(first, len(LINE_END.findall(text)) + 1))
    return Table(text, rows, lines)


def plain(text: str) -> str:
    """A text without what it may be written with."""
    return re.sub(r"[\s\"'\\“”\0]", "", text)


@given(tables(), st.sampled_from(["utf-8", "utf-16"]))
@PATIENT
def test_each_row_is_sent_as_it_is_or_rejected_with_its_line(table: Table, encoding: str) -> None:
    """Whatever mistakes a table has, no job has a cell of another row or column, and no row vanishes."""
    with tempfile.TemporaryDirectory() as folder, JobIndex() as index:
        path = Path(folder, "a.csv")
        path.write_bytes(table.text.encode(encoding))
        options = ImportOptions(shop="acme", campaign="spring", channel="sms")
        importer = Importer([PlainFile(path)], options, index=index, published_at=None, allowed_shops=None)
        jobs = list(importer)
        rejects = {
            int(line.partition(",")[0]) for file in importer.reject_files for line in file.read_text().splitlines()[1:]
        }
    sent = set()
    for job in jobs:
        of = [number for number, lines in enumerate(table.lines) if job.line in lines]
        assert len(of) == 1
        row = table.rows[of[0]]
        sent.add(of[0])
        assert job.customer.email in (row["customer_email"], None)
        assert job.customer.shopid in (row["customer_shopid"], None)
        assert plain(job.sender or "") == plain(row["sender"])
        assert plain(job.reference or "") == plain(row["reference"])
    for number, lines in enumerate(table.lines):
        assert number in sent or not rejects.isdisjoint(lines)
