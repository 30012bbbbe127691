"""Urgent jobs beside a campaign: published by the command or from Python, called first, and within the same limits."""

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.services import wait_until
from tests.system.commands import Desk, Sandbox

FROM_PYTHON = """
import sys
from worker import Customer, Job, publish
jobs = [Job.create(shop="acme", campaign="web", customer=Customer(email=f"{name}@example.com"), channel="sms")
        for name in sys.argv[1:]]
print(publish(jobs, urgent=True))
"""


def campaigns(sandbox: Sandbox) -> Counter[str]:
    """How many calls there were for customers of the campaign (c…) and for those on the web site (w…)."""
    return Counter(call["body"]["customer"]["email"][0] for call in sandbox.calls())


def export(desk: Desk, name: str, customers: list[str]) -> None:
    """Rows of these customers."""
    rows = [{"shop": "acme", "customer_email": f"{customer}@example.com", "channel": "sms"} for customer in customers]
    desk.write_export(name, rows)


def publish_from_python(desk: Desk, *customers: str) -> subprocess.CompletedProcess[str]:
    """As a web application does it."""
    command = [sys.executable, "-c", FROM_PYTHON, *customers]
    return subprocess.run(
        command, env=desk.env, cwd=desk.folder, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def sandbox(desk: Desk, redis_url: str) -> Sandbox:
    """A sandbox with the shop; workers and publishers share a store."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    return desk.start_sandbox("--shops", "shops.toml")


def test_urgent_jobs_pass_a_campaign(desk: Desk, sandbox: Sandbox) -> None:
    """The first urgent jobs of a shop make its queue; all are called while most of the campaign still waits."""
    desk.write_shops(sandbox.url, ["acme"], per_second=20, burst=5)
    export(desk, "spring.csv", [f"c{number}" for number in range(600)])
    export(desk, "web.csv", ["w1", "w2", "w3"])
    workers = desk.start("work", "--processes", "2")
    assert desk.run("publish", "spring.csv", "--campaign", "spring", "--yes").returncode == 0
    wait_until(lambda: campaigns(sandbox)["c"] > 20 or not workers.running(), 60, "the campaign to begin")
    ended = desk.run("publish", "web.csv", "--campaign", "web", "--urgent")
    assert ended.returncode == 0, ended.stderr
    wait_until(lambda: campaigns(sandbox)["w"] == 3 or not workers.running(), 20, "the urgent jobs")
    assert campaigns(sandbox)["c"] < 500
    python = publish_from_python(desk, "w4", "w5")
    assert python.stdout == "2\n", python.stderr
    wait_until(lambda: campaigns(sandbox)["w"] == 5 or not workers.running(), 20, "those from Python")
    assert campaigns(sandbox)["c"] < 550


def test_python_makes_the_first_queue(desk: Desk, sandbox: Sandbox) -> None:
    """A web application may be the first to have an urgent job for a shop, while workers run."""
    desk.write_shops(sandbox.url, ["acme"])
    worker = desk.start("work")
    wait_until(lambda: "subscribed" in worker.stderr or not worker.running(), 30, "the worker")
    python = publish_from_python(desk, "w1")
    assert python.stdout == "1\n", python.stderr
    wait_until(lambda: campaigns(sandbox)["w"] == 1 or not worker.running(), 20, "the call")


def test_urgent_jobs_go_on_when_bulk_has_spent_its_day(desk: Desk, sandbox: Sandbox) -> None:
    """Bulk stops before the reserve; urgent jobs get it, and nobody more than the day's quota."""
    now = datetime.now(UTC)
    desk.write_shops(
        sandbox.url,
        ["acme"],
        per_second=100,
        per_day=60,
        reserve_per_day=20,
        day_resets_at=f"{now.hour:02}:{now.minute:02}",
    )
    export(desk, "spring.csv", [f"c{number}" for number in range(100)])
    worker = desk.start("work")
    assert desk.run("publish", "spring.csv", "--campaign", "spring").returncode == 0
    wait_until(lambda: campaigns(sandbox)["c"] == 40 or not worker.running(), 60, "bulk's part of the day")
    export(desk, "web.csv", [f"w{number}" for number in range(25)])
    assert desk.run("publish", "web.csv", "--campaign", "web", "--urgent").returncode == 0
    wait_until(lambda: campaigns(sandbox)["w"] == 20 or not worker.running(), 30, "the urgent jobs")
    assert campaigns(sandbox) == {"c": 40, "w": 20}


def test_nobody_publishes_where_no_worker_would_look(desk: Desk) -> None:
    """Without a shared store, urgent jobs need a shop that the file says has a queue for them."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    export(desk, "web.csv", ["w1"])
    ended = desk.run("publish", "web.csv", "--campaign", "web", "--urgent")
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "shop acme has no queue for urgent jobs: set `urgent = true`" in line
    python = publish_from_python(desk, "w1")
    assert "has no queue for urgent jobs: set `urgent = true`" in python.stderr
    desk.write_shops("http://127.0.0.1:9", ["acme"], urgent=True)
    assert desk.run("publish", "web.csv", "--campaign", "web", "--urgent").returncode == 0
    assert publish_from_python(desk, "w1").stdout == "1\n"
