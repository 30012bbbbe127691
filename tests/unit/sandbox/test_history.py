"""A sandbox whose customers' friends accept referrals, as reads of the vendor would show it."""

import json
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests

from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET, SandboxConfig
from worker.sandbox.server import RunningSandbox

CUSTOMERS = 60


def post(sandbox: RunningSandbox, call: str, body: object, subject: str = "acme") -> requests.Response:
    bearer = jwt.encode({"aud": "BH", "sub": subject}, SANDBOX_SECRET, "HS256", headers={"kid": SANDBOX_KEY_ID})
    return requests.post(
        f"{sandbox.url}/api/v2023061/acme/{call}", json=body, headers={"Authorization": f"Bearer {bearer}"}, timeout=10
    )


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[RunningSandbox]:
    with RunningSandbox(SandboxConfig(limits=None, read_limits=None, accepted=request.param)) as running:
        for number in range(CUSTOMERS):
            post(running, "Refer2", {"customer": {"shopid": str(number)}, "channel": "sms"})
        yield running


def entries(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    return [
        entry
        for number in range(CUSTOMERS)
        for entry in post(sandbox, "CustomerReferrals2", {"customer": {"shopid": str(number)}}).json()["referrals"]
    ]


@pytest.mark.parametrize("sandbox", [0.5], indirect=True)
def test_a_share_of_the_referrals_is_accepted(sandbox: RunningSandbox) -> None:
    """A referral that one to three friends accepted is an entry for each of them, and the others are one."""
    listed = entries(sandbox)
    accepted = [entry for entry in listed if entry["acceptance_bhid"]]
    assert len({entry["referral_bhid"] for entry in listed}) == CUSTOMERS
    assert len({entry["acceptance_bhid"] for entry in accepted}) == len(accepted)
    assert 15 < len({entry["referral_bhid"] for entry in accepted}) < 45
    assert {entry["status"] for entry in accepted} == {"approved", "qualified", "rejected"}
    assert all(entry["accepted_at"] for entry in accepted)
    assert listed == entries(sandbox)


@pytest.mark.parametrize("sandbox", [0.5], indirect=True)
def test_the_history_lists_the_rewards(sandbox: RunningSandbox) -> None:
    """A line of JSON for each approved acceptance, from the time that is asked for on."""
    approved = {entry["acceptance_bhid"] for entry in entries(sandbox) if entry["status"] == "approved"}
    asked = {"topics": "pts:earned:ref:sent", "format": "JSONL", "limit": -1}
    lines = post(sandbox, "ListHistory1", asked).text.splitlines()
    assert {json.loads(line)["referral.acceptance_bhid"] for line in lines} == approved
    assert post(sandbox, "ListHistory1", asked | {"start_time": "2999-01-01T00:00:00Z"}).text == ""


@pytest.mark.parametrize("sandbox", [0.0], indirect=True)
def test_nobody_accepts_unless_asked_for(sandbox: RunningSandbox) -> None:
    """Without a share all referrals stay invitations, and the history is empty."""
    assert {entry["status"] for entry in entries(sandbox)} == {"invited"}
    assert post(sandbox, "ListHistory1", {"format": "JSONL"}).text == ""


@pytest.mark.parametrize("sandbox", [0.0], indirect=True)
@pytest.mark.parametrize(
    ("body", "subject", "code"),
    [({"format": "CSV"}, "acme", "invalid_request"), ({"format": "JSONL"}, "acme/7", "access_denied")],
)
def test_the_history_is_refused(sandbox: RunningSandbox, body: object, subject: str, code: str) -> None:
    """It comes as JSON lines, and not to a customer's token."""
    assert post(sandbox, "ListHistory1", body, subject).json()["id"] == code
