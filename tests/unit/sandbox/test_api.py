"""The emulator's answers over real HTTP."""

from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests

from worker.clock import ManualClock
from worker.instants import SECOND
from worker.model.rehearsal import is_rehearsed
from worker.model.verdicts import DOCUMENTED_CODES
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET, SandboxConfig
from worker.sandbox.server import RunningSandbox

NOW = 1_900_000_000 * SECOND
ACME_SECRET = "a-secret-of-acme-made-up-for-this-test-0001"
OTHER_SECRET = "a-secret-of-other-made-up-for-this-test-0002"
JANE = {"email": "jane@example.com"}


def token(subject: str = "acme", key_id: str = SANDBOX_KEY_ID, secret: str = SANDBOX_SECRET, **claims: Any) -> str:
    return jwt.encode({"aud": "BH", "sub": subject} | claims, secret, "HS256", headers={"kid": key_id})


def call(
    sandbox: RunningSandbox,
    body: object,
    *,
    bearer: str | None = None,
    method: str = "Refer2",
    shop: str = "acme",
    version: str = "v2023061",
) -> requests.Response:
    return requests.post(
        f"{sandbox.url}/api/{version}/{shop}/{method}",
        json=body,
        headers={"Authorization": f"Bearer {token() if bearer is None else bearer}"},
        timeout=10,
        allow_redirects=False,
    )


def refer(sandbox: RunningSandbox, customer: object = None, **fields: object) -> requests.Response:
    return call(sandbox, {"customer": customer or JANE, "channel": "whatsapp"} | fields)


def verdict(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["id"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    config = SandboxConfig(
        limits=None,
        read_limits=None,
        obsolete_versions={"v1"},
        inaccessible_versions={"v9"},
        strangers={"Nobody@example.com", "s-0"},
        mismatches={("s-1", "jane@example.com")},
    )
    with RunningSandbox(config, ManualClock(NOW)) as running:
        yield running


def test_a_referral_has_the_documented_fields(sandbox: RunningSandbox) -> None:
    """A call that is in order is answered with the referral, a link of its own and a message."""
    answer = refer(sandbox, channel="email", destination="friend@example.com").json()
    referral = answer["referral"]
    assert answer["message"]
    assert {"referral_bhid", "channel", "destination", "status", "link", "sent_at", "updated_at"} <= set(referral)
    assert (referral["channel"], referral["destination"]) == ("email", "friend@example.com")
    assert referral["status"] == "invited"
    assert referral["sent_at"] == "2030-03-17T17:46:40Z"
    assert referral["link"].endswith(referral["referral_bhid"])


def test_every_answer_is_marked(sandbox: RunningSandbox) -> None:
    """Nobody takes the emulator's results for Refer2's: links lead nowhere, and every text says where it comes from."""
    sent, refused = refer(sandbox).json(), refer(sandbox, {"email": "nobody@example.com"}).json()
    assert sent["referral"]["link"].startswith("https://sandbox.invalid/acme/")
    assert sent["message"].startswith("SANDBOX: nothing was sent")
    assert "https://sandbox.invalid/" in sent["share_action"]["text"]
    assert refused["message"].startswith("SANDBOX: ")
    unmarked = {"referral": {"link": "https://acme.com/r/1"}, "message": "Thank you"}
    assert [is_rehearsed(result) for result in (sent, refused, sent | {"message": None}, unmarked, {})] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_the_same_referral_is_reused(sandbox: RunningSandbox) -> None:
    """The same customer, channel and destination give the same referral; any other of them a new one."""
    email = {"channel": "email", "destination": "friend@example.com"}
    first = refer(sandbox, **email).json()["referral"]
    again = refer(sandbox, {"email": " JANE@example.com"}, **email | {"destination": "Friend@example.com"})
    others = [
        refer(sandbox, **email | {"destination": "other@example.com"}),
        refer(sandbox, {"email": "joe@example.com"}, **email),
        refer(sandbox),
    ]
    bhids = {response.json()["referral"]["referral_bhid"] for response in others}
    assert again.json()["referral"] == first
    assert len(bhids | {first["referral_bhid"]}) == 4


@pytest.mark.parametrize(
    "channel", ["sms", "facebook", "messenger", "whatsapp", "telegram", "qr-code", "custom-social", "next-year's"]
)
def test_a_channel_that_the_customer_shares_on_has_a_share_action(sandbox: RunningSandbox, channel: str) -> None:
    """On every channel but e-mail, new ones included, the answer says how to share the link."""
    answer = refer(sandbox, channel=channel).json()
    bhid = answer["referral"]["referral_bhid"]
    assert answer["referral"]["destination"] is None
    assert any(bhid in text for text in answer["share_action"].values())


def test_an_email_has_no_share_action(sandbox: RunningSandbox) -> None:
    """The shop sends e-mails itself, so nothing is left to do."""
    assert "share_action" not in refer(sandbox, channel="email", destination="friend@example.com").json()


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": None},
        {"channel": "email"},
        {"channel": "email", "destination": "no-address"},
        {"channel": "sms", "destination": "friend@example.com"},
        {"customer": "jane@example.com"},
        {"customer": {"email": 7}},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(sandbox: RunningSandbox, fields: dict[str, object]) -> None:
    """What the call's own fields get wrong is a 4xx with a code that is not a documented one."""
    status, code = verdict(refer(sandbox, **fields))
    assert 400 <= status < 500
    assert code not in DOCUMENTED_CODES


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(sandbox: RunningSandbox, raw: bytes) -> None:
    """A body that can't be read is answered 400 and doesn't upset the sandbox."""
    response = requests.post(
        f"{sandbox.url}/api/v2023061/acme/Refer2",
        data=raw,
        headers={"Authorization": f"Bearer {token()}"},
        timeout=10,
    )
    assert verdict(response) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        (None, (400, "missing_customer_identity")),
        ({}, (404, "empty_customer_identity")),
        ({"email": "  ", "shopid": "", "bhid": None}, (404, "empty_customer_identity")),
        ({"email": "nobody@EXAMPLE.com"}, (404, "no_customers_match_customer_identity")),
        ({"email": "nobody@example.com", "shopid": "s-0"}, (404, "no_customers_match_customer_identity")),
        (
            {"email": "jane@example.com", "shopid": "s-0"},
            (404, "customer_identity_partially_mismatches_matched_customer"),
        ),
        (
            {"email": "jane@example.com", "shopid": "S-1"},
            (404, "customer_identity_partially_mismatches_matched_customer"),
        ),
    ],
)
def test_customer_identity_with_a_shop_token(
    sandbox: RunningSandbox, customer: object, expected: tuple[int, str]
) -> None:
    """A shop token needs a customer, who must exist and be one and the same by all ids given."""
    assert verdict(call(sandbox, {"customer": customer, "channel": "sms"})) == expected


