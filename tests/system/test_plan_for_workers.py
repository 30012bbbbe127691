"""``referrals plan`` where RabbitMQ and a store can be asked: what is queued, paused and done already counts."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.system.commands import Desk

SHOP = f"plan-{uuid4().hex[:8]}"


@pytest.fixture
def shared(desk: Desk, redis_url: str) -> Desk:
    """A desk with a store and a shop that no other test uses."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    desk.write_shops("http://127.0.0.1:1", [SHOP], per_day=400)
    return desk


def options(name: str) -> tuple[str, ...]:
    return (f"{name}.csv", "--shop", SHOP, "--campaign", name, "--channel", "whatsapp")


def planned(desk: Desk, name: str) -> dict[str, Any]:
    done = desk.run("plan", *options(name), "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_plan_counts_what_is_queued_and_obeys_a_pause(shared: Desk) -> None:
    """Jobs behind 500 queued ones need a second day, and those of a paused shop are done nobody knows when."""
    for name, rows in (("winter", 500), ("spring", 100)):
        shared.write_export(f"{name}.csv", [{"customer_email": f"{name}{n}@example.org"} for n in range(rows)])
    assert planned(shared, "spring")["shops"][SHOP]["days"] == 1
    assert shared.run("publish", *options("winter")).returncode == 0

    shown = shared.run("plan", *options("spring"))
    assert f"{SHOP}: 100 jobs behind 500 that are queued, done in " in shown.stdout
    assert "over 2 days, since a day's quota is 400 calls" in shown.stdout
    assert f"one more worker changes nothing: {SHOP}'s limit is 400 calls a day" in shown.stdout
    assert "referrals: no worker takes these shops' jobs at present; it is counted with one" in shown.stderr

    assert shared.run("shops", "pause", SHOP, "--reason", "stocktaking").returncode == 0
    assert planned(shared, "spring")["shops"][SHOP]["done_at"] is None
    shown = shared.run("plan", *options("spring"))
    assert "once it is open again; it is paused since" in " ".join(shown.stdout.split())
    assert "(stocktaking)" in shown.stdout

    assert shared.run("cancel", "spring", "--yes").returncode == 0
    refused = shared.run("plan", *options("spring"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--campaign spring: is cancelled" in refused.stderr


def test_a_plan_changes_no_queue(shared: Desk) -> None:
    """Nothing is published, and nothing is counted as published."""
    shared.write_export("summer.csv", [{"customer_email": "ann@example.org"}])
    for _ in range(2):
        assert planned(shared, "summer")["shops"][SHOP]["jobs"] == 1
    dry = shared.run("publish", *options("summer"), "--dry-run", "--json")
    assert json.loads(dry.stdout)["jobs"] == 1
    assert "no job of a campaign summer has been counted" in shared.run("status", "summer").stderr
