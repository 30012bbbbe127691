"""The document of a final result, as it goes into the ledger and then to the results queue."""

import json
from datetime import datetime

from worker.instants import SECOND, to_datetime
from worker.model.job import SCHEMA, Job
from worker.model.outcomes import Outcome
from worker.model.verdicts import Found, Sent, Verdict

# Made once: json.dumps makes a new encoder for every call with options. ASCII, since the vendor's strings may hold lone
# surrogates, which UTF-8 can't encode; JSON's escapes can.
_ASCII = json.JSONEncoder(separators=(",", ":"))


def write_result(
    job: Job,
    outcome: Outcome,
    *,
    code: str | None,
    answer: Verdict | Found | None,
    attempts: int,
    called_at: int | None,
    finished_at: int,
    ahead: int,
) -> str:
    """The result of a job, as :class:`worker.model.result.Result` reads it: one line of JSON in ASCII. Pure; instants
    are the steady clock's, in microseconds.

    ``answer`` is what the last call or the verification came to, None for a job that ends without either. ``attempts``
    is the calls that were made. ``ahead`` is how far the wall clock is ahead. One value dates the call and its end, so
    that a wall clock that was put back between the two doesn't end a call before it began.
    """
    customer = job.customer
    # By name, and with no model in between: the job was checked when it was read, and a second check took as long as
    # the writing. All keys come in their documented order, which is that of the columns downstream.
    return _ASCII.encode(
        {
            "schema": SCHEMA,
            "job_id": job.job_id,
            "campaign": job.campaign,
            "shop": job.shop,
            "run": job.run,
            "line": job.line,
            "row": job.row,
            "reference": job.reference,
            "customer": vars(customer) | customer.model_extra if customer.model_extra else vars(customer),
            "channel": job.channel,
            "destination": job.destination,
            "sender": job.sender,
            "window": job.window,
            "outcome": outcome,
            "code": code,
            "status": answer.status if answer is not None else None,
            "message": getattr(answer, "message", None),
            "referral": dict(answer.referral) if isinstance(answer, Sent | Found) else None,
            "share_action": answer.share_action if isinstance(answer, Sent) else None,
            "attempts": attempts,
            "published_at": _written(job.published_at) if job.published_at is not None else None,
            "called_at": _written(to_datetime(called_at + ahead)) if called_at is not None else None,
            "finished_at": _written(to_datetime(finished_at + ahead)),
            "latency_seconds": (finished_at - called_at) / SECOND if called_at is not None else None,
        }
    )


def _written(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
