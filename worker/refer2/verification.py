"""Judges the answers to the vendor's read calls: a customer's referrals, and whether a token is valid. Pure."""

import json
from typing import Any

from worker.model.job import EMAIL_CHANNEL, Job
from worker.model.names import canonical
from worker.model.verdicts import Found, Missing, Reading, Rejected, Sent, Unknown, Verdict
from worker.refer2.responses import Answer, judge, read_object
from worker.text.bounds import ANSWER, LISTING, TooLargeError, check

NOBODY = frozenset(
    {
        "missing_customer_identity",
        "empty_customer_identity",
        "customer_identity_partially_mismatches_matched_customer",
        "no_customers_match_customer_identity",
    }
)
"""Codes that refuse the customer of the request. Refer2 refuses the same customer, so no call was carried out."""

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_EXPIRED = "expired"
"""The status of a referral that no recent call can have made: for it, Refer2 would make a new one."""


def judge_referrals(answer: Answer, job: Job, now: int) -> Reading:
    """Whether the job's referral is among those that ``CustomerReferrals2`` lists.

    The channel must match, and for e-mail the destination. The time is not compared, since Refer2 may have reused an
    older referral. A masked address could be anybody's, so such an answer is ``Unknown``. So is one whose referral is
    larger than the answer to a call may be.
    """
    if 200 <= answer.status < 300:
        document = None if answer.flaw else read_object(answer.body, LISTING)
        listed = document.get("referrals") if document is not None else None
        if not isinstance(listed, list) or not all(isinstance(referral, dict) for referral in listed):
            return Unknown(answer.status, answer.flaw or "unreadable_answer")
        return _search(answer.status, listed, job)
    verdict = judge(answer, now)
    if isinstance(verdict, Rejected) and verdict.code in NOBODY:
        return Missing()
    assert not isinstance(verdict, Sent)
    return verdict


def judge_status(answer: Answer, now: int) -> Verdict | None:
    """The verdict that a call with this token would get, by ``Status2``'s answer; None where the token is accepted.

    A verdict other than ``Halted`` says nothing about the token.
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
    # A referral that several friends accepted is listed once for each friend.
    found = max(alike, key=lambda referral: str(referral.get("updated_at") or ""))
    return Found(status, found) if _is_answerable(found) else Unknown(status, "unreadable_answer")


def _is_answerable(referral: dict[str, Any]) -> bool:
    # A result's bound allows for the referral in a call's answer, not for everything that a listing may hold.
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
