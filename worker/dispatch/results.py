"""The document of a final result, as it goes into the ledger and then to the results queue."""

from worker.instants import SECOND, to_datetime
from worker.model.job import Job
from worker.model.outcomes import Outcome
from worker.model.result import Result
from worker.model.verdicts import Found, Sent, Verdict


def make_result(
    job: Job,
    outcome: Outcome,
    *,
    code: str | None,
    answer: Verdict | Found | None,
    attempts: int,
    called_at: int | None,
    finished_at: int,
    ahead: int,
) -> Result:
    """The result of a job. Pure; instants are the steady clock's, in microseconds.

    ``answer`` is what the last call or the verification came to, None for a job that ends without either. ``attempts``
    is the calls that were made. ``ahead`` is how far the wall clock is ahead. One value dates the call and its end, so
    that a wall clock that was put back between the two doesn't end a call before it began.
    """
    sent = answer if isinstance(answer, Sent) else None
    return Result(
        job_id=job.job_id,
        campaign=job.campaign,
        shop=job.shop,
        run=job.run,
        line=job.line,
        row=job.row,
        reference=job.reference,
        customer=job.customer,
        channel=job.channel,
        destination=job.destination,
        sender=job.sender,
        window=job.window,
        outcome=outcome,
        code=code,
        status=answer.status if answer is not None else None,
        message=getattr(answer, "message", None),
        referral=dict(answer.referral) if isinstance(answer, Sent | Found) else None,
        share_action=sent.share_action if sent is not None else None,
        attempts=attempts,
        published_at=job.published_at,
        called_at=to_datetime(called_at + ahead) if called_at is not None else None,
        finished_at=to_datetime(finished_at + ahead),
        latency_seconds=(finished_at - called_at) / SECOND if called_at is not None else None,
    )