def test_ids_that_are_not_listed_together_match(sandbox: RunningSandbox) -> None:
    """Everybody who isn't listed is a customer, by whichever ids."""
    assert refer(sandbox, {"shopid": "s-1", "email": "joe@example.com", "bhid": "b-1"}).status_code == 200


@pytest.mark.parametrize(
    ("customer", "claims", "expected"),
    [
        (None, {}, 200),
        ({}, {}, 200),
        ({"shopid": "1234"}, {}, 200),
        ({"shopid": "1234", "email": "jane@example.com"}, {"ce": "Jane@example.com"}, 200),
        ({"shopid": "99"}, {}, 403),
        ({"email": "joe@example.com"}, {"ce": "jane@example.com"}, 403),
    ],
)
def test_customer_identity_with_a_customer_token(
    sandbox: RunningSandbox, customer: object, claims: dict[str, str], expected: int
) -> None:
    """A customer token names the customer; one that is sent besides must be the same."""
    response = call(sandbox, {"customer": customer, "channel": "sms"}, bearer=token("acme/1234", **claims))
    assert response.status_code == expected
    if expected == 403:
        assert verdict(response) == (403, "customer_identity_does_not_match_token")


def test_a_customer_token_refers_from_the_customer_of_the_same_shop_id(sandbox: RunningSandbox) -> None:
    """The same referral by shop token and by customer token is one referral."""
    by_shop = call(sandbox, {"customer": {"shopid": "c-7"}, "channel": "sms"}).json()
    by_customer = call(sandbox, {"channel": "sms"}, bearer=token("acme/c-7")).json()
    assert by_customer["referral"] == by_shop["referral"]


