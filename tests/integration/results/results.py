"""Results as collectors store them, made up."""

import json
from typing import Any

from worker.model.job import Customer, job_id
from worker.model.result import check_result
from worker.results.postgres.columns import Row, row


def body(number: int, outcome: str = "sent", **fields: Any) -> bytes:
    """A valid result of customer ``number``; fields that make its id make another job."""
    made: dict[str, Any] = {
        "schema": 1,
        "campaign": "spring",
        "shop": "acme",
        "run": 0,
        "line": number,
        "reference": f"order {number}",
        "customer": {"shopid": f"c{number}", "email": f"ann{number}@example.com"},
        "channel": "email",
        "destination": f"bob{number}@example.org",
        "outcome": outcome,
        "referral": {"link": f"https://example.com/r/{number}"},
        "attempts": 1,
        "finished_at": "2026-01-02T03:04:05Z",
    } | fields
    customer = Customer(**made["customer"])
    made["job_id"] = job_id(made["shop"], made["campaign"], made["run"], customer, made["channel"], made["destination"])
    return json.dumps(made).encode()


def stored(raw: bytes) -> Row:
    """The row of a body."""
    document = json.loads(raw)
    return row(raw, check_result(document), document)
