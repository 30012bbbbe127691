"""The rows of a results file: a result as a line of CSV, or as a line of JSON. Pure."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from worker.campaigns.csv_escaping import RESULTS, escape_cell, escape_json_cell
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
    "job_id",
)
"""Columns of a results file, those that a mailing needs first. ``link`` is taken from the referral; ``referral`` and
``share_action`` are the vendor's objects as JSON."""


def header() -> str:
    """The CSV's first line."""
    return _line(COLUMNS)


def row(result: Mapping[str, Any]) -> str:
    """One result, given as its parsed JSON, as a line of CSV."""
    customer, referral = (_object(result.get(name)) for name in ("customer", "referral"))
    derived = {
        "customer_email": customer.get("email"),
        "customer_shopid": customer.get("shopid"),
        "customer_bhid": customer.get("bhid"),
        "link": referral.get("link"),
    }
    return _line(_cell(derived[name] if name in derived else result.get(name)) for name in COLUMNS)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def json_line(result: Mapping[str, Any]) -> str:
    """One result, given as its parsed JSON, as a line of JSON."""
    return to_json(result, separators=(",", ":")) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return escape_cell(value) if isinstance(value, str) else escape_json_cell(json.dumps(value, separators=(",", ":")))


def _line(cells: Iterable[str]) -> str:
    """The cells as a line of CSV."""
    buffer = io.StringIO()
    # The writer quotes a cell that holds a character of its line terminator. With CR LF it also quotes a cell with a
    # bare CR; the line then ends in LF alone.
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()[:-2] + "\n"
