"""The lines of a journal: what each kind of event holds, how it is written, and which lines are whole. Pure."""

import re
from pathlib import Path
from typing import Any

from worker.errors import UsageError
from worker.text.bounds import RESULT_LINE, loads
from worker.text.visible import to_json

VERSION = 1

_JOB_ID = re.compile(r"[0-9a-f]{32}")

_OF_A_JOB: dict[str, type] = {"job_id": str, "attempts": int, "takeovers": int, "unknowns": int, "elapsed": int}
_FIELDS: dict[str, dict[str, type]] = {
    "campaign": {"version": int, "campaign": str},
    "started": _OF_A_JOB | {"shop": str, "customer": str, "at": int},
    "released": _OF_A_JOB | {"called": bool},
    "repeat": _OF_A_JOB | {"not_before": int},
    "result": {"result": dict},
}
"""The fields of each kind of line. A line that lacks one of them is damaged; further fields are allowed."""

HEADER_STARTS = b'{"event":"campaign"'
"""The first bytes of each header line, by which headers are found without parsing the other lines."""


def header(campaign: str, **more: object) -> dict[str, Any]:
    """The line of the event ``campaign``: the journal's first, and one for each shop that has answered.

    An earlier version skips fields that it doesn't know, and such lines among the others. So a run can be finished with
    the version that began it.
    """
    return {"event": "campaign", "version": VERSION, "campaign": campaign, **more}


def encoded(line: dict[str, Any]) -> bytes:
    """The line as it is written: compact JSON in ASCII, with its line end."""
    return to_json(line, separators=(",", ":")).encode("ascii") + b"\n"


def is_unwritten(first: bytes, campaign: str) -> bool:
    """Whether a journal with this first line is new and empty, or a process that was killed has left half a header."""
    # An earlier version wrote headers without `sandbox`.
    headers = [header(campaign, sandbox=True), header(campaign, sandbox=False), header(campaign)]
    return any(whole != first and whole.startswith(first) for whole in map(encoded, headers))


def refuse_foreign(path: Path, first: bytes, campaign: str) -> None:
    """Check by its first line that the file is a journal of the campaign.

    Raises:
      UsageError: it isn't.
    """
    found = parsed(first)
    if found is None or found.get("event") != "campaign":
        raise UsageError(f"{path}: is not a journal of this command; choose another --out")
    if found.get("version") != VERSION:
        raise UsageError(f"{path}: was written by another version; finish it with that one")
    if found.get("campaign") != campaign:
        raise UsageError(
            f"{path}: belongs to campaign {found.get('campaign')!r}, not {campaign!r}; choose another --out"
        )


def damage(path: Path, number: int) -> str:
    """What is said of a line that is not whole."""
    return (
        f"{path}, line {number}: is damaged; restore the file, or delete this line (its row may then be called once "
        "more)"
    )


def parsed(raw: bytes) -> dict[str, Any] | None:
    """The line that these bytes hold; None if they are not a whole line of a known kind."""
    try:
        line = loads(raw, RESULT_LINE)
    except ValueError:
        return None
    return line if isinstance(line, dict) and _is_whole(line) else None


def _is_whole(line: dict[str, Any]) -> bool:
    fields = _FIELDS.get(str(line.get("event")), {})
    if not fields or not all(isinstance(line.get(name), kind) for name, kind in fields.items()):
        return False
    # Readers turn the job id into bytes, so a text that is not 32 hex digits would fail there without a line number.
    of_job = line["result"] if line["event"] == "result" else line
    return line["event"] == "campaign" or _JOB_ID.fullmatch(str(of_job.get("job_id"))) is not None
