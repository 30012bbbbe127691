"""SIGTERM amid calls: they finish, none starts any more, nothing is lost, and the next worker continues."""

import signal
import sys
from collections import Counter
from collections.abc import Callable

import psutil
import pytest

from tests.services import RabbitMQ, Vhost, wait_until
from tests.services.process import lives
from tests.system.commands import Desk, Process, Sandbox

JOBS = 60

SLOW = 10
"""Calls a second that the sandbox answers; it holds back what comes faster, so that calls take about a second."""

HANDED_ON = 0.5
"""Seconds from the signal to the last arrival of a call that was on its way: Dramatiq's parent passes it on."""

WORK = ("work",)
DRAMATIQ = ("worker.actors", "-p", "1", "-t", "16")


def start_worker(desk: Desk, command: tuple[str, ...]) -> Process:
    """Our command, or Dramatiq's own; not a fork, which has imported all before there is a place for metrics."""
    return desk.start(*command, program="worker" if command == WORK else "dramatiq", python=sys.executable)


def open_campaign(desk: Desk) -> Sandbox:
    """A slow sandbox, and 60 published jobs for it."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml", "--per-second", str(SLOW))
    desk.write_shops(sandbox.url, ["acme"], per_second=100)
    rows = [{"customer_email": f"c{number}@example.com", "channel": "sms"} for number in range(JOBS)]
    desk.write_export("campaign.csv", rows)
    published = desk.run("publish", "campaign.csv", "--shop", "acme", "--campaign", "spring")
    assert published.returncode == 0, published.stderr
    return sandbox


def by_pid(work: Process) -> float:
    """One SIGTERM, to the process that was started."""
    return work.signal(signal.SIGTERM)


def to_the_group(work: Process) -> float:
    """SIGTERM to the whole process group: a worker process gets it twice, once from its parent."""
    return work.signal(signal.SIGTERM, group=True)


@pytest.mark.parametrize(
    ("command", "stop"),
    [(WORK, by_pid), (WORK, to_the_group), (DRAMATIQ, to_the_group)],
    ids=["work-pid", "work-group", "dramatiq-group"],
)
def test_a_worker_that_is_stopped_drains(
    desk: Desk, rabbitmq: RabbitMQ, vhost: Vhost, command: tuple[str, ...], stop: Callable[[Process], float]
) -> None:
    """Calls under way finish and no other starts, exit code 0; what was not called is still in its queue."""
    sandbox = open_campaign(desk)
    work = start_worker(desk, command)
    wait_until(lambda: sandbox.summary()["in_progress"] >= 10, 20, "calls in flight")
    before = desk.metrics()["refer2_requests_in_flight", "acme"]

    stopped_at = stop(work)
    assert work.wait() == 0, work.stderr

    calls = sandbox.calls()
    assert before >= 10
    assert 10 <= len(calls) < JOBS
    assert max(call["arrived_at"] for call in calls) / 1_000_000 <= stopped_at + HANDED_ON
    assert {call["code"] for call in calls} == {"ok"}
    assert sandbox.summary()["in_progress"] == 0
    left = {"referrals.shop.acme": JOBS - len(calls), "referrals.results": len(calls)}
    wait_until(lambda: rabbitmq.depths(vhost).items() >= left.items(), 10, f"{left}")
    assert sum(rabbitmq.depths(vhost).values()) == JOBS
    assert "Traceback" not in work.stderr
    assert "example.com" not in work.stderr


def test_an_orphan_ends(desk: Desk) -> None:
    """Where the parent alone is killed its child drains and ends; the next worker calls each job that is left once."""
    sandbox = open_campaign(desk)
    collect = desk.start("collect", "--out", "results.csv")
    first = start_worker(desk, WORK)
    wait_until(lambda: sandbox.summary()["in_progress"] >= 10, 20, "calls in flight")
    children = [child for child in psutil.Process(first.pid).children(recursive=True) if child.num_threads() > 1]
    try:
        first.signal(signal.SIGKILL)
        wait_until(lambda: not any(map(lives, children)), 40, "the orphan to end")
    finally:
        for child in filter(lives, children):
            child.kill()
    assert children
    assert sandbox.summary()["calls"] < JOBS
    assert sandbox.summary()["in_progress"] == 0

    second = desk.start("work")
    wait_until(lambda: len(desk.results()) >= JOBS, 40, "every result")
    by_pid(second)
    collect.signal(signal.SIGTERM)
    assert (second.wait(), collect.wait()) == (0, 0)

    assert Counter(result["outcome"] for result in desk.results()) == {"sent": JOBS}
    assert len(sandbox.calls()) == JOBS


def test_an_orphan_that_has_not_started_ends(desk: Desk) -> None:
    """Where the parent is killed while its children are still being imported, they end before they take a job."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    parent = start_worker(desk, DRAMATIQ)
    process = psutil.Process(parent.pid)
    children = wait_until(process.children, 20, "a child")
    try:
        parent.signal(signal.SIGKILL)
        wait_until(lambda: not any(map(lives, children)), 40, "the orphan to end")
    finally:
        for child in filter(lives, children):
            child.kill()


def test_the_next_worker_finishes_what_a_stopped_one_left(desk: Desk) -> None:
    """After a stop amid calls another worker does the rest: one result and one call for each job."""
    sandbox = open_campaign(desk)
    collect = desk.start("collect", "--out", "results.csv")
    first = desk.start("work")
    wait_until(lambda: sandbox.summary()["in_progress"] >= 10, 20, "calls in flight")
    to_the_group(first)
    assert first.wait() == 0
    assert sandbox.summary()["calls"] < JOBS

    second = desk.start("work")
    wait_until(lambda: len(desk.results()) >= JOBS, 40, "every result")
    by_pid(second)
    collect.signal(signal.SIGTERM)
    assert (second.wait(), collect.wait()) == (0, 0)

    assert Counter(result["outcome"] for result in desk.results()) == {"sent": JOBS}
    assert set(Counter(call["body"]["customer"]["email"] for call in sandbox.calls()).values()) == {1}
    assert len(sandbox.calls()) == JOBS
