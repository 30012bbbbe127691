"""A whole campaign through the commands as separate processes, checked on the receiving side."""

import json
import signal
from collections import Counter, defaultdict

import pytest

from tests.integration.rabbitmq.tap import await_listing, disconnect
from tests.services import RabbitMQ, Vhost, wait_until
from tests.system.commands import Desk, Sandbox

SHOPS = [f"shop-{number:02}" for number in range(20)]

PER_SECOND = 8
"""A shop has 50 jobs: at this pace they take long enough to be disturbed in the middle, on a busy machine too."""
BURST = 5
CUSTOMER_PER_SECOND = 2

GRANT_SECONDS = 0.25
"""How late a granted call may start, which bunches arrivals up by that much of the rate."""

DOCUMENTED = {
    "missing_customer_identity",
    "empty_customer_identity",
    "customer_identity_partially_mismatches_matched_customer",
    "no_customers_match_customer_identity",
    "customer_identity_does_not_match_token",
    "invalid_token",
    "obsolete_global_api_version",
    "inaccessible_global_api_version",
    "invalid_global_api_version",
    "rate_limit_exceeded",
}


def rows_of(shop: str) -> list[dict[str, str]]:
    """50 rows: 40 customers once, one five times, friends by e-mail, and some whom the API turns down."""
    rows = [{"customer_email": f"c{number}@{shop}.example.com", "channel": "whatsapp"} for number in range(40)]
    channels = ("sms", "qr-code", "telegram", "custom-personal", "threads")
    rows += [{"customer_shopid": "keen", "channel": channel} for channel in channels]
    rows.append({"customer_bhid": "b1", "channel": "email", "destination": "friend@example.com"})
    rows.append({"customer_bhid": "b2", "channel": "email", "destination": "other@example.com"})
    faults = ("stranger", "mismatch", "rule")
    rows += [{"customer_email": f"{fault}+1@{shop}.example.com", "channel": "sms"} for fault in faults]
    return [{"shop": shop, "reference": f"{shop}/{line}", **row} for line, row in enumerate(rows)]


def as_body(row: dict[str, str]) -> str:
    """What a row is to look like in a call, as canonical JSON."""
    customer = {key.removeprefix("customer_"): value for key, value in row.items() if key.startswith("customer_")}
    body = {"customer": customer, "channel": row["channel"]}
    if "destination" in row:
        body["destination"] = row["destination"]
    return json.dumps(body, sort_keys=True)


def most_over(stamps: list[float], rate: float, burst: float) -> float:
    """By how many calls the worst of all windows exceeds ``burst`` + ``rate`` a second."""
    ordered = sorted(stamps)
    return max(
        (last - first + 1) - burst - rate * (ordered[last] - ordered[first])
        for first in range(len(ordered))
        for last in range(first, len(ordered))
    )


@pytest.mark.parametrize("closing", [False, True], ids=["undisturbed", "connections-closed"])
def test_a_campaign_over_many_shops(desk: Desk, rabbitmq: RabbitMQ, vhost: Vhost, closing: bool) -> None:
    """1,000 jobs of 20 shops: one result and one call each, right tokens and bodies, counters and pace that agree.

    Also where RabbitMQ closes every connection in the middle.
    """
    rows = [row for shop in SHOPS for row in rows_of(shop)]
    desk.write_export("campaign.csv", rows)
    limits = {"per_second": PER_SECOND, "burst": BURST, "customer_per_second": CUSTOMER_PER_SECOND}
    desk.write_shops("http://127.0.0.1:9", SHOPS, **limits)
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, SHOPS, **limits)

    collect = desk.start("collect", "--out", "results.csv")
    work = desk.start("work")
    await_listing(rabbitmq, vhost, "referral-dispatch worker", count=2)
    await_listing(rabbitmq, vhost, "referral-dispatch collect")
    published = desk.run("publish", "campaign.csv", "--campaign", "spring", "--json")
    assert published.returncode == 0, published.stderr
    assert json.loads(published.stdout)["published"] == 1000
    if closing:
        wait_until(lambda: sandbox.summary()["calls"] >= 200, 30, "the middle of the campaign")
        disconnect(rabbitmq, vhost, "referral-dispatch worker")
        disconnect(rabbitmq, vhost, "referral-dispatch collect")
        assert sandbox.summary()["calls"] < 1000
    wait_until(lambda: len(desk.results()) >= 1000, 60, "1,000 results")
    counted = desk.metrics()
    work.signal(signal.SIGTERM)
    collect.signal(signal.SIGTERM)
    assert (work.wait(), collect.wait()) == (0, 0), work.stderr

    results = desk.results()
    assert len(results) == len({result["job_id"] for result in results}) == 1000
    assert {result["reference"] for result in results} == {row["reference"] for row in rows}
    assert Counter(result["outcome"] for result in results) == {"sent": 940, "rejected": 60}
    assert "example.com" not in work.stderr
    check_calls(sandbox, rows)
    check_counters(sandbox, counted)
    check_pace(sandbox)


def check_calls(sandbox: Sandbox, rows: list[dict[str, str]]) -> None:
    """Each row was called once, with its own shop's token."""
    calls = sandbox.calls()
    told = Counter((call["shop"], json.dumps(call["body"], sort_keys=True)) for call in calls)
    assert told == Counter((row["shop"], as_body(row)) for row in rows)
    assert all((call["key_id"], call["subject"]) == (f"key-{call['shop']}", call["shop"]) for call in calls)


def check_counters(sandbox: Sandbox, counted: dict[tuple[str, ...], float]) -> None:
    """The worker counted what the receiving side counted, and shows every documented code."""
    for shop, received in sandbox.summary()["shops"].items():
        shown = {key[2]: value for key, value in counted.items() if key[:2] == ("refer2_responses_total", shop)}
        assert {code: count for code, count in shown.items() if count} == received
        assert shown.keys() >= DOCUMENTED | {"ok", "other"}
        outcomes = {key[2]: value for key, value in counted.items() if key[:2] == ("referral_results_total", shop)}
        assert {name: count for name, count in outcomes.items() if count} == {"sent": 47, "rejected": 3}
        assert counted["refer2_requests_in_flight", shop] == 0


def check_pace(sandbox: Sandbox) -> None:
    """No window of any length, of any shop or customer, holds more calls than its limit."""
    by_shop: dict[str, list[float]] = defaultdict(list)
    by_customer: dict[tuple[str, str], list[float]] = defaultdict(list)
    for call in sandbox.calls():
        at = call["arrived_at"] / 1_000_000
        by_shop[call["shop"]].append(at)
        by_customer[call["shop"], json.dumps(call["body"]["customer"])].append(at)
    assert max(most_over(stamps, PER_SECOND, BURST) for stamps in by_shop.values()) <= 1 + PER_SECOND * GRANT_SECONDS
    worst = max(most_over(stamps, CUSTOMER_PER_SECOND, CUSTOMER_PER_SECOND) for stamps in by_customer.values())
    assert worst <= CUSTOMER_PER_SECOND * GRANT_SECONDS
