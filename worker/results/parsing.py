"""A row of a results file as a result again: the inverse of :mod:`worker.results.rows`. Pure."""

import csv
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from worker.campaigns.csv_escaping import unescape_cells
from worker.errors import DeadLetterError
from worker.model.job import SCHEMA
from worker.model.result import check_result
from worker.results.rows import COLUMNS
from worker.text.bounds import RESULT_LINE, loads

_INTEGER = re.compile(r"0|[1-9][0-9]{0,15}")
_NUMBERS = ("run", "line", "row", "status", "attempts", "latency_seconds")
_NUMERIC = (int, float, type(None))
_TIMES = ("published_at", "called_at", "finished_at")
_IDS = ("bhid", "shopid", "email")

Parse = Callable[[bytes], dict[str, Any]]
"""Makes a result of a line without its end."""


def from_csv(line: bytes, columns: Sequence[str] = COLUMNS) -> dict[str, Any]:
    """The result in a line of CSV, with each text and JSON value as it was before :func:`worker.results.rows.row`.

    ``columns`` are those of its file. What an earlier version had no column for is None.

    An empty cell is None. A text that was empty is None too: the CSV doesn't tell them apart, nor does a job's id.
    Fields that have no column are missing.

    Raises:
      ValueError: it is no result; the text says why and quotes nothing of it.
    """
    # The standard library refuses cells over 128 KiB by default, and a referral's JSON may be longer.
    csv.field_size_limit(max(csv.field_size_limit(), RESULT_LINE.size))
    try:
        (cells,) = csv.reader((line.decode(),), strict=True)
    except (csv.Error, ValueError):
        raise ValueError("it is not one line of CSV in UTF-8") from None
    if len(cells) != len(columns):
        raise ValueError(f"it has {len(cells)} cells, and a result has {len(columns)}")
    of = dict(zip(columns, cells, strict=True))
    customer = {name: _text(of[f"customer_{name}"]) for name in _IDS}
    read = {name: customer if of_cell is None else of_cell(of.get(name, "")) for name, of_cell in _FIELDS.items()}
    return _checked({"schema": SCHEMA} | read)


def from_json(line: bytes) -> dict[str, Any]:
    """The result in a line of JSON.

    Raises:
      ValueError: it is no result; the text says why and quotes nothing of it.
    """
    try:
        found = loads(line, RESULT_LINE)
    except ValueError:
        raise ValueError("it is not JSON within bounds") from None
    return _checked(found)


def _checked(found: Any) -> dict[str, Any]:
    # The fields must make the job's id. So a cell that a spreadsheet has changed (an id without its leading zeros)
    # can't pass as another customer's.
    try:
        checked = check_result(found)
    except DeadLetterError as error:
        raise ValueError(error.detail) from None
    result: dict[str, Any] = found
    # The model takes "3" for a number, and a number for a time. Whoever adds up results needs what the schema says.
    for name in _NUMBERS:
        if type(result.get(name)) not in _NUMERIC:
            result[name] = getattr(checked, name)
    for name in _TIMES:
        if (value := result.get(name)) is not None and not _is_time(value):
            result[name] = getattr(checked, name).isoformat()
    return result


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def _text(cell: str) -> str | None:
    # Nearly all cells have no mark of ours, and asking for one is cheaper: a row is read in 34 µs, else in 55.
    return (unescape_cells((cell,))[0] if "'" in cell or "\\" in cell else cell) or None


def _number(cell: str) -> Any:
    # Whatever else was in its place comes back as it was, for the check to judge as it was judged before.
    return int(cell) if _INTEGER.fullmatch(cell) else _json(cell)


def _json(cell: str) -> Any:
    # A text here begins with an apostrophe if it could be taken for JSON.
    if not cell:
        return None
    try:
        return loads(cell, RESULT_LINE)
    except ValueError:
        return _text(cell)


_FIELDS: dict[str, Callable[[str], Any] | None] = {
    "job_id": _text,
    "campaign": _text,
    "shop": _text,
    # Its default in the schema, where a producer has left it out.
    "run": lambda cell: _number(cell or "0"),
    "line": _number,
    "row": _number,
    "reference": _text,
    "customer": None,
    "channel": _text,
    "destination": _text,
    "sender": _text,
    "window": _text,
    "outcome": _text,
    "code": _text,
    "status": _number,
    "message": _text,
    "referral": _json,
    "share_action": _json,
    "attempts": _number,
    "published_at": _text,
    "called_at": _text,
    "finished_at": _text,
    "latency_seconds": _number,
}
"""How a cell becomes the value of its field, in the documented order of a result; the customer has three cells."""