@pytest.mark.parametrize(
    "bearer",
    [
        "",
        "nonsense",
        "n\xf6nsense",
        token("other"),
        token("acmeX/1"),
        token(key_id="unknown"),
        token(secret=OTHER_SECRET),
        token(aud="XX"),
        token(exp=NOW // SECOND),
        token(exp="soon"),
        jwt.encode({"aud": "BH"}, SANDBOX_SECRET, "HS256", headers={"kid": SANDBOX_KEY_ID}),
        jwt.encode({"aud": "BH", "sub": "acme"}, SANDBOX_SECRET, "HS256"),
        jwt.encode({"aud": "BH", "sub": "acme"}, SANDBOX_SECRET * 2, "HS512", headers={"kid": SANDBOX_KEY_ID}),
    ],
)
@pytest.mark.parametrize("method", ["Refer2", "Status2", "CustomerReferrals2"])
def test_a_bad_token_is_refused(sandbox: RunningSandbox, bearer: str, method: str) -> None:
    """Key id, signature, algorithm, audience, subject and expiry are all checked, on every method."""
    response = call(sandbox, {"customer": JANE, "channel": "sms"}, bearer=bearer, method=method)
    assert verdict(response) == (401, "invalid_token")


def test_a_token_is_refused_once_it_has_expired() -> None:
    """A token that was accepted before is still checked for its end."""
    clock = ManualClock(NOW)
    bearer = token(exp=NOW // SECOND + 60)
    with RunningSandbox(SandboxConfig(limits=None), clock) as sandbox:
        assert call(sandbox, None, bearer=bearer, method="Status2").status_code == 200
        clock.advance(60 * SECOND)
        assert verdict(call(sandbox, None, bearer=bearer, method="Status2")) == (401, "invalid_token")


def test_each_shop_has_its_own_keys() -> None:
    """With shops configured, a key is good for its own shop only and another slug is a plain 404."""
    shops = {"acme": {"k1": ACME_SECRET, "k2": OTHER_SECRET}, "other": {"k1": OTHER_SECRET}}
    forged = token("other", "k1", ACME_SECRET)
    with RunningSandbox(SandboxConfig(shops=shops)) as sandbox:
        for key_id, secret in shops["acme"].items():
            good = token("acme", key_id, secret)
            assert call(sandbox, None, bearer=good, method="Status2").status_code == 200
        assert call(sandbox, None, bearer=forged, method="Status2").status_code == 401
        # Now by way of the shop whose key has signed it, which must not make it pass at the other either.
        assert call(sandbox, None, bearer=forged, method="Status2", shop="acme").status_code == 401
        assert call(sandbox, None, bearer=forged, method="Status2", shop="other").status_code == 401
        unknown = call(sandbox, {}, bearer=forged, shop="elsewhere")
        assert unknown.status_code == 404
        assert unknown.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("version", "code"),
    [
        ("v1", "obsolete_global_api_version"),
        ("v9", "inaccessible_global_api_version"),
        ("v0", "invalid_global_api_version"),
    ],
)
def test_an_api_version_that_is_not_served_is_refused(sandbox: RunningSandbox, version: str, code: str) -> None:
    """Each kind of wrong version has its own code."""
    assert verdict(call(sandbox, {"customer": JANE, "channel": "sms"}, version=version)) == (400, code)


def test_both_spellings_of_the_version_are_served(sandbox: RunningSandbox) -> None:
    """The vendor's pages show two spellings."""
    body = {"customer": JANE, "channel": "sms"}
    assert call(sandbox, body, version="v20230601").json() == call(sandbox, body).json()


def test_status2_tells_a_valid_token(sandbox: RunningSandbox) -> None:
    """Status2 answers 200 to GET and POST."""
    url = f"{sandbox.url}/api/v2023061/acme/Status2"
    for verb in ("GET", "POST"):
        response = requests.request(verb, url, headers={"Authorization": f"Bearer {token()}"}, timeout=10)
        assert response.status_code == 200


def test_customer_referrals2_lists_the_customers_referrals(sandbox: RunningSandbox) -> None:
    """A customer's own referrals are listed, masked unless a shop token asks for them as they are."""
    reader = {"shopid": "reader"}
    made = refer(sandbox, reader, channel="email", destination="friend@example.com").json()["referral"]
    method = "CustomerReferrals2"
    plain = call(sandbox, {"customer": reader, "deanonymize": True}, method=method).json()["referrals"]
    masked = call(sandbox, {"customer": reader}, method=method).json()["referrals"]
    own = call(sandbox, {"deanonymize": True}, bearer=token("acme/reader"), method=method).json()["referrals"]
    by_url = requests.get(
        f"{sandbox.url}/api/v2023061/acme/{method}?shopid=reader&deanonymize=true",
        headers={"Authorization": f"Bearer {token()}"},
        timeout=10,
    ).json()["referrals"]
    assert plain == by_url == [made]
    assert masked == own == [made | {"destination": "f***@example.com"}]


def test_customer_referrals2_of_somebody_without_any_is_empty(sandbox: RunningSandbox) -> None:
    """A customer who never referred has an empty list; a stranger is refused."""
    method = "CustomerReferrals2"
    assert call(sandbox, {"customer": {"bhid": "b-new"}}, method=method).json() == {"referrals": []}
    assert call(sandbox, {"customer": {"shopid": "s-0"}}, method=method).status_code == 404
    assert call(sandbox, {}, method=method).status_code == 400


def test_customer_referrals2_has_read_limits() -> None:
    """Reads are limited per customer, apart from the writes."""
    with RunningSandbox(SandboxConfig(max_delay=0), ManualClock(NOW)) as sandbox:
        answers = [call(sandbox, {"customer": JANE}, method="CustomerReferrals2") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert refer(sandbox).status_code == 200
