"""What a plan says of a paced, a timed and a first-N campaign is what workers then do."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.services import wait_until
from tests.system.commands import Desk, Sandbox

SHOP = f"plan-{uuid4().hex[:8]}"
CLOSE = 4.0
"""Seconds that a busy machine, a second's look for orders and rounding may add."""


@pytest.fixture
def desk(desk: Desk, redis_url: str) -> Desk:
    """A shared store, and an export of 60 jobs."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    rows = [{"customer_email": f"c{number}@x.example", "channel": "sms"} for number in range(60)]
    desk.write_export("export.csv", rows)
    return desk


@pytest.fixture
def sandbox(desk: Desk) -> Sandbox:
    """A sandbox for one shop, which a worker calls."""
    desk.write_shops("http://127.0.0.1:9", [SHOP])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, [SHOP], per_second=20.0, burst=1)
    return sandbox


def planned(desk: Desk, *options: str) -> dict[str, Any]:
    done = desk.run("plan", "export.csv", "--shop", SHOP, "--campaign", "spring", *options, "--json")
    assert done.returncode == 0, done.stderr
    shop: dict[str, Any] = json.loads(done.stdout)["shops"][SHOP]
    return shop


def published(desk: Desk, *options: str) -> None:
    done = desk.run("publish", "export.csv", "--shop", SHOP, "--campaign", "spring", *options)
    assert done.returncode == 0, done.stderr


def stamps(sandbox: Sandbox) -> list[float]:
    """When the sandbox was called, in Unix time."""
    return sorted(call["arrived_at"] / 1e6 for call in sandbox.calls())


def test_a_paced_campaign_takes_as_long_as_planned(desk: Desk, sandbox: Sandbox) -> None:
    """At four a second in place of twenty, by the order that stands in the store."""
    assert planned(desk)["seconds"] <= 4
    ordered = desk.run("campaigns", "pace", "spring", "--per-second", "4")
    assert ordered.returncode == 0, ordered.stderr
    plan = planned(desk)
    assert (plan["calls_per_second"], plan["held_back"]) == (4.0, 0)
    published(desk)
    desk.start("work", "--threads", "4")
    wait_until(lambda: len(sandbox.calls()) == 60, 60, "all calls")
    calls = stamps(sandbox)
    assert calls[-1] - calls[0] == pytest.approx(plan["seconds"], abs=CLOSE)


def test_a_timed_campaign_begins_and_ends_as_planned(desk: Desk, sandbox: Sandbox) -> None:
    """Its first call and its last."""
    starts = (datetime.now(UTC) + timedelta(seconds=15)).isoformat()
    plan = planned(desk, "--not-before", starts)
    desk.start("work", "--threads", "4")
    published(desk, "--not-before", starts)
    wait_until(lambda: len(sandbox.calls()) == 60, 60, "all calls")
    calls = stamps(sandbox)
    for name, at in (("starts_at", calls[0]), ("done_at", calls[-1])):
        assert datetime.fromisoformat(plan[name]).timestamp() == pytest.approx(at, abs=CLOSE)


def test_the_first_jobs_are_done_as_planned_and_the_rest_after_a_release(desk: Desk, sandbox: Sandbox) -> None:
    """Nobody knows when all of it is done; how long the rest takes is known."""
    plan = planned(desk, "--first", "20")
    assert (plan["done_at"], plan["held_back"]) == (None, 40)
    took_first = datetime.fromisoformat(plan["first_done_at"]).timestamp() - time.time()
    assert took_first < CLOSE
    shown = desk.run("plan", "export.csv", "--shop", SHOP, "--campaign", "spring", "--first", "20").stdout
    assert "the first 20 done in" in shown
    assert "the other 40 wait for `referrals campaigns release`" in " ".join(shown.split())
    desk.start("work", "--threads", "4")
    published(desk, "--first", "20")
    wait_until(lambda: len(sandbox.calls()) == 20, 30, "the first calls")
    assert desk.run("campaigns", "release", "spring", "--shop", SHOP).returncode == 0
    wait_until(lambda: len(sandbox.calls()) == 60, 30, "the rest")
    calls = stamps(sandbox)
    assert calls[-1] - calls[20] == pytest.approx(plan["seconds"] - took_first, abs=CLOSE)
