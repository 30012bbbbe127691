"""Merged exports of workbooks, as CSV: nothing could be put into a workbook without rewriting it."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from worker.campaigns.exports.base import Export
from worker.merging.appended import cells, check_columns
from worker.merging.merged_rows import MergedRow
from worker.merging.writers import Remarks

_COMPUTED = re.compile(r"[=@＝＠]|[+\-＋－](?![\d\s().,/\-]*$)")
"""The start of a cell that a spreadsheet computes. A telephone number or an amount is none, and stays as it is."""


class WorkbookWriter:
    """Writes the sheet that was read as CSV in UTF-8 with a byte order mark, its cells as a person sees them.

    Blank rows are left out. A text that was no formula in the workbook and would be one in a CSV gets an apostrophe.
    """

    def __init__(self, export: Export, names: Sequence[str], remarks: Remarks) -> None:
        """Raises UsageError as :func:`check_columns`."""
        check_columns(export.file.name, export.columns, names)
        self._export = export
        self._names = names
        self._remarks = remarks

    def write(self, rows: Iterator[MergedRow], out: BinaryIO) -> None:
        width = len(self._export.columns)
        text = io.TextIOWrapper(out, encoding="utf-8-sig", errors="backslashreplace", newline="")
        lines = csv.writer(text)
        lines.writerow([*map(_guarded, self._export.columns), *self._names])
        for row in rows:
            own = [*map(_guarded, row.record.cells)]
            if len(own) > width:
                self._remarks.leave("surplus cells", row)
                lines.writerow(own)
            else:
                lines.writerow([*own, *[""] * (width - len(own)), *cells(row, len(self._names))])
        text.detach()


def _guarded(cell: str) -> str:
    return f"'{cell}" if _COMPUTED.match(cell) else cell
