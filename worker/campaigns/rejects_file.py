"""The rows of an export that became no job, for a person to fix and to run again."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from worker.campaigns.csv_escaping import REJECTS, REJECTS_ROW, escape_cell
from worker.campaigns.reject_reasons import RejectReason
from worker.errors import InputError, UsageError
from worker.private_files import is_own_file, open_problem, private_opener

_FLUSH_AT = 65_536
"""Characters of rows that are written at once."""

_HEADER_BYTES = 64
_OURS = re.compile(rb'(?:\xef\xbb\xbf)?"?line"?[,;\t|]"?reason"?')
"""How a file of rejected rows starts, also after a spreadsheet has saved it with other quotes and delimiters."""


class RejectsFile:
    """A CSV file of ``line``, ``reason``, ``row`` and the columns of one or more exports. Its first row creates it.

    Several exports share it under the union of their columns; a name that one export has twice is there twice. Rows are
    written in batches of at least 64 KiB and at the end, so a crash leaves whole rows. UTF-8; bytes that are no text
    are written as escapes, and cells so that no spreadsheet runs them. For one thread.
    """

    def __init__(self, path: Path, headers: Sequence[Sequence[str]]) -> None:
        """Remove the file that an earlier run left there.

        Raises:
          InputError: it can't be removed.
          UsageError: another file is there, or :func:`~worker.private_files.private_opener` refuses it.
        """
        self.path = path
        self.rows = 0
        columns: dict[tuple[str, int], int] = {}
        self._positions = [[columns.setdefault(key, len(columns)) for key in _numbered(header)] for header in headers]
        self._width = len(columns)
        self._file: io.FileIO | None = None
        # Rows are collected as text and written in whole batches, so that a crash can't leave half a row.
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow([*REJECTS, REJECTS_ROW, *(escape_cell(name) for name, _ in columns)])
        # Replaced only if it looks like a rejects file: `--rejects shops.toml` must not cost the shops file.
        try:
            if is_own_file(path):
                with path.open("rb") as left:
                    begins = left.readline(_HEADER_BYTES)
                if begins and not _OURS.match(begins):
                    raise UsageError(
                        f"{path}: is not a file of rejected rows and would be replaced; choose another file with "
                        "--rejects"
                    )
                path.unlink()
        except OSError as error:
            raise self._failed(error) from error

    def add(self, export: int, line: int, row: int, reason: RejectReason, cells: Sequence[str], *, apart: bool) -> None:
        """Add a row of the export with this index in ``headers``; cells beyond its header come last.

        ``line`` is where the row begins in the file, and ``row`` where a spreadsheet shows it.

        ``apart``: the cells belong to the columns. A row that could not be taken apart is not filled up with empty
        cells: if it were read again unchanged, it would pass for a row with all its columns.

        Raises:
          InputError: the file can't be written.
        """
        positions = self._positions[export]
        self.rows += 1
        if len(cells) < len(positions) and not apart:
            self._writer.writerow([line, reason, row, *map(escape_cell, cells)])
        else:
            own = [""] * self._width
            for position, cell in zip(positions, cells, strict=False):
                own[position] = escape_cell(cell)
            self._writer.writerow([line, reason, row, *own, *map(escape_cell, cells[len(positions) :])])
        if self._text.tell() >= _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Write the rows that were added since the last time.

        Raises:
          InputError: the file can't be written.
        """
        if not self.rows or not self._text.tell():
            return
        lot = memoryview(self._text.getvalue().encode(errors="backslashreplace"))
        self._text.seek(0)
        self._text.truncate()
        try:
            if self._file is None:
                self._file = open(self.path, "wb", buffering=0, opener=private_opener)  # noqa: SIM115 - close() closes it
            # An unbuffered file may write a part only; then the rest is written in the next turn.
            while lot:
                lot = lot[self._file.write(lot) :]
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Write the remaining rows and close the file.

        Raises:
          InputError: the file can't be written.
        """
        try:
            self.flush()
        finally:
            if self._file is not None:
                self._file.close()

    def _failed(self, error: OSError) -> InputError:
        return InputError(
            f"{open_problem(self.path, error)}; can't write the rejected rows; choose another file with --rejects"
        )


def _numbered(header: Sequence[str]) -> Iterator[tuple[str, int]]:
    # Each column by its name and its number among the columns of that name, so that two of one name stay two.
    times: dict[str, Iterator[int]] = {}
    for name in header:
        yield name, next(times.setdefault(name, count()))
