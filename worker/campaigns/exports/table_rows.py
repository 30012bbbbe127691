"""The rows under a header, however a file writes them: the cells that a job is made of, and headers that come again."""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

from worker.campaigns.columns import normalized
from worker.campaigns.csv_escaping import REJECTS, is_ours, unescape_cells
from worker.campaigns.exports.base import FIELDS, Record, Values
from worker.campaigns.exports.text import Source
from worker.campaigns.reject_reasons import RejectReason

_A_HEADER = 2
"""Column names in a row from which it counts as a header. With fewer, a customer may just have such a name."""

_STAYS: tuple[RejectReason, ...] = ("doubtful_row", "unreadable_row", "other_columns")
"""Reasons in a rejects file for which a row may have another row's cells, or damaged ones."""


class TableRows:
    """Takes the rows of one pass over a file, in their order.

    ``columns`` is the header, ``positions`` are the indexes of fields in it, and ``consent`` names the fields of
    consent. ``staying`` are more reasons for which a row of a rejects file is rejected again, see :data:`_STAYS`.
    """

    def __init__(
        self,
        source: Source,
        columns: Sequence[str],
        positions: Mapping[str, int],
        consent: Sequence[str],
        staying: Iterable[RejectReason],
    ) -> None:
        self._source = source
        self._used = tuple(positions.values())
        # Each row gets one more cell, an empty one. A field without a column points at it.
        self._pick = itemgetter(*(positions.get(field, len(columns)) for field in (*FIELDS, *consent)))
        self._header = [normalized(name) for name in columns]
        self._names = {name for name in (*self._header, *map(normalized, FIELDS)) if name}
        self._ours = is_ours(columns)
        self._staying = (*_STAYS, *staying) if tuple(columns[: len(REJECTS)]) == REJECTS else ()
        self._other_columns = False

    def record(self, line: int, cells: Sequence[str], lines: int = 1) -> Record | None:
        """The row of so many physical lines with as many cells as the header has; None if it is blank."""
        if self._ours:
            cells = unescape_cells(cells)
            stays = next((reason for reason in self._staying if reason == cells[1].strip()), None)
            if stays:
                return Record(line, None, cells, stays, lines)
        picked = tuple(map(str.strip, self._pick((*cells, ""))))
        # Files are put together from several exports, so a header may come again, with other columns. Addresses and
        # numbers are no column names and cost nothing here.
        if any(
            cell and "@" not in cell and not cell.isdecimal() and normalized(cell) in self._names for cell in picked[:3]
        ):
            return Record(line, None, cells, self._header_in(line, cells), lines)
        if self._other_columns:
            return Record(line, None, cells, "other_columns", lines)
        if any(picked) or any(map(str.strip, cells)):
            own = len(FIELDS)
            return Record(line, Values._make((*picked[:own], picked[own:])), cells, lines=lines)
        return None

    def _header_in(self, line: int, cells: Sequence[str]) -> RejectReason:
        """What a row with column names is: a header with the same columns, or with others."""
        names = [normalized(cell) for cell in cells]
        known = sum(name in self._header for name in names if name)
        same = all(names[position] == self._header[position] for position in self._used)
        self._other_columns = not same and known >= _A_HEADER
        if not self._other_columns:
            return "repeated_header"
        self._source.left_out("other_columns", "follow a header with other columns than the file's", line)
        return "other_columns"
