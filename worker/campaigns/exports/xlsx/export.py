"""Exports in .xlsx."""

from collections.abc import Iterator, Sequence

from worker.campaigns.csv_escaping import is_ours, unescape_cells
from worker.campaigns.exports.base import Format, Record
from worker.campaigns.exports.table_rows import TableRows
from worker.campaigns.exports.text import Source
from worker.campaigns.exports.xlsx.formats import Formats
from worker.campaigns.exports.xlsx.package import Package
from worker.campaigns.exports.xlsx.sheet import SheetReader, SheetRow
from worker.campaigns.exports.xlsx.strings import SharedStrings
from worker.campaigns.presets.recognition import Recognition
from worker.errors import UsageError
from worker.text import quoting

_SHOWN = 1000
"""Characters that are kept of a cell in a row that is too long. A few bytes of XML can name a text of 32,767."""


class XlsxExport:
    """The first visible sheet of a workbook; other sheets are named in a warning.

    Its first row with a text is the header. A row's line is its number in the sheet. Of a formula its last value is
    read, as the spreadsheet stored it. Rows that are hidden are read too, with a warning.
    """

    format: Format = "xlsx"
    encoding = "utf-8"
    delimiter = ""

    def __init__(self, source: Source, recognition: Recognition) -> None:
        """Read the texts, the formats and the header.

        Raises:
          InputError: the file can't be read.
          UsageError: the header can't be used.
        """
        self._source = source
        self.file = source.file
        name = source.file.name
        self._package = Package(source.file)
        workbook = self._package.workbook()
        first, *others = workbook.sheets
        self._part = workbook.sheets[first]
        self._package.check(self._part)
        if others:
            source.warnings.once(
                f"sheets {name}",
                f"{name}: only its first sheet, {quoting.word(first)}, is read; {len(others)} more: save each that "
                "holds rows as a file of its own",
            )
        formats = Formats(workbook.formats, since_1904=workbook.since_1904)
        with self._package.part(workbook.strings) as strings:
            self._reader = SheetReader(name, SharedStrings(name, strings), formats, calculated=workbook.calculated)
        self._first, header = next(((row.number, row.cells) for row in self._rows() if any(row.cells)), (0, ()))
        if not header:
            raise UsageError(f"{name}: is empty; the first row must name the columns")
        ours = is_ours(header)
        self.columns: Sequence[str] = unescape_cells(header) if ours else header
        try:
            matcher, self._positions, self.recognised = recognition.match(
                self.file, self.columns, unique=True, ours=ours
            )
        except UsageError as error:
            if len(self.columns) > 1:
                raise
            raise UsageError(f"{error}; delete the rows above the header, if there are any") from None
        self._consent = matcher.consent

    @property
    def preset(self) -> str | None:
        return self.recognised.name

    def row_of(self, line: int) -> int:
        return line

    def records(self) -> Iterator[Record]:
        """The rows after the header, as :class:`~worker.campaigns.exports.base.Export` describes."""
        width = len(self.columns)
        table = TableRows(self._source, self.columns, self._positions, self._consent, self.recognised.staying)
        for number, cells, whole, hidden, calculated in self._rows():
            if number <= self._first:
                continue
            if not calculated:
                name = self.file.name
                self._source.warnings.once(
                    f"formulas {name}",
                    f"{name}: formulas without a value are read as #VALUE! (first in line {number}), since the program "
                    "that wrote the file did not calculate them; save it once from a spreadsheet",
                )
            if hidden:
                name = self.file.name
                self._source.warnings.once(
                    f"hidden {name}",
                    f"{name}: hidden rows are read too (first in line {number}); delete them if they must get nothing",
                )
            if not whole:
                self._source.left_out("long", "are too long to be read", number)
                yield Record(number, None, [cell[:_SHOWN] for cell in cells[:width]])
                continue
            if len(cells) > width and any(map(str.strip, cells[width:])):
                # As in CSV: nobody knows which column such a cell belongs to.
                self._source.left_out("wide", "have cells beyond the last column of the header", number)
                # A cell in the last of 16,384 columns must not fill the rejects file with blank ones.
                yield Record(number, None, [*cells[:width], *filter(str.strip, cells[width:])])
                continue
            record = table.record(number, [*cells[:width], *[""] * (width - len(cells))])
            if record is not None:
                yield record

    def _rows(self) -> Iterator[SheetRow]:
        with self._package.part(self._part) as part:
            if part is not None:
                yield from self._reader.rows(part)
