"""Exports with a header line and a delimiter: CSV and its relatives."""

import csv
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from worker.campaigns.columns import ColumnMatcher
from worker.campaigns.exports.base import FIELDS, Record, Values
from worker.campaigns.exports.text import MAX_ROW, Lines, OverlongRowError, open_lines
from worker.campaigns.spreadsheets import is_ours, verbatim
from worker.errors import InputError, UsageError

DELIMITERS = (",", ";", "\t")

_RAW_SHOWN = 1000
"""Characters of a row that no reader takes apart which are copied to the rejects file."""


class DelimitedExport:
    """A CSV file: delimiter, header and columns understood when it is made.

    A row with fewer cells than the header is taken (spreadsheets leave off empty cells at the end), except where
    the file stops in the middle of it. One with more is unreadable: a delimiter in a cell without quotes shifts the
    rest, and an address would be read from the wrong column. Rejected rows and results of ours are read as what their
    cells were before they were made harmless for spreadsheets.
    """

    def __init__(self, path: Path, matcher: ColumnMatcher) -> None:
        """Reads the header.

        Raises:
          InputError: the file can't be read or isn't text.
          UsageError: the header can't be understood.
        """
        self.path = path
        headers = {delimiter: _header(path, delimiter) for delimiter in DELIMITERS}
        self.delimiter = max(headers, key=lambda delimiter: len(headers[delimiter]))
        self.columns: Sequence[str] = headers[self.delimiter]
        if not self.columns:
            raise InputError(f"{path}: the header can't be read as text; save the export as CSV in UTF-8")
        self._ours = is_ours(self.columns)
        if self._ours:
            self.columns = verbatim(self.columns)
        self._places = matcher.match(path, self.columns, unique=True)
        self._fields = (*FIELDS, *matcher.consent)

    def records(self) -> Iterator[Record]:
        """The rows after the header; see :class:`~worker.campaigns.exports.base.Export`."""
        width = len(self.columns)
        # A row gets one empty cell more, which is what a field without a column points at.
        pick = itemgetter(*(self._places.get(field, width) for field in self._fields))
        own = len(FIELDS)
        with open_lines(self.path) as lines:
            rows = _rows(lines, self.delimiter)
            next(rows)
            for line, cells, readable in rows:
                if self._ours:
                    cells = verbatim(cells)
                missing = width - len(cells)
                if readable and missing:
                    torn = missing > 0 and lines.held[-1][-1] not in "\r\n"
                    readable = not torn and not any(map(str.strip, cells[width:]))
                if not readable:
                    yield Record(line, None, cells)
                    continue
                picked = tuple(map(str.strip, pick((*cells, *("",) * (missing + 1)))))
                if any(picked) or any(map(str.strip, cells)):
                    yield Record(line, Values._make((*picked[:own], picked[own:])), cells)


def _header(path: Path, delimiter: str) -> Sequence[str]:
    with open_lines(path) as lines:
        for _, cells, readable in _rows(lines, delimiter):
            # With the wrong delimiter a good header can be unreadable: that is for the caller to see.
            return cells if readable else ()
    raise UsageError(f"{path}: is empty; the first line must name the columns")


def _rows(lines: Lines, delimiter: str) -> Iterator[tuple[int, Sequence[str], bool]]:
    # (line, cells, readable). The csv module's own bound is global to the process, so it is only ever raised, and
    # the bound that counts is that of the lines.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (OverlongRowError, csv.Error):
            whole = False
        else:
            # The end of the file within a row can only be within quotes.
            whole = not lines.ended
        if not whole:
            first = lines.return_all_but_first()
            yield lines.number, [first.rstrip("\r\n")[:_RAW_SHOWN]], False
        elif cells:
            yield lines.number - len(lines.held) + 1, cells, not lines.damaged
