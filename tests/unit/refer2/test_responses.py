"""The vendor's error table, row by row, and answers that are nobody's."""

import json
import tracemalloc
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from worker.instants import SECOND
from worker.model.verdicts import DOCUMENTED_CODES, Halted, Refused, Rejected, Retry, Sent, Throttled, Unknown, Verdict
from worker.refer2.responses import LONGEST_CODE, LONGEST_ERROR_MESSAGE, LONGEST_RETRY_AFTER, Answer, Flaw, judge
from worker.text.bounds import ANSWER

NOW = 1_800_000_000 * SECOND
REFERRAL = {"referral_bhid": "r1", "channel": "sms", "status": "invited", "reward_pts": 10, "new": {"x": [1.5, None]}}


def verdict(status: int, body: Any = b"", retry_after: str | None = None, flaw: Flaw | None = None) -> Verdict:
    """The verdict on an answer; a body that isn't bytes is made JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(Answer(status, retry_after, content, flaw), NOW)


def error(code: str, message: str | None = None) -> dict[str, str]:
    """An error body as the vendor makes it."""
    return {"id": code} if message is None else {"id": code, "message": message}


TABLE: dict[str, tuple[int, object, Verdict]] = {
    "missing identity": (
        400,
        error("missing_customer_identity", "who?"),
        Rejected(400, "missing_customer_identity", "who?", listed=True),
    ),
    "empty identity": (
        404,
        error("empty_customer_identity"),
        Rejected(404, "empty_customer_identity", None, listed=True),
    ),
    "partial mismatch": (
        404,
        error("customer_identity_partially_mismatches_matched_customer"),
        Rejected(404, "customer_identity_partially_mismatches_matched_customer", None, listed=True),
    ),
    "no match": (
        404,
        error("no_customers_match_customer_identity"),
        Rejected(404, "no_customers_match_customer_identity", None, listed=True),
    ),
    "not the token's": (
        403,
        error("customer_identity_does_not_match_token"),
        Rejected(403, "customer_identity_does_not_match_token", None, listed=True),
    ),
    "bad token": (401, error("invalid_token", "no"), Halted(401, "invalid_token", "no", every_shop=False)),
    "obsolete version": (
        400,
        error("obsolete_global_api_version"),
        Halted(400, "obsolete_global_api_version", None, every_shop=True),
    ),
    "inaccessible version": (
        400,
        error("inaccessible_global_api_version"),
        Halted(400, "inaccessible_global_api_version", None, every_shop=False),
    ),
    "invalid version": (
        400,
        error("invalid_global_api_version"),
        Halted(400, "invalid_global_api_version", None, every_shop=True),
    ),
    "too fast": (429, error("rate_limit_exceeded"), Throttled(429, "rate_limit_exceeded", None, None)),
    "a rule of the shop": (422, error("friend_too_close", "no"), Rejected(422, "friend_too_close", "no", listed=False)),
    "a known code under another status": (
        409,
        error("no_customers_match_customer_identity"),
        Rejected(409, "no_customers_match_customer_identity", None, listed=True),
    ),
    "a known code under 5xx": (500, error("invalid_token"), Halted(500, "invalid_token", None, every_shop=False)),
    "another code under 5xx": (500, error("database_down"), Retry(500, "http_500")),
    "another code under 429": (429, error("slow_down"), Throttled(429, "slow_down", None, None)),
    "a page under 429": (429, b"<html>", Throttled(429, "http_429", None, None)),
    "a page under 403": (403, b"<html>", Refused(403, "http_403")),
    "JSON without id": (404, {"error": "x"}, Refused(404, "http_404")),
    "an id that is no text": (400, {"id": 7}, Refused(400, "http_400")),
    "an empty id": (400, {"id": " "}, Refused(400, "http_400")),
    "a page of the worker's own proxy": (407, b"<html>", Halted(407, "http_407", None, every_shop=False)),
    "a redirect": (302, b"", Refused(302, "http_302")),
    "a redirect with an id": (307, error("invalid_token"), Refused(307, "http_307")),
    "a request time-out": (408, b"", Retry(408, "http_408")),
    "too early": (425, b"", Retry(425, "http_425")),
    "a bad gateway": (502, b"<html>", Retry(502, "http_502")),
    "a service that is away": (503, b"", Retry(503, "http_503")),
    "nothing but success": (204, b"", Unknown(204, "unreadable_answer")),
    "success without referral": (200, {"message": "hi"}, Unknown(200, "unreadable_answer")),
    "success with an error": (200, error("invalid_token"), Unknown(200, "unreadable_answer")),
    "a referral that is no object": (200, {"referral": "r1"}, Unknown(200, "unreadable_answer")),
    "an interim status": (103, b"", Unknown(103, "unreadable_answer")),
}


@pytest.mark.parametrize(("status", "body", "expected"), TABLE.values(), ids=TABLE.keys())
def test_the_table(status: int, body: object, expected: Verdict) -> None:
    """Each row of the vendor's error table, and each answer beside it, gets its verdict."""
    assert verdict(status, body) == expected


