"""Misbehaviour on demand, over real HTTP."""

from collections.abc import Iterator, Mapping

import jwt
import pytest
import requests

from worker.errors import UsageError
from worker.model.verdicts import DOCUMENTED_CODES
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET, SandboxConfig
from worker.sandbox.misbehaviour import HELP, Behaviour
from worker.sandbox.server import RunningSandbox

TOKEN = jwt.encode({"aud": "BH", "sub": "acme"}, SANDBOX_SECRET, "HS256", headers={"kid": SANDBOX_KEY_ID})


def call(
    sandbox: RunningSandbox, customer: Mapping[str, str], *, method: str = "Refer2", timeout: float = 10
) -> requests.Response:
    return requests.post(
        f"{sandbox.url}/api/v2023061/acme/{method}",
        json={"customer": customer, "channel": "sms"},
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=timeout,
        allow_redirects=False,
    )


def refer(sandbox: RunningSandbox, email: str, *, timeout: float = 10) -> requests.Response:
    return call(sandbox, {"email": email}, timeout=timeout)


def referrals_of(sandbox: RunningSandbox, email: str) -> int:
    return len(call(sandbox, {"email": email}, method="CustomerReferrals2").json()["referrals"])


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    config = SandboxConfig(
        limits=None,
        read_limits=None,
        behaviours={
            "Jane@example.com": Behaviour("error", 418, "no_tea_here", times=2),
            "lost@example.com": Behaviour("reset", performed=False),
            "busy@example.com": Behaviour("page", 503, retry_after=7),
            "fail500+calm@example.com": Behaviour("error", 404, "configured"),
        },
    )
    with RunningSandbox(config) as running:
        yield running


@pytest.mark.parametrize(
    ("tag", "status", "code", "retry_after"),
    [
        ("stranger", 404, "no_customers_match_customer_identity", None),
        ("mismatch", 404, "customer_identity_partially_mismatches_matched_customer", None),
        ("othertoken", 403, "customer_identity_does_not_match_token", None),
        ("badtoken", 401, "invalid_token", None),
        ("obsolete", 400, "obsolete_global_api_version", None),
        ("inaccessible", 400, "inaccessible_global_api_version", None),
        ("invalid", 400, "invalid_global_api_version", None),
        ("throttled", 429, "rate_limit_exceeded", "1"),
        ("rule", 422, "sandbox_shop_rule", None),
        ("fail500", 500, "sandbox_500", None),
        ("FAIL503", 503, "sandbox_503", None),
    ],
)
def test_an_address_can_ask_for_an_error(
    sandbox: RunningSandbox, tag: str, status: int, code: str, retry_after: str | None
) -> None:
    """The part of an address before its plus sign names the error that its owner's calls get."""
    response = refer(sandbox, f"{tag}+jane@example.com")
    assert (response.status_code, response.json()["id"]) == (status, code)
    assert response.headers.get("Retry-After") == retry_after
    assert referrals_of(sandbox, f"{tag}+jane@example.com") == 0


def test_every_documented_code_but_the_bodys_own_can_be_asked_for() -> None:
    """All codes can be made to happen by a customer's name, except those for a call that names nobody."""
    first_words = [line.split("+")[0].strip() for line in HELP.splitlines() if line.startswith("  ")]
    named = {Behaviour.parse(word).code for word in first_words if "NNN" not in word}
    assert set(DOCUMENTED_CODES) - named == {"missing_customer_identity", "empty_customer_identity"}


def test_any_id_can_carry_the_wish(sandbox: RunningSandbox) -> None:
    """A shop id or Bubblehouse id asks as an address does."""
    assert call(sandbox, {"shopid": "fail502+1"}).status_code == 502
    assert call(sandbox, {"bhid": "b-1", "email": "fail502+jane@example.com"}).status_code == 502


@pytest.mark.parametrize("email", ["jo+news@example.com", "fail+jo@example.com", "fail200+jo@example.com", "+@x"])
def test_other_plus_addresses_behave(sandbox: RunningSandbox, email: str) -> None:
    """A plus sign alone, as people use it, means nothing."""
    assert refer(sandbox, email).status_code == 200


@pytest.mark.parametrize("status", [302, 403, 408, 502])
def test_a_page_is_not_json(sandbox: RunningSandbox, status: int) -> None:
    """What stands in for proxies and firewalls answers in HTML, with a target where it redirects."""
    response = refer(sandbox, f"html{status}+jane@example.com")
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")
    assert ("Location" in response.headers) is (status == 302)


def test_an_unanswered_call_is_recorded_and_was_performed(sandbox: RunningSandbox) -> None:
    """A caller that gives up on a call without an answer finds the referral made; the sandbox serves on."""
    with pytest.raises(requests.ReadTimeout):
        refer(sandbox, "timeout+jane@example.com", timeout=0.2)
    assert [(one.status, one.code) for one in sandbox.calls()] == [(None, "timeout")]
    assert referrals_of(sandbox, "timeout+jane@example.com") == 1


def test_a_reset_cuts_the_connection(sandbox: RunningSandbox) -> None:
    """The caller sees a broken connection after it has sent its request."""
    with pytest.raises(requests.ConnectionError, match="reset"):
        refer(sandbox, "reset+jane@example.com")
    assert referrals_of(sandbox, "reset+jane@example.com") == 1


def test_a_truncated_body_is_shorter_than_announced(sandbox: RunningSandbox) -> None:
    """The connection ends in the middle of the body."""
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        refer(sandbox, "truncated+jane@example.com")
    assert [(one.status, one.code) for one in sandbox.calls()] == [(200, "truncated")]


def test_a_200_can_be_unreadable(sandbox: RunningSandbox) -> None:
    """A success can come without JSON, or without the referral."""
    garbled = refer(sandbox, "notjson+jane@example.com")
    assert garbled.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        garbled.json()
    empty = refer(sandbox, "noreferral+jane@example.com")
    assert empty.status_code == 200
    assert "referral" not in empty.json()


def test_a_count_ends_the_misbehaviour(sandbox: RunningSandbox) -> None:
    """With a count the customer's first calls go wrong and the next ones don't, each customer's by itself."""
    for email in ("fail503x2+jane@example.com", "fail503x2+joe@example.com"):
        assert [refer(sandbox, email).status_code for _ in range(4)] == [503, 503, 200, 200]


def test_behaviours_can_be_configured(sandbox: RunningSandbox) -> None:
    """The configuration names customers regardless of case, with a count, and goes before the address."""
    answers = [refer(sandbox, "jane@example.com") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [418, 418, 200]
    assert answers[0].json()["id"] == "no_tea_here"
    assert refer(sandbox, "busy@example.com").headers["Retry-After"] == "7"
    assert refer(sandbox, "fail500+calm@example.com").json()["id"] == "configured"


def test_a_lost_answer_can_mean_that_nothing_was_done(sandbox: RunningSandbox) -> None:
    """Whether the referral was made behind a lost answer is a setting, since a caller can't tell."""
    with pytest.raises(requests.ConnectionError):
        refer(sandbox, "lost@example.com")
    assert referrals_of(sandbox, "lost@example.com") == 0


def test_behaviours_are_parsed_from_their_names() -> None:
    """Names and counts as in addresses; an unknown name is refused with the list of known ones."""
    assert Behaviour.parse(" Timeoutx3 ") == Behaviour("timeout", times=3)
    assert Behaviour.parse("html403") == Behaviour("page", 403, "sandbox_403")
    for wrong in ("", "nap", "fail", "fail99", "timeout500", "timeoutx"):
        with pytest.raises(UsageError, match="noreferral"):
            Behaviour.parse(wrong)
