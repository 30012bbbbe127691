"""Exports with a header line and a delimiter: CSV and its relatives."""

import csv
from collections.abc import Iterator

from worker.campaigns.csv_escaping import unescape_cells
from worker.campaigns.exports.base import Format, Record
from worker.campaigns.exports.cells import Flaw, Row, RowReader
from worker.campaigns.exports.dialect import DELIMITERS, read_dialect
from worker.campaigns.exports.table_rows import TableRows
from worker.campaigns.exports.text import Lines, Source
from worker.campaigns.exports.torn import is_blank, with_doubts
from worker.campaigns.presets.recognition import Recognition
from worker.campaigns.reject_reasons import RejectReason
from worker.errors import UsageError

_WARNINGS: dict[Flaw, str] = {
    "short": "have fewer cells than the header, like the pieces of a row torn by a line break; if a spreadsheet left "
    "off empty cells, fill the last column",
    "long": "have more cells than the header; put quotes around cells that hold a delimiter, or end the header with a "
    "delimiter if each row ends with one",
    "quotes": "have quotes that CSV does not allow: quotes belong around a whole cell, and are doubled within it",
    "backslash": "escape quotes with a backslash, which CSV has no rule for; make the exporting program double them",
}


class DelimitedExport:
    """A CSV file. Its delimiter, header and columns are found when it is constructed.

    A row must have exactly as many cells as the header. A row that is shifted or torn is unreadable, since an address
    would be read from another column or another row. Our own files, of rejected rows and results, are read without the
    escapes for spreadsheets. A rejected row whose cells may be wrong is rejected again as long as its reason is there.
    """

    format: Format = "csv"

    def __init__(self, source: Source, recognition: Recognition) -> None:
        """Read the header and the first rows.

        Raises:
          InputError: the file can't be read or isn't text.
          UsageError: the header can't be used.
        """
        self._source = source
        self.file = source.file
        self._name = source.file.name
        self.dialect = read_dialect(source, recognition)
        self.columns = self.dialect.columns
        try:
            matcher, self._positions, self.recognised = recognition.match(
                self.file, self.columns, unique=True, ours=self.dialect.ours
            )
        except UsageError as error:
            if len(self.columns) > 1:
                raise
            known = " ".join(DELIMITERS).replace("\t", "tab")
            raise UsageError(f"{error}; for another delimiter than {known}, start the file with a line sep=X") from None
        self._consent = matcher.consent

    @property
    def encoding(self) -> str:
        return self._source.encodings

    @property
    def delimiter(self) -> str:
        return self.dialect.delimiter

    @property
    def preset(self) -> str | None:
        return self.recognised.name

    def row_of(self, line: int) -> int:
        return self._source.rows.of(line)

    def records(self) -> Iterator[Record]:
        """The rows after the header, as :class:`~worker.campaigns.exports.base.Export` describes."""
        delimiter, columns, ours = self.dialect.delimiter, self.columns, self.dialect.ours
        width = len(columns)
        table = TableRows(self._source, columns, self._positions, self._consent, self.recognised.staying)
        last: Row | None = None
        with self._source.lines() as lines:
            self._skip_header(lines)
            rows = RowReader(lines, delimiter, width).rows()
            joined = self._source.rows.joined
            for row, doubtful in ((row, False) for row in rows) if ours else with_doubts(rows, width):
                line, cells, texts, flaw, _ = last = row
                if len(texts) > 1:
                    joined(line, len(texts) - 1)
                if flaw or doubtful:
                    yield from self._rejected(row, doubtful=doubtful)
                elif (record := table.record(line, cells, len(texts))) is not None:
                    yield record
        if last is not None and not last.flaw:
            self._warn_if_open(last)

    def _warn_if_open(self, row: Row) -> None:
        """Warn if the file ends within its last row, whose last cell is used."""
        # A download that broke off may have cut the last cell in two, for example an address.
        used = len(self.columns) - 1 in self._positions.values()
        if used and row.texts[-1][-1] not in "\r\n" and row.cells[-1].strip():
            problem = f"line {row.line} is the last and has no line end; if the file was cut off, so was its last cell"
            self._source.warnings.once(f"open {self._name}", f"{self._name}: {problem}")

    def _skip_header(self, lines: Lines) -> None:
        shown = self._source.rows
        shown.begin()
        for _ in range(self.dialect.first - 1):
            lines.begin()
            if next(lines).strip():
                # What isn't blank states the delimiter, and a spreadsheet doesn't show it.
                shown.joined(0, 1)
        if self.dialect.headless:
            return
        lines.begin()
        next(csv.reader(lines, delimiter=self.dialect.delimiter, strict=True))
        if len(lines.held) > 1:
            shown.joined(self.dialect.first, len(lines.held) - 1)

    def _rejected(self, row: Row, *, doubtful: bool) -> Iterator[Record]:
        """The records of a row that is refused: one row, or one for each of its lines."""
        if is_blank(row):
            return
        reason: RejectReason = "doubtful_row" if doubtful and not row.flaw else "unreadable_row"
        if row.flaw == "damaged" or (reason == "doubtful_row" and len(row.texts) == 1):
            yield Record(row.line, None, row.cells, reason, len(row.texts))
            return
        if row.flaw and row.flaw in _WARNINGS:
            self._source.left_out(row.flaw, _WARNINGS[row.flaw], row.line)
        if self.dialect.ours and row.cells:
            yield Record(row.line, None, unescape_cells(row.cells), lines=len(row.texts))
            return
        # Each line becomes a rejected row of its own, since any of them may hold a row.
        lines = 1 if len(row.texts) == 1 else 0
        for line, text in enumerate(row.texts, row.line):
            if text.strip():
                yield Record(line, None, [text.rstrip("\r\n")], reason, lines)
