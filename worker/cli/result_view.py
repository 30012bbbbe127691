"""A result as it is shown to a person. Addresses are masked unless the person asks for them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.cli.redaction import masked
from worker.instants import from_datetime, utc_text
from worker.model.codes import explain
from worker.model.rehearsal import is_rehearsed
from worker.model.result import Result, check_result
from worker.text.line_names import line_name

LONGEST_TEXT = 300
"""Characters of a value. The shop's texts may be of any length; `--json` has them whole."""


def lines_of(document: Mapping[str, Any], *, reveal: bool) -> list[str]:
    """The lines that tell one result: when and how it ended, then a line for each thing that is known."""
    result = check_result(document)
    shown: Mapping[str, Any] = document if reveal else masked(document)
    called, ended = _time(result.called_at), _time(result.finished_at)
    failed = result.outcome != "sent"
    values = {
        "campaign": f"{shown['campaign']}{_after(', run ', result.run)}",
        "shop": result.shop,
        "customer": _named(shown.get("customer"), ("email", "shopid", "bhid")),
        "channel": f"{shown['channel']}{_after(' to ', shown.get('destination'))}",
        "sender": shown.get("sender"),
        "called": called if called != ended else None,
        "link": (shown.get("referral") or {}).get("link"),
        "code": ", ".join(filter(None, (shown.get("code"), _after("HTTP ", result.status if failed else None)))),
        "meaning": explain(result.outcome, result.code).short if failed else None,
        "message": shown.get("message"),
        "attempts": result.attempts if result.attempts > 1 else None,
        "row": ", ".join(filter(None, (_line(result), _named(shown, ("reference",))))),
        "job": result.job_id,
        "SANDBOX": "nobody was called: this is a rehearsal's result" if is_rehearsed(document) else None,
    }
    width = max(len(name) for name, value in values.items() if value)
    lines = [f"{ended}  {result.outcome}"]
    return lines + [f"  {name:<{width}}  {_short(value)}" for name, value in values.items() if value]


def _named(values: object, names: tuple[str, ...]) -> str:
    found = values if isinstance(values, Mapping) else {}
    return ", ".join(f"{name} {found[name]}" for name in names if found.get(name) not in (None, ""))


def _line(result: Result) -> str:
    return line_name(result.line, result.row) if result.line is not None else ""


def _after(before: str, value: object) -> str:
    return f"{before}{value}" if value else ""


def _time(at: datetime | None) -> str:
    return utc_text(from_datetime(at)) if at is not None else ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
