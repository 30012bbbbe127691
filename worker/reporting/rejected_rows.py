"""Reads the rejects files of a campaign: how many rows of its exports were left out, and why."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final, TextIO

from worker.errors import InputError, UsageError
from worker.private_files import open_problem
from worker.text.bounds import ROW

NO_REASON: Final = "(no reason)"
"""Of a row whose reason was deleted, since it was corrected to be run again."""

OTHER_REASON: Final = "(other)"
"""Of rows whose reason is none that any version has written."""

_HEADER = re.compile(r'\ufeff?"?line"?([,;\t|])"?reason"?(?:\1|\r?\n|$)')
_REASON = re.compile(r"[a-z][a-z_]{0,39}", re.ASCII)
_MOST = 100


def count_rejected(path: Path) -> Counter[str]:
    """The rows of a rejects file by reason. Reads line by line, also what a spreadsheet saved under other delimiters.

    Raises:
      InputError: it can't be read.
      UsageError: it is no rejects file.
    """
    csv.field_size_limit(max(csv.field_size_limit(), ROW.size))
    counted: Counter[str] = Counter()
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            for reason in _reasons(path, file):
                known = reason in counted or len(counted) < _MOST
                counted[reason if known else OTHER_REASON] += 1
    except OSError as error:
        raise InputError(open_problem(path, error)) from error
    return counted


def _reasons(path: Path, file: TextIO) -> Iterator[str]:
    lines = iter(lambda: file.readline(ROW.size), "")
    first = next(lines, "")
    header = _HEADER.match(first)
    if header is None:
        raise UsageError(f"{path}: is no file of rejected rows; --rejects takes what publish, run or plan wrote")
    rows = csv.reader(chain([first], lines), delimiter=header[1])
    try:
        next(rows)
        for row in rows:
            if len(row) > 1:
                reason = row[1].strip()
                yield reason if _REASON.fullmatch(reason) else OTHER_REASON if reason else NO_REASON
    except csv.Error:
        raise UsageError(f"{path}: line {rows.line_num:,} can't be read as CSV") from None
