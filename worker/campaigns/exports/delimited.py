"""Exports with a header line and a delimiter: CSV and its relatives."""

import csv
from collections.abc import Iterator, Sequence
from operator import itemgetter

from worker.campaigns.columns import ColumnMatcher, normalized
from worker.campaigns.csv_escaping import REJECTS, unescape_cells
from worker.campaigns.exports.base import FIELDS, Record, Values
from worker.campaigns.exports.cells import Flaw, Row, RowReader
from worker.campaigns.exports.dialect import DELIMITERS, read_dialect
from worker.campaigns.exports.text import Lines, Source
from worker.campaigns.exports.torn import is_blank, settled
from worker.campaigns.rejects_file import RejectReason
from worker.errors import UsageError

_A_HEADER = 2
"""Names of columns by which a row is known for a header, and not for one in which a customer has such a name."""

_STAYS: tuple[RejectReason, ...] = ("doubtful_row", "unreadable_row", "other_columns")
"""Reasons by which a row of a file of rejected rows may have the cells of another, or damaged ones."""

_SAID: dict[Flaw, str] = {
    "short": "have fewer cells than the header, like the pieces of a row torn by a line break; if a spreadsheet left "
    "off empty cells, fill the last column",
    "long": "have more cells than the header; put quotes around cells that hold a delimiter, or end the header with a "
    "delimiter if each row ends with one",
    "quotes": "have quotes that CSV does not allow: quotes belong around a whole cell, and are doubled within it",
    "backslash": "escape quotes with a backslash, which CSV has no rule for; make the exporting program double them",
}


class DelimitedExport:
    """A CSV file: delimiter, header and columns understood when it is made.

    A row has as many cells as the header, neither fewer nor more: what is shifted or torn is unreadable, since an
    address would be read from another column or row. Rejected rows and results of ours are read as what their cells
    were before they were made harmless for spreadsheets. A rejected row whose cells may be wrong stays out as long as
    its reason stands there.
    """

    def __init__(self, source: Source, matcher: ColumnMatcher) -> None:
        """Reads the header and the first rows.

        Raises:
          InputError: the file can't be read or isn't text.
          UsageError: the header can't be understood.
        """
        self._source = source
        self.path = source.path
        self._dialect = read_dialect(source, matcher)
        self.columns = self._dialect.columns
        try:
            self._places = matcher.match(self.path, self.columns, unique=True)
        except UsageError as error:
            if len(self.columns) > 1:
                raise
            known = " ".join(DELIMITERS).replace("\t", "tab")
            raise UsageError(f"{error}; for another delimiter than {known}, start the file with a line sep=X") from None
        self._fields = (*FIELDS, *matcher.consent)
        self._header = [normalized(name) for name in self.columns]
        self._names = {name for name in (*self._header, *map(normalized, FIELDS)) if name}

    def records(self) -> Iterator[Record]:
        """The rows after the header; see :class:`~worker.campaigns.exports.base.Export`."""
        delimiter, columns, _, ours = self._dialect
        width = len(columns)
        # A row gets one empty cell more, which is what a field without a column points at.
        pick = itemgetter(*(self._places.get(field, width) for field in self._fields))
        own = len(FIELDS)
        rejects = tuple(columns[: len(REJECTS)]) == REJECTS
        elsewhere = False
        last: Row | None = None
        with self._source.lines() as lines:
            self._skip_header(lines)
            rows = RowReader(lines, delimiter, width).rows()
            for row, doubtful in ((row, False) for row in rows) if ours else settled(rows, width):
                line, cells, _, flaw, _ = last = row
                if flaw or doubtful:
                    yield from self._rejected(row, doubtful=doubtful)
                    continue
                if ours:
                    cells = unescape_cells(cells)
                    stays = next((reason for reason in _STAYS if rejects and reason == cells[1].strip()), None)
                    if stays:
                        yield Record(line, None, cells, stays)
                        continue
                picked = tuple(map(str.strip, pick((*cells, ""))))
                # An address or a number is no name of a column, and costs nothing here.
                if any(
                    cell and "@" not in cell and not cell.isdecimal() and normalized(cell) in self._names
                    for cell in picked[:3]
                ):
                    header = self._header_in(cells)
                    elsewhere = header == "other_columns"
                    if elsewhere:
                        self._say("other_columns", "follow a header with other columns than the file's", line)
                    yield Record(line, None, cells, header)
                elif elsewhere:
                    yield Record(line, None, cells, "other_columns")
                elif any(picked) or any(map(str.strip, cells)):
                    yield Record(line, Values._make((*picked[:own], picked[own:])), cells)
        if last is not None and not last.flaw:
            self._say_open(last)

    def _say_open(self, row: Row) -> None:
        used = len(self.columns) - 1 in self._places.values()
        if used and row.texts[-1][-1] not in "\r\n" and row.cells[-1].strip():
            said = f"line {row.line} is the last and has no line end; if the file was cut off, so was its last cell"
            self._source.warnings.once(f"open {self.path}", f"{self.path}: {said}")

    def _skip_header(self, lines: Lines) -> None:
        for _ in range(self._dialect.first - 1):
            lines.begin()
            next(lines)
        lines.begin()
        next(csv.reader(lines, delimiter=self._dialect.delimiter, strict=True))

    def _rejected(self, row: Row, *, doubtful: bool) -> Iterator[Record]:
        if is_blank(row):
            return
        reason: RejectReason = "doubtful_row" if doubtful and not row.flaw else "unreadable_row"
        if row.flaw == "damaged" or (reason == "doubtful_row" and len(row.texts) == 1):
            yield Record(row.line, None, row.cells, reason)
            return
        if row.flaw and row.flaw in _SAID:
            self._say(row.flaw, _SAID[row.flaw], row.line)
        if self._dialect.ours and row.cells:
            yield Record(row.line, None, unescape_cells(row.cells))
            return
        # Each line by itself: there may be a row in any of them.
        for line, text in enumerate(row.texts, row.line):
            if text.strip():
                yield Record(line, None, [text.rstrip("\r\n")], reason)

    def _say(self, kind: str, text: str, line: int) -> None:
        said = f"{self.path}: rows are left out that {text} (first in line {line})"
        self._source.warnings.once(f"{kind} {self.path}", said)

    def _header_in(self, cells: Sequence[str]) -> RejectReason:
        """What a row is in which a customer has the name of a column: a header of the same columns, or of others."""
        names = [normalized(cell) for cell in cells]
        known = sum(name in self._header for name in names if name)
        same = all(names[place] == self._header[place] for place in self._places.values())
        return "repeated_header" if same or known < _A_HEADER else "other_columns"
