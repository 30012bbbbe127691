"""What all contestants written in Python share: the request of a job, and its result, as the project's own are.

It imports nothing of the project's worker, which would count as theirs.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

API_URL = os.environ["BENCH_API_URL"]
AMQP_URL = os.environ["BENCH_AMQP_URL"]
CA_FILE = os.environ.get("BENCH_CA_FILE")
THREADS = int(os.environ["BENCH_THREADS"])
TIMEOUT_SECONDS = 12
PER_SECOND = int(os.environ.get("BENCH_PER_SECOND", "0"))
"""A shop's limit, which the tool's own limiter is to keep; 0 for none."""

TOKENS: dict[str, str] = json.loads(Path(os.environ["BENCH_TOKENS"]).read_text())
"""Each shop's, valid for the length of a run."""

EXCHANGE = "referrals.results"


def url(job: dict[str, Any]) -> str:
    """Where the job is sent to."""
    return f"{API_URL}/api/v2023061/{job['shop']}/Refer2"


def headers(job: dict[str, Any]) -> dict[str, str]:
    """Those that Refer2 asks for."""
    return {"Authorization": f"Bearer {TOKENS[job['shop']]}"}


def body(job: dict[str, Any]) -> dict[str, Any]:
    """What is sent as JSON."""
    return {"customer": job["customer"], "channel": job["channel"]}


def routing_key(job: dict[str, Any]) -> str:
    """The result's."""
    return f"{job['shop']}.sent.ok.share"


def now() -> datetime:
    """In UTC."""
    return datetime.now(UTC)


def result(job: dict[str, Any], document: dict[str, Any], called_at: datetime, attempts: int = 1) -> bytes:
    """What became of a job, as JSON; raises if the answer isn't Refer2's."""
    finished_at = now()
    fields = {
        "outcome": "sent",
        "code": None,
        "status": 200,
        "message": document.get("message"),
        "referral": document["referral"],
        "share_action": document.get("share_action"),
        "attempts": attempts,
        "called_at": called_at.isoformat(),
        "finished_at": finished_at.isoformat(),
        "latency_seconds": (finished_at - called_at).total_seconds(),
    }
    return json.dumps(job | fields).encode()
