"""A campaign is held and let go while something breaks: its jobs move between queues, and none is lost or repeated."""

import time
from collections.abc import Callable

import pytest

from tests.faults import broker_faults, store_faults
from tests.faults.jobs import CAMPAIGN
from tests.faults.site import PATIENCE, THREADS, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until

WORKERS = 2
PER_SECOND = 20
JOBS = 240
KNOWN_SECONDS = 2
"""After which no call starts any more: every worker knows of an order within one, and a grant lives for 0.25 s."""

Fault = Callable[[Site], None]


def worker_killed(site: Site) -> None:
    """SIGKILL to a worker that moves jobs, and another in its place."""
    site.workers[0].kill()
    site.revive()
    wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "the next worker")


def store_killed(site: Site) -> None:
    """SIGKILL to the store, and a start with what was on disk."""
    heal = store_faults.killed(site)
    heal()
    wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "the store to be back")


FAULTS: dict[str, Fault] = {
    "worker_killed": worker_killed,
    "connections_closed": broker_faults.connections_closed,
    "broker_crashed": broker_faults.crashed,
    "store_killed": store_killed,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_held(site: Site, fault: Fault) -> None:
    """While it is held none is called, whatever breaks as its jobs step aside; let go, each is called once."""
    site.configure(per_second=PER_SECOND, burst=1)
    site.upstream.plan = always(slow(0.1))
    site.start(WORKERS)
    rounds = site.times(20)
    site.publish(site.jobs(JOBS + 60 * rounds))
    for _ in range(rounds):
        site.await_calls(6)
        site.command("campaigns", "pause", CAMPAIGN, "--reason", "wrong texts")
        fault(site)
        time.sleep(KNOWN_SECONDS)  # from then on it may only be watched that nobody calls
        before = len(site.upstream.calls())
        time.sleep(1)  # the watch itself
        assert len(site.upstream.calls()) == before, "a held campaign was called"
        site.command("campaigns", "resume", CAMPAIGN)
        fault(site)
        site.faults += 2
    site.settle()

    # Each of the threads of a worker that was killed may have had a call under way.
    site.judge(repeats=THREADS * site.faults)
    assert site.ended.outcomes["sent"] == JOBS + 60 * rounds
