"""A result as it is shown to a person. Addresses are masked unless the person asks for them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.cli.redaction import masked
from worker.model.codes import explain
from worker.model.rehearsal import is_rehearsed

LONGEST_TEXT = 300
"""Characters of a value. The shop's texts may be of any length; `--json` has them whole."""


def lines_of(result: Mapping[str, Any], *, reveal: bool) -> list[str]:
    """The lines that tell one result: when and how it ended, then a line for each thing that is known."""
    shown: Mapping[str, Any] = result if reveal else masked(result)
    called, ended = (_time(result.get(name)) for name in ("called_at", "finished_at"))
    run = f", run {result['run']}" if result.get("run") else ""
    values = {
        "campaign": f"{shown['campaign']}{run}",
        "shop": shown["shop"],
        "customer": _named(shown.get("customer"), ("email", "shopid", "bhid")),
        "channel": f"{shown['channel']}{_after(' to ', shown.get('destination'))}",
        "sender": shown.get("sender"),
        "called": called if called != ended else None,
        "link": (shown.get("referral") or {}).get("link"),
        "code": _code(shown),
        "meaning": explain(result["outcome"], result.get("code")).short if result["outcome"] != "sent" else None,
        "message": shown.get("message"),
        "attempts": str(result["attempts"]) if result["attempts"] > 1 else None,
        "row": _named(shown, ("line", "reference")),
        "job": result["job_id"],
    }
    if is_rehearsed(result):
        values["SANDBOX"] = "nobody was called: this is a rehearsal's result"
    width = max(map(len, values))
    lines = [f"{ended}  {shown['outcome']}"]
    return lines + [f"  {name:<{width}}  {_short(value)}" for name, value in values.items() if value]


def _named(values: object, names: tuple[str, ...]) -> str:
    found = values if isinstance(values, Mapping) else {}
    return ", ".join(f"{name} {found[name]}" for name in names if found.get(name) not in (None, ""))


def _after(before: str, value: object) -> str:
    return f"{before}{value}" if value else ""


def _code(shown: Mapping[str, Any]) -> str:
    status = _after("HTTP ", shown.get("status") if shown["outcome"] != "sent" else None)
    return ", ".join(text for text in (shown.get("code"), status) if text)


def _time(text: str | None) -> str:
    if text is None:
        return ""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
