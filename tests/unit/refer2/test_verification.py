"""What the read calls' answers mean, by a table."""

import json
from typing import Any

import pytest

from tests.unit.making import NOON, make_job, result_text
from worker.model.job import Job
from worker.model.result import parse_result
from worker.model.verdicts import Found, Halted, Missing, Refused, Rejected, Retry, Throttled, Unknown
from worker.refer2.responses import Answer
from worker.refer2.verification import judge_referrals, judge_status
from worker.text.bounds import ANSWER, LISTING

BY_MAIL = make_job(channel="email", destination="Cyd@Example.com ")
BY_NAME = make_job(channel="email", destination="am\xe9lie@example.com")
BY_PHONE = make_job(channel="whatsapp")


def answer(document: Any, status: int = 200, **fields: Any) -> Answer:
    """An answer with that JSON."""
    return Answer(status, fields.pop("retry_after", None), json.dumps(document).encode(), **fields)


def referral(**fields: Any) -> dict[str, Any]:
    """A referral as the vendor lists it."""
    return {"referral_bhid": "r1", "channel": "whatsapp", "destination": None, "status": "invited", **fields}


def mail(destination: object, **fields: Any) -> dict[str, Any]:
    """The same by e-mail."""
    return referral(channel="email", destination=destination, **fields)


LISTS: list[tuple[Job, list[dict[str, Any]], dict[str, Any] | None]] = [
    (BY_PHONE, [], None),
    (BY_PHONE, [referral()], referral()),
    (BY_PHONE, [referral(channel="sms"), mail("cyd@example.com")], None),
    (BY_PHONE, [referral(sent_at="2001-01-01T00:00:00Z")], referral(sent_at="2001-01-01T00:00:00Z")),
    (BY_PHONE, [referral(status="expired")], None),
    (BY_PHONE, [referral(status="something new", new={"a": [1]})], referral(status="something new", new={"a": [1]})),
    (BY_MAIL, [mail("cyd@example.com")], mail("cyd@example.com")),
    (BY_MAIL, [mail("bob@example.com"), mail("CYD@example.com ")], mail("CYD@example.com ")),
    (BY_MAIL, [mail("bob@example.com")], None),
    (BY_NAME, [mail("Ame\u0301lie@example.com")], mail("Ame\u0301lie@example.com")),
    (BY_MAIL, [mail("c***@example.com"), mail("cyd@example.com")], mail("cyd@example.com")),
    (BY_MAIL, [referral(), referral(destination="cyd@example.com")], None),
    (
        BY_PHONE,
        [referral(updated_at="2026-11-02T11:00:00Z"), referral(updated_at="2026-11-02T12:00:00Z"), referral()],
        referral(updated_at="2026-11-02T12:00:00Z"),
    ),
]


@pytest.mark.parametrize(("job", "listed", "expected"), LISTS)
def test_matching(job: Job, listed: list[dict[str, Any]], expected: dict[str, Any] | None) -> None:
    """A referral is the job's by channel and, for e-mail, by address, whatever its time; expired ones are nobody's."""
    reading = judge_referrals(answer({"referrals": listed, "stats": {}}), job, NOON)
    assert reading == (Missing() if expected is None else Found(200, expected))


@pytest.mark.parametrize("destination", ["c***@example.com", "c•••@example.com", "c…@example.com", "hidden", None, 7])
def test_a_masked_address_tells_nothing(destination: object) -> None:
    """An e-mail whose address can't be read may be the job's, so nothing may follow from it."""
    reading = judge_referrals(answer({"referrals": [mail(destination)]}), BY_MAIL, NOON)
    assert reading == Unknown(200, "unreadable_answer")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"<html>", b'{"referrals":null}', b'{"referrals":{}}', b'{"referrals":[1]}', b'{"ref']
)
def test_an_answer_without_a_list_tells_nothing(body: bytes) -> None:
    """A 2xx that doesn't list referrals is never taken for an empty list."""
    assert judge_referrals(Answer(200, None, body), BY_PHONE, NOON) == Unknown(200, "unreadable_answer")


