"""Finds out how a delimited export is written: its delimiter and its header."""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from worker.campaigns.csv_escaping import is_ours, unescape_cells
from worker.campaigns.exports.cells import may_be_several
from worker.campaigns.exports.text import MAX_ROW, Lines, OverlongRowError, Source
from worker.campaigns.presets.recognition import Recognition
from worker.errors import InputError, UsageError

DELIMITERS = (",", ";", "\t", "|")

_SEPARATOR = re.compile(r'"?sep=([^\w"\r\n])"?[,;\t|]*\s*', re.IGNORECASE)
"""The first line by which Excel states the delimiter."""

_SAMPLE_LINES = 200
_SAMPLE_CHARACTERS = 1024 * 1024
"""The first lines, by which the delimiter is chosen: whichever bound is reached first."""


class Dialect(NamedTuple):
    """How a file is written. ``columns`` are spelled as in the header, which starts in line ``first``.

    ``ours``: the file is one of our own, of rejected rows or of results. ``headless``: line ``first`` is a row, and the
    columns have the names that the preset gives them. ``height`` is how many lines the header has.
    """

    delimiter: str
    columns: Sequence[str]
    first: int
    ours: bool
    headless: bool
    height: int


class _Table(NamedTuple):
    """The sample taken apart by one delimiter; ``height`` is the number of lines of the header."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    height: int

    def agreement(self) -> float:
        """The share of rows that have as many cells as the header."""
        return sum(len(row) == len(self.header) for row in self.rows) / max(1, len(self.rows))


def read_dialect(source: Source, recognition: Recognition) -> Dialect:
    """How the file is written, judged by its header and first rows.

    Among the delimiters that give the columns we look for, the one that splits most rows like the header is chosen.

    Raises:
      InputError: the file can't be read or isn't text.
      UsageError: it is empty, or the header can't be used.
    """
    name = source.file.name
    with source.lines() as lines:
        first, given, sample = _sample(name, lines)
    # Names with a delimiter in them must not outvote the delimiter that gives the columns, so all are tried.
    tables = {delimiter: _table(sample, delimiter) for delimiter in ([given] if given else DELIMITERS)}
    fitting = {delimiter: table for delimiter, table in tables.items() if _fits(source, recognition, table.header)}
    delimiter = max(
        fitting or tables,
        key=lambda delimiter: (tables[delimiter].agreement() if fitting else 0, len(tables[delimiter].header)),
    )
    table = tables[delimiter]
    if not table.header:
        raise InputError(
            f"{name}: line {first}: the header's quotes can't be read; write the header as plain column names"
        )
    # A header over several lines is allowed in CSV, but an open quote would swallow the first rows.
    if may_be_several(sample[: table.height], delimiter, len(table.header)):
        raise InputError(
            f"{name}: line {first}: the header has a quote that is not closed in its row; close it, or write the "
            "column names in one line"
        )
    if preset := recognition.headerless(source.file, table.header):
        return Dialect(delimiter, preset.header(len(table.header)), first, ours=False, headless=True, height=0)
    ours = is_ours(table.header)
    columns = unescape_cells(table.header) if ours else table.header
    return Dialect(delimiter, columns, first, ours, headless=False, height=table.height)


def _sample(name: str, lines: Lines) -> tuple[int, str | None, Sequence[str]]:
    """The line where the header starts, the delimiter that the file states, and its first lines.

    Raises:
      InputError: the header isn't text.
      UsageError: the file is empty.
    """
    first, given = 0, None
    sample: list[str] = []
    characters = 0
    for text in _texts(lines):
        if not sample and not text.strip():
            continue
        # Only before the header: later such a line would be a row.
        separator = None if sample or given else _SEPARATOR.fullmatch(text)
        if separator:
            given = separator[1]
            continue
        if not sample:
            first = lines.number
            if len(text) > _SAMPLE_CHARACTERS:
                raise InputError(
                    f"{name}: line {first}: the header is longer than {_SAMPLE_CHARACTERS:,} characters; leave columns "
                    "out of the export"
                )
            if lines.damaged:
                raise InputError(f"{name}: the header can't be read as text; save the export as CSV in UTF-8")
        sample.append(text)
        characters += len(text)
        if len(sample) == _SAMPLE_LINES or characters > _SAMPLE_CHARACTERS:
            break
    if not sample:
        raise UsageError(f"{name}: is empty; the first line must name the columns")
    return first, given, sample


def _texts(lines: Lines) -> Iterator[str]:
    """The physical lines; of one that is too long, its start."""
    while True:
        lines.begin()
        try:
            yield next(lines)
        except StopIteration:
            return
        except OverlongRowError:
            yield lines.keep(1)[0]


def _table(sample: Sequence[str], delimiter: str) -> _Table:
    """The sample taken apart by this delimiter."""
    # As RowReader does; a name may be as long as any cell.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))
    rows: list[list[str]] = []
    height = 0
    reader = csv.reader(sample, delimiter=delimiter, strict=True)
    # A row that can't be read, or that continues after the sample, ends the table. The rows before are enough.
    with suppress(csv.Error):
        rows.append(next(reader))
        height = reader.line_num
        rows.extend(filter(None, reader))
    return _Table(rows[0] if rows else (), [row for row in rows[1:] if any(map(str.strip, row))], height)


def _fits(source: Source, recognition: Recognition, header: Sequence[str]) -> bool:
    """Whether the header has the columns that we look for."""
    ours = is_ours(header)
    try:
        recognition.match(source.file, unescape_cells(header) if ours else header, unique=True, ours=ours)
    except UsageError:
        return False
    return True
