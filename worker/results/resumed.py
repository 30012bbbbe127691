"""Reads the rows of an existing results file, so that a command can continue it."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from worker.errors import UsageError
from worker.private_files import private_opener
from worker.results.rows import COLUMNS, begins_header, columns_of
from worker.text.bounds import RESULT_LINE, loads

_JOB_ID = re.compile(r"[0-9a-f]{32}")


class Header(NamedTuple):
    """The header of a CSV, which may be an earlier version's."""

    columns: Sequence[str]


class Row(NamedTuple):
    """A row's job id and outcome."""

    job_id: str
    outcome: str


_OTHER = Row("no", "result")
_TORN = Row("ends", "here")
"""Stand for a row that is not ours, and for a row that is cut off by the end of the file."""


def whole_rows(path: Path, *, csv_header: bool) -> Iterator[tuple[int, Header | Row]]:
    """Each whole row after the offset of its end; the first one of a CSV is its header.

    ``csv_header``: the file is CSV, otherwise lines of JSON. A row that isn't whole must be at the end of the file,
    where a crash leaves one; it is not yielded. A whole row that is no result was written by somebody else.

    Raises:
      UsageError: a row is no result, or the file is in the other format.
      OSError: the file can't be read.
    """
    with open(path, "rb", opener=private_opener) as raw:
        lines = _CountedLines(raw)
        rows = _csv_rows(path, lines) if csv_header else map(_json_row, lines)
        for number, row in enumerate(rows, start=1):
            torn = row is _TORN or not lines.last.endswith("\n")
            # A single line without an end is a torn row of JSON only if it begins like an object. Otherwise the file is
            # another one, and must not be cut.
            if torn and (csv_header or number > 1 or lines.last.startswith("{")) and not raw.read(1):
                return
            if number == 1 and not csv_header and columns_of(lines.last) is not None:
                raise UsageError(f"{path}: holds results as CSV; leave out --format jsonl, or choose another --out")
            if torn or (isinstance(row, Row) and not _JOB_ID.fullmatch(row.job_id)):
                raise UsageError(f"{path}: row {number} is not a result; fix it or choose another --out")
            yield lines.offset, row


def _csv_rows(path: Path, lines: "_CountedLines") -> Iterator[Header | Row]:
    """The header, then the job id and outcome of each row, or what stands for them."""
    rest = iter(lines)
    first = next(rest, "")
    columns = columns_of(first)
    if columns is None and begins_header(first):
        columns = COLUMNS
    if columns is None:
        if _json_row(first) is not _OTHER:
            raise UsageError(f"{path}: holds results as lines of JSON; add --format jsonl, or choose another --out")
        raise UsageError(f"{path}: has other columns than results of this version; choose another --out")
    yield Header(columns)
    job_id, outcome = columns.index("job_id"), columns.index("outcome")
    # The standard library refuses cells over 128 KiB by default, and a referral's JSON may be longer.
    csv.field_size_limit(max(csv.field_size_limit(), RESULT_LINE.size))
    reader = csv.reader(rest, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # Our rows have no such quotes. Quotes that are still open at the end of the file mean a torn row.
            yield _TORN if lines.ended else _OTHER
            return
        yield Row(cells[job_id], cells[outcome]) if len(cells) == len(columns) else _OTHER


def _json_row(line: str) -> Row:
    """The job id and outcome in a line of JSON."""
    try:
        result = loads(line, RESULT_LINE)
        return Row(str(result["job_id"]), str(result["outcome"]))
    except (ValueError, TypeError, KeyError):
        return _OTHER


class _CountedLines:
    """The lines of a binary file as text.

    ``offset`` is how many bytes they had, which is where a torn row is cut off; ``ended``: the file has no more.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.ended = False
        self.offset = 0
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        for line in iter(lambda: self._raw.readline(RESULT_LINE.size), b""):
            self.offset += len(line)
            self.last = line.decode("utf-8", errors="replace")
            yield self.last
        self.ended = True