def listing(*referrals: dict[str, Any]) -> Answer:
    """An answer with these, written as short as JSON allows."""
    text = json.dumps({"referrals": referrals}, ensure_ascii=False, separators=(",", ":"))
    return Answer(200, None, text.replace("1000000000000000.0", "1e15").encode())


@pytest.mark.parametrize(
    "more",
    [
        [0] * (ANSWER.parts - 12),
        ["\x7f" * ANSWER.text] * 3,
        ["\xe9" * (ANSWER.text // 2)] * 3,
        [1e15] * (ANSWER.parts - 15) + ["\x7f" * (ANSWER.text - 99)] * 2,
    ],
)
def test_the_largest_referral_makes_a_result_that_is_read(more: list[Any]) -> None:
    """Whatever is found fits into the bounds of a result."""
    found = referral(more=more)
    assert judge_referrals(listing(found), BY_PHONE, NOON) == Found(200, found)
    text = result_text(Found(200, found), job=BY_PHONE, called_at=None)
    assert parse_result(text.encode()).referral == found


@pytest.mark.parametrize("more", [[0] * (LISTING.parts - 40), ["\x7f" * LISTING.text] * 15, ["x" * LISTING.text] * 4])
def test_a_referral_that_no_call_may_answer_tells_nothing(more: list[Any]) -> None:
    """A listing has room for one that no result has, and a result that nobody reads is none."""
    assert judge_referrals(listing(referral(more=more)), BY_PHONE, NOON) == Unknown(200, "unreadable_answer")
    other = referral(channel="sms", more=more)
    assert judge_referrals(listing(referral(), other), BY_PHONE, NOON) == Found(200, referral())


def test_half_an_answer_tells_nothing() -> None:
    """A list that was cut off may have held the referral."""
    cut = answer({"referrals": []}, flaw="connection_lost")
    assert judge_referrals(cut, BY_PHONE, NOON) == Unknown(200, "connection_lost")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "missing_customer_identity", Missing()),
        (404, "empty_customer_identity", Missing()),
        (404, "no_customers_match_customer_identity", Missing()),
        (404, "customer_identity_partially_mismatches_matched_customer", Missing()),
        (
            403,
            "customer_identity_does_not_match_token",
            Rejected(403, "customer_identity_does_not_match_token", None, listed=True),
        ),
        (422, "own_rule", Rejected(422, "own_rule", None, listed=False)),
        (401, "invalid_token", Halted(401, "invalid_token", None, every_shop=False)),
        (400, "obsolete_global_api_version", Halted(400, "obsolete_global_api_version", None, every_shop=True)),
        (429, "rate_limit_exceeded", Throttled(429, "rate_limit_exceeded", None, 7_000_000)),
        (503, "down", Retry(503, "http_503")),
    ],
)
def test_errors(status: int, code: str, expected: object) -> None:
    """An error is what it is for Refer2; a customer that the shop doesn't know has no referrals."""
    assert judge_referrals(answer({"id": code}, status, retry_after="7"), BY_PHONE, NOON) == expected


def test_a_page() -> None:
    """An answer that is not the vendor's says nothing of referrals."""
    reading = judge_referrals(Answer(404, None, b"<html>"), BY_PHONE, NOON)
    assert reading == Refused(404, "http_404")


@pytest.mark.parametrize("body", [b"{}", b'{"valid":true}'])
def test_a_token_that_is_taken(body: bytes) -> None:
    """Any object that Status2 answers in the 200s is its consent."""
    assert judge_status(Answer(200, None, body), NOON) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer({"id": "invalid_token"}, 401), Halted(401, "invalid_token", None, every_shop=False)),
        (Answer(404, None, b"<html>"), Refused(404, "http_404")),
        (Answer(200, None, b"<html>"), Unknown(200, "unreadable_answer")),
        (Answer(200, None, b'{"referral":{}', "connection_lost"), Unknown(200, "connection_lost")),
        (answer({"id": "rate_limit_exceeded"}, 429), Throttled(429, "rate_limit_exceeded", None, None)),
        (answer({}, 503), Retry(503, "http_503")),
    ],
)
def test_status(given: Answer, expected: object) -> None:
    """Any other answer is the verdict that a call would get."""
    assert judge_status(given, NOON) == expected
