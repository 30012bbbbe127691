"""The shops are asked what came of a campaign's referrals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.unit.rawserver import RawServer, in_turn, response, sends
from worker.cli.conversions import ShopsAsked, Told
from worker.clock import SystemClock
from worker.model.job import Customer
from worker.refer2.tokens import TokenMaker
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET, SandboxConfig
from worker.sandbox.server import RunningSandbox
from worker.settings import Settings
from worker.shops.file import read_shops

CUSTOMERS = 40


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(url: str, **table: str) -> Settings:
        (tmp_path / "key").write_text(SANDBOX_SECRET)
        keys = {"key_id": SANDBOX_KEY_ID, "secret_file": "key", "base_url": url} | table
        path = tmp_path / "shops.toml"
        path.write_text("[shops.acme]\n" + "".join(f'{name} = "{value}"\n' for name, value in keys.items()))
        return Settings(shops=path)

    return make


def refer(loaded: Settings, count: int) -> list[dict[str, Any]]:
    """Make referrals for so many customers, as results."""
    shop = read_shops(loaded.shops, plaintext_hosts=None)["acme"]
    token = TokenMaker(SystemClock()).token(shop, Customer())
    results = []
    for number in range(count):
        answer = requests.post(
            f"{shop.base_url}/api/{shop.api_version}/acme/Refer2",
            json={"customer": {"shopid": str(number)}, "channel": "sms"},
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        ).json()
        at = answer["referral"]["sent_at"]
        results.append({"shop": "acme", "customer": {"shopid": str(number)}, "called_at": at, **answer})
    return results


def ask(loaded: Settings, results: list[dict[str, Any]]) -> Told:
    with ShopsAsked(loaded) as asked:
        for result in results:
            asked.add(result)
        return asked.ask()


def test_each_customer_is_asked_where_the_history_tells_nothing(settings: Callable[..., Settings]) -> None:
    """With customer tokens there is no history; every acceptance of every link counts, of this campaign alone."""
    with RunningSandbox(SandboxConfig(limits=None, read_limits=None, accepted=1)) as sandbox:
        results = refer(settings(sandbox.url), CUSTOMERS)
        told = ask(settings(sandbox.url, token="customer"), results[: CUSTOMERS // 2])
    assert told.sources == {"acme": "CustomerReferrals2"}
    assert told.remarks == []
    totals = told.totals
    assert totals["accepted"] > CUSTOMERS // 2
    assert totals["accepted"] > totals["qualified"] >= totals["rewarded"] > 0
    assert sum(sum(day.values()) for day in told.days.values()) == sum(totals.values())


def test_the_history_is_enough(settings: Callable[..., Settings]) -> None:
    """One list gives the rewards that the customers' own lists give, without a read for each of them."""
    with RunningSandbox(SandboxConfig(limits=None, read_limits=None, accepted=1)) as sandbox:
        results = refer(settings(sandbox.url), CUSTOMERS)
        by_history = ask(settings(sandbox.url), results)
        by_customer = ask(settings(sandbox.url, token="customer"), results)
    assert by_history.sources == {"acme": "ListHistory1"}
    assert by_history.totals["rewarded"] == by_customer.totals["rewarded"] > 0


def test_a_history_that_breaks_off_counts_for_nothing(settings: Callable[..., Settings]) -> None:
    """Its rows need not name the acceptances, so a friend who is in it and in a customer's list would count twice."""
    accepted = {"referral_bhid": "r1", "status": "approved", "accepted_at": "2026-11-02T11:00:00Z"}
    change = json.dumps(accepted | {"topic": "pts:earned:ref:sent", "time": "2026-11-02T11:00:00Z"}).encode()
    listed = response(200, {"referrals": [accepted | {"acceptance_bhid": "a1"}]})
    broken = response(200, change + b"\n", length=10_000)
    result = {"shop": "acme", "customer": {"shopid": "7"}, "called_at": "2026-11-02T10:00:00Z"}
    with RawServer(in_turn(sends(broken, then=lambda connection: connection.close()), sends(listed))) as server:
        told = ask(settings(server.url), [result | {"referral": {"referral_bhid": "r1"}}])
    assert told.sources == {"acme": "CustomerReferrals2"}
    assert told.totals == {"accepted": 1, "qualified": 1, "rewarded": 1}


def test_a_shop_that_cannot_be_asked_is_named(settings: Callable[..., Settings]) -> None:
    """One that is out of the shops file, or refuses the token; the others' figures stay."""
    with RunningSandbox(SandboxConfig(shops={"acme": {"other": SANDBOX_SECRET}})) as sandbox:
        told = ask(
            settings(sandbox.url),
            [
                {"shop": slug, "customer": {"shopid": "7"}, "finished_at": "2026-11-02T10:00:00Z"}
                | {"referral": {"referral_bhid": "r1"}}
                for slug in ("acme", "gone")
            ],
        )
    assert told.sources == {}
    assert told.totals == {"accepted": 0, "qualified": 0, "rewarded": 0}
    refused, gone = told.remarks
    assert refused.startswith(f"shop acme at {sandbox.url}: a read of referrals is refused (invalid_token)")
    assert refused.endswith("(0 of 1 customers were asked)")
    assert gone.startswith("shop gone: is not in ")
