"""Everything that came out: the results and the dead letters of a virtual host, taken from their queues."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pika

SUPPRESSION = "referrals.suppression"
RESULTS = "referrals.results"
DEAD = "referrals.dead"

LARGEST_JOB = 65_536
"""Bytes of a message that may be a job."""

UNCALLED = ("expired", "cancelled")
"""Outcomes of jobs that were not called; a final one supersedes them."""

EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass
class Ended:
    """What was taken so far: the job ids of results and dead letters, one for each message."""

    results: list[str] = field(default_factory=list)
    """Of all results, ``uncalled`` ones included."""
    final: list[str] = field(default_factory=list)
    uncalled: list[str] = field(default_factory=list)
    """Of results that tell of no call."""
    dead: list[str] = field(default_factory=list)
    outcome_of: dict[str, str] = field(default_factory=dict)
    """Of each job's first final result, or else of its first: ``outcome`` or ``outcome/code``."""
    ended_at: dict[str, int] = field(default_factory=dict)
    """When the same result was made, in microseconds since the epoch by its worker's clock."""
    latencies: list[float] = field(default_factory=list)
    """How long each result's last call took, in seconds."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Of the dead letters; RabbitMQ's own where a worker gave none."""
    headers: list[dict[str, Any]] = field(default_factory=list)
    """Of every message here, results and dead letters."""
    letters: list[tuple[dict[str, Any], bytes]] = field(default_factory=list)
    """The dead letters themselves: headers and body."""

    @property
    def outcomes(self) -> Counter[str]:
        """How many jobs ended which way."""
        return Counter(self.outcome_of.values())

    def jobs(self, outcome: str) -> set[str]:
        """The ids of those that ended this way."""
        return {job_id for job_id, ended in self.outcome_of.items() if ended == outcome}

    def take(self, url: str) -> None:
        """Take what is there now, and acknowledge it once it is kept here."""
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        for queue, keep in ((RESULTS, self._result), (DEAD, self._letter)):
            if not _exists(connection, queue):
                continue
            while True:
                method, properties, body = channel.basic_get(queue)
                if method is None:
                    break
                self.headers.append(properties.headers or {})
                keep(properties, body)
                channel.basic_ack(method.delivery_tag)
        connection.close()

    def _result(self, _properties: pika.BasicProperties, body: bytes) -> None:
        result = json.loads(body)
        code = f"/{result['code']}" if result["code"] else ""
        job, is_final = result["job_id"], result["outcome"] not in UNCALLED
        if is_final and self.outcome_of.get(job) in UNCALLED:
            del self.outcome_of[job], self.ended_at[job]
        at = (datetime.fromisoformat(result["finished_at"]) - EPOCH) // timedelta(microseconds=1)
        if is_final or self.outcome_of.get(job, "expired") in UNCALLED:
            self.outcome_of.setdefault(job, f"{result['outcome']}{code}")
            self.ended_at[job] = min(at, self.ended_at.get(job, at))
        self.results.append(job)
        (self.final if is_final else self.uncalled).append(job)
        if result["latency_seconds"] is not None:
            self.latencies.append(result["latency_seconds"])

    def _letter(self, properties: pika.BasicProperties, body: bytes) -> None:
        headers = properties.headers or {}
        self.dead.append(id_of(body))
        self.reasons[headers.get("x-referral-reason") or headers["x-death"][0]["reason"]] += 1
        self.letters.append((headers, body))


def id_of(body: bytes) -> str:
    """What the judge knows a message by: the id of its job, or a digest of what is no job, as what is too large is."""
    try:
        if len(body) > LARGEST_JOB:
            raise ValueError
        return str(json.loads(body)["kwargs"]["job"]["job_id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return hashlib.sha256(body).hexdigest()


def _exists(connection: Any, queue: str) -> bool:
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    channel.close()
    return True
