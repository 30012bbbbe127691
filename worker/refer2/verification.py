"""What the vendor's read calls answer: a customer's referrals, and whether a token is valid. Pure."""

import json
from typing import Any

from worker.model.job import EMAIL_CHANNEL, Job, canonical
from worker.model.verdicts import Found, Missing, Reading, Rejected, Sent, Unknown, Verdict
from worker.refer2.responses import Answer, judge, read_object
from worker.text.bounds import ANSWER, LISTING, TooLargeError, check

_NOBODY = frozenset(
    {
        "missing_customer_identity",
        "empty_customer_identity",
        "customer_identity_partially_mismatches_matched_customer",
        "no_customers_match_customer_identity",
    }
)
"""Refused for the customer that the request names, as Refer2 refuses it: nobody, so nobody's referrals."""

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_EXPIRED = "expired"
"""Such a referral is not what a call of a moment ago made, and Refer2 would make a new one."""


def judge_referrals(answer: Answer, job: Job, now: int) -> Reading:
    """Whether the job's referral is among those that ``CustomerReferrals2`` lists.

    Compared are the channel and, for e-mail, the destination; never the time, since Refer2 may have reused a referral.
    An address that is still masked could be anybody's, which makes the answer one that tells nothing. So does a
    referral larger than the answer to a call may be.
    """
    if 200 <= answer.status < 300:
        document = None if answer.flaw else read_object(answer.body, LISTING)
        listed = document.get("referrals") if document is not None else None
        if not isinstance(listed, list) or not all(isinstance(referral, dict) for referral in listed):
            return Unknown(answer.status, answer.flaw or "unreadable_answer")
        return _search(answer.status, listed, job)
    verdict = judge(answer, now)
    if isinstance(verdict, Rejected) and verdict.code in _NOBODY:
        return Missing()
    assert not isinstance(verdict, Sent)
    return verdict


def judge_status(answer: Answer, now: int) -> Verdict | None:
    """What ``Status2`` says against the token, as the verdict that a call would come to; None where it takes the token.

    A verdict other than ``Halted`` found nothing out.
    """
    if 200 <= answer.status < 300:
        readable = not answer.flaw and read_object(answer.body) is not None
        return None if readable else Unknown(answer.status, answer.flaw or "unreadable_answer")
    return judge(answer, now)


def _search(status: int, listed: list[dict[str, Any]], job: Job) -> Reading:
    alike = [
        referral for referral in listed if referral.get("channel") == job.channel and referral.get("status") != _EXPIRED
    ]
    if job.channel == EMAIL_CHANNEL:
        wanted = canonical(job.destination, address=True)
        masked = any(_is_masked(referral.get("destination")) for referral in alike)
        alike = [referral for referral in alike if _address(referral) == wanted]
        if not alike and masked:
            return Unknown(status, "unreadable_answer")
    if not alike:
        return Missing()
    # A referral that several friends accepted is listed once for each of them.
    found = max(alike, key=lambda referral: str(referral.get("updated_at") or ""))
    return Found(status, found) if _is_answerable(found) else Unknown(status, "unreadable_answer")


def _is_answerable(referral: dict[str, Any]) -> bool:
    # Results have room for the referral of a call's answer, not for all that a listing may hold.
    try:
        check(_COMPACT.encode(referral).encode("utf-8", "surrogatepass"), ANSWER)
    except TooLargeError:
        return False
    return True


def _address(referral: dict[str, Any]) -> str | None:
    destination = referral.get("destination")
    return canonical(destination, address=True) if isinstance(destination, str) else None


def _is_masked(destination: object) -> bool:
    return not isinstance(destination, str) or "@" not in destination or any(mark in destination for mark in "*•…")
