"""The rows of a results file: a result as a line of CSV, or as a line of JSON. Pure."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from worker.campaigns.csv_escaping import RESULTS, escape_cell, escape_json_cell, escape_text
from worker.text.visible import to_json

COLUMNS: tuple[str, ...] = (
    *RESULTS,
    "customer_shopid",
    "customer_bhid",
    "channel",
    "destination",
    "outcome",
    "code",
    "link",
    "message",
    "share_action",
    "referral",
    "sender",
    "status",
    "attempts",
    "called_at",
    "finished_at",
    "latency_seconds",
    "published_at",
    "campaign",
    "run",
    "row",
    "window",
    "job_id",
)
"""Columns of a results file, those that a mailing needs first. ``link`` is taken from the referral; ``referral`` and
``share_action`` are the vendor's objects as JSON. ``job_id`` stays the last, since it tells whether a row is cut off;
a new column goes before it, so that those before keep their numbers."""

LAYOUTS = tuple(
    tuple(name for name in COLUMNS if name not in absent) for absent in ((), ("window",), ("window", "row"))
)
"""The columns of files of this version and of earlier ones, which are read, and continued as they are."""

JSON_COLUMNS = ("referral", "share_action")
"""Columns whose cells hold values, so that a text in them is told from a number or an object."""


def header(columns: Sequence[str] = COLUMNS) -> str:
    """The CSV's first line."""
    return _line(columns)


def columns_of(line: str) -> Sequence[str] | None:
    """The columns of a results file by its first line, which may end like a line of Windows; None if it is no header
    of ours."""
    return _LAYOUT_OF.get(line.rstrip("\r\n"))


def begins_header(text: str) -> bool:
    """Whether a file that holds nothing else was cut off within its header, or before it."""
    return any(heading.startswith(text) for heading in _LAYOUT_OF)


def row(result: Mapping[str, Any], columns: Sequence[str] = COLUMNS) -> str:
    """One result, given as its parsed JSON, as a line of CSV with these columns."""
    customer, referral = (_object(result.get(name)) for name in ("customer", "referral"))
    derived = {
        "customer_email": customer.get("email"),
        "customer_shopid": customer.get("shopid"),
        "customer_bhid": customer.get("bhid"),
        "link": referral.get("link"),
    }
    return _line(_cell(name, derived[name] if name in derived else result.get(name)) for name in columns)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def json_line(result: Mapping[str, Any]) -> str:
    """One result, given as its parsed JSON, as a line of JSON."""
    return to_json(result, separators=(",", ":")) + "\n"


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return escape_json_cell(json.dumps(value, separators=(",", ":")))
    if name in JSON_COLUMNS:
        # Among JSON values a text is told by its apostrophe, if it could be taken for one of them.
        cell = escape_text(value)
        return f"'{cell}" if _is_value(cell) else cell
    cell = escape_cell(value)
    # The escapes of JSON keep its value, but a text must come back as it was.
    return escape_text(value) if cell != value and cell.startswith(("{", "[")) else cell


def _is_value(cell: str) -> bool:
    try:
        json.loads(cell)
    except (ValueError, RecursionError):
        return False
    return True


def _line(cells: Iterable[str]) -> str:
    """The cells as a line of CSV."""
    buffer = io.StringIO()
    # The writer quotes a cell that holds a character of its line terminator. With CR LF it also quotes a cell with a
    # bare CR; the line then ends in LF alone.
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()[:-2] + "\n"


_LAYOUT_OF = {header(columns).rstrip("\n"): columns for columns in LAYOUTS}