def test_every_documented_code_has_its_row() -> None:
    """A code that is added to the documented ones must be given its row above."""
    rows = {body["id"] for _, body, _ in TABLE.values() if isinstance(body, dict) and "id" in body}
    assert set(DOCUMENTED_CODES) <= rows


def test_success_is_carried_whole() -> None:
    """Referral and share action come out as they came in, unlisted fields and unusual shapes included."""
    for share_action in ({"kind": "open", "url": "https://example.com"}, ["a"], "text", None):
        body = {"message": "Hi\u2028 there", "referral": REFERRAL, "share_action": share_action, "more": 1}
        assert verdict(201, body) == Sent(201, "Hi\u2028 there", REFERRAL, share_action)
    assert verdict(200, {"referral": {}, "message": 5}) == Sent(200, None, {}, None)
    assert verdict(200, b'\xef\xbb\xbf{"referral": {}}') == Sent(200, None, {}, None)


UNREADABLE = {
    "nothing": b"",
    "not JSON": b"<html></html>",
    "not UTF-8": b'{"referral": {"link": "\xff"}}',
    "UTF-16": '{"referral": {}}'.encode("utf-16"),
    "a list": b'[{"referral": {}}]',
    "not a number": b'{"referral": {"reward_pts": NaN}}',
    "infinity": b'{"referral": {"reward_pts": -Infinity}}',
    "a number beyond floats": b'{"referral": {"reward_pts": 1e400}}',
    "a number of 5,000 digits": b'{"referral": {"reward_pts": ' + b"9" * 5000 + b"}}",
    "nesting beyond the parser": b'{"referral": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "nesting beyond what can be passed on": b'{"referral": {}, "share_action": ' + b"[" * 64 + b"]" * 64 + b"}",
    "more values than any referral": b'{"referral": {"a": [' + b"{}," * 5000 + b"1]}}",
    "a text longer than any": b'{"referral": {"a": "' + b"a" * 70_000 + b'"}}',
    "cut short": b'{"referral": {"link": "https://exa',
    "two documents": b'{"referral": {}}{}',
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_success_that_cannot_be_read(body: bytes) -> None:
    """A 2xx that isn't readable JSON is unknown: it may have been done. The same body under 4xx halts the shop."""
    assert verdict(200, body) == Unknown(200, "unreadable_answer")
    assert verdict(400, body) == Refused(400, "http_400")


HEAVY = {
    "objects": b'{"referral": {"a": [' + b"{}," * 85_000 + b"1]}}",
    "as many parts as there may be": (b'{"referral": {"a": [' + b"{}," * 4_000 + b"1]}}").ljust(ANSWER.size),
    "wide texts": json.dumps({"referral": {"a": ["\U0001f600" * 16_000] * 4}}, ensure_ascii=False).encode(),
}


@pytest.mark.parametrize("body", HEAVY.values(), ids=HEAVY.keys())
def test_an_answer_takes_a_few_times_its_bound(body: bytes) -> None:
    """However dense it is, what is built of an answer stays within eight times the bytes that are read of one."""
    tracemalloc.start()
    verdict(200, body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * ANSWER.size


def test_wide_is_not_deep() -> None:
    """Many objects side by side are no reason to refuse an answer, nor is nesting up to the bound."""
    deep: Any = 1
    for _ in range(ANSWER.depth - 2):
        deep = [deep]
    referral = {"wide": [{} for _ in range(1000)], "deep": deep}
    assert verdict(200, {"referral": referral}) == Sent(200, None, referral, None)


FLAWS: dict[str, tuple[int, Flaw, Verdict]] = {
    "success, late": (200, "timeout", Unknown(200, "timeout")),
    "success, cut": (200, "connection_lost", Unknown(200, "connection_lost")),
    "success, too large": (200, "unreadable_answer", Unknown(200, "unreadable_answer")),
    "refusal, late": (400, "timeout", Retry(400, "timeout")),
    "refusal, cut": (404, "connection_lost", Retry(404, "connection_lost")),
    "refusal, too large": (403, "unreadable_answer", Refused(403, "http_403")),
    "failure, cut": (503, "connection_lost", Retry(503, "http_503")),
    "throttled, cut": (429, "connection_lost", Throttled(429, "http_429", None, 2 * SECOND)),
}


@pytest.mark.parametrize(("status", "flaw", "expected"), FLAWS.values(), ids=FLAWS.keys())
def test_answers_whose_body_is_lost(status: int, flaw: Flaw, expected: Verdict) -> None:
    """A status other than 2xx says that nothing was done, whatever became of its body."""
    assert verdict(status, b'{"referral": {}}', "2", flaw) == expected


SCOPES = {
    "More than 2 writes per second for this customer": "customer",
    "more than 200 writes a day for this customer of shop acme": "customer",
    "Too many requests per second for this shop.": "shop",
    "Limit of 100,000 writes per day per shop exceeded": "shop",
    "customer limit": "customer",
    "Shops may write 100 times a second": "shop",
    "a customer of the shop writes too fast": None,
    "slow down": None,
    "the shopping customerbase": None,
    "": None,
}


@pytest.mark.parametrize(("message", "scope"), SCOPES.items())
def test_whose_limit_it_was(message: str, scope: str | None) -> None:
    """The message says whose limit was met; where it names both or none, nobody is guessed."""
    answered = verdict(429, error("rate_limit_exceeded", message))
    assert isinstance(answered, Throttled)
    assert answered.scope == scope


RETRY_AFTER = {
    "0": 0,
    "7": 7 * SECOND,
    " 1.5 ": 1_500_000,
    "3600": 3600 * SECOND,
    "99999999999": LONGEST_RETRY_AFTER,
    "9" * 400: None,
    "-1": None,
    "1e3": None,
    "soon": None,
    "٣": None,
    "": None,
    None: None,
    format_datetime(datetime.fromtimestamp(NOW // SECOND + 90, UTC), usegmt=True): 90 * SECOND,
    format_datetime(datetime.fromtimestamp(NOW // SECOND - 1, UTC), usegmt=True): None,
    format_datetime(datetime.fromtimestamp(NOW // SECOND, UTC).replace(year=9999), usegmt=True): LONGEST_RETRY_AFTER,
    "Fri, 99 Jan 2027 00:00:00 GMT": None,
}


@pytest.mark.parametrize(("header", "wait"), RETRY_AFTER.items())
def test_how_long_to_wait(header: str | None, wait: int | None) -> None:
    """Seconds and dates are read and bounded; what can't be read, or lies in the past, is no answer."""
    answered = verdict(429, error("rate_limit_exceeded"), header)
    assert isinstance(answered, Throttled)
    assert answered.retry_after == wait


def test_codes_and_messages_are_bounded() -> None:
    """A code from outside is short and plain, an error's message short; neither can flood a log or a routing key."""
    answered = verdict(422, {"id": "not allowed: ann@example.com\n" + "x" * 100, "message": "y" * 1000})
    assert isinstance(answered, Rejected)
    assert answered.code == "not_allowed:_ann_example.com_" + "x" * (LONGEST_CODE - 29)
    assert answered.message == "y" * LONGEST_ERROR_MESSAGE
