"""Results made up for the tests of the report."""

from typing import Any


def result(outcome: str = "sent", code: str | None = None, **fields: Any) -> dict[str, Any]:
    """The parsed JSON of a result; every field can be given."""
    called = outcome not in ("expired", "cancelled")
    return {
        "outcome": outcome,
        "code": code,
        "campaign": "spring",
        "shop": "acme",
        "run": 0,
        "channel": "whatsapp",
        "message": None,
        "referral": {"link": "https://acme.example.com/r/1"} if outcome == "sent" else None,
        "attempts": int(called),
        "finished_at": "2026-11-27T10:00:30Z",
        "latency_seconds": 0.25 if called else None,
        **fields,
    }
