"""The store fails under working processes: no call while it is away, and no limit is passed by more than a burst."""

import time
from collections.abc import Callable

import pytest

from tests.faults import store_faults
from tests.faults.site import PATIENCE, SHOPS, THREADS, Heal, Site
from tests.faults.store_faults import client
from tests.faults.upstream import always, slow
from tests.services import wait_until

PER_SECOND = 10
BURST = 10
BACKLOG = len(SHOPS) * (BURST + PER_SECOND * 10)
WORKERS = 2
UNACKNOWLEDGED = 16 * len(SHOPS)
"""Jobs that a worker can have in hand when the ledger is lost, by its prefetch; their copies would be called again."""

GRANTED_SECONDS = 2
"""After which no call starts any more that was granted before the store failed: a grant lives for 0.25 s."""

AWAY_SECONDS = 3


def begin(site: Site) -> None:
    """Workers on a backlog that takes ten seconds, or twenty for several faults in a row, with some of it done."""
    site.configure(per_second=PER_SECOND, burst=BURST)
    site.upstream.plan = always(slow(0.02))
    site.start(WORKERS)
    site.publish(site.jobs(BACKLOG * site.times(2)))
    wait_until(lambda: len(site.upstream.calls()) > len(SHOPS) * (BURST + PER_SECOND), PATIENCE, "the first calls")


@pytest.mark.parametrize(
    "fault",
    [store_faults.killed, store_faults.lost, store_faults.frozen, store_faults.out_of_memory, store_faults.read_only],
)
def test_away(site: Site, fault: Callable[[Site], Heal]) -> None:
    """Not one call is made while the store is away; workers say that they aren't ready, and go on by themselves."""
    begin(site)
    site.forgetful = fault is store_faults.lost
    for _ in range(site.times(3)):
        heal = fault(site)
        site.faults += 1
        wait_until(lambda: not any(worker.ready() for worker in site.workers), PATIENCE, "every worker to be unready")
        time.sleep(GRANTED_SECONDS)  # what was granted before may still start
        calls = len(site.upstream.calls())
        time.sleep(AWAY_SECONDS)  # that nobody calls can only be watched
        assert len(site.upstream.calls()) == calls, "called without a limit"
        assert all(worker.alive() for worker in site.workers)
        heal()
        wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "every worker to be ready")
    site.settle()

    # Each outage is long enough for the shops to be owed a burst by the next, so that they never add up.
    verdict = site.judge(repeats=site.faults * WORKERS * UNACKNOWLEDGED if site.forgetful else 0)
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}
    site.assert_paced(bursts=1 if site.forgetful else 0)


@pytest.mark.parametrize("fault", [store_faults.out_of_memory, store_faults.read_only])
def test_away_at_rest(site: Site, fault: Callable[[Site], Heal]) -> None:
    """Workers without a job to ask for find out too that a store takes no writes, and say so as long as that lasts."""
    begin(site)
    site.settle()
    for _ in range(site.times(3)):
        heal = fault(site)
        site.faults += 1
        wait_until(lambda: not any(worker.ready() for worker in site.workers), PATIENCE, "every worker to be unready")
        time.sleep(AWAY_SECONDS)  # that nobody becomes ready can only be watched
        assert not any(worker.ready() for worker in site.workers)
        heal()
        wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "every worker to be ready")
    site.judge()


@pytest.mark.parametrize("processes", [1, 16])
def test_demoted_behind_its_name(site: Site, processes: int) -> None:
    """Another server becomes the primary, and the name leads there while connections to the old one stand: each process
    lets go of its own and goes on by itself. All results are there, none twice.
    """
    with store_faults.named_pair(site) as name:
        site.configure(per_second=PER_SECOND, burst=BURST)
        site.upstream.plan = always(slow(0.02))
        (worker,) = site.start(1, processes=processes)
        site.publish(site.jobs(BACKLOG))
        site.await_calls(len(SHOPS) * BURST)
        for number in range(site.times(3)):
            name.fail_over()
            site.faults += 1
            wait_until(lambda: not worker.ready(), PATIENCE, "the worker to meet a replica")
            name.follow()
            wait_until(worker.ready, PATIENCE, "every process to find the new primary")
            # Until the last one had found it, the others may have called for all there were.
            site.publish(site.jobs(BACKLOG, first=(number + 1) * BACKLOG))
            site.await_calls(BURST)
        site.settle()

        verdict = site.judge()
        assert site.ended.outcomes == {"sent": len(verdict.attempted)}
        assert {event["reason"] for event in site.events("store_down")} >= {"read_only"}
        site.stop()


@pytest.mark.parametrize(
    ("command", "forgetful"), [("FLUSHALL", True), ("SCRIPT FLUSH", False)], ids=["data", "scripts"]
)
def test_flushed(site: Site, command: str, forgetful: bool) -> None:
    """Lost data costs a burst once and repeats no finished job; lost scripts cost nothing."""
    begin(site)
    site.forgetful = forgetful
    # More and more comes, so that a fault is never too late.
    with client(site) as valkey, site.load(per_second=PER_SECOND, first=BACKLOG):
        for _ in range(site.times(3)):
            valkey.execute_command(command)
            site.faults += 1
            site.await_calls(2 * BURST)
    site.settle()

    verdict = site.judge(repeats=site.faults * WORKERS * UNACKNOWLEDGED if forgetful else 0)
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}
    site.assert_paced(bursts=site.faults if forgetful else 0)


def test_flushed_as_a_worker_dies(site: Site) -> None:
    """Calls are repeated that the worker had unacknowledged just then, and none whose result was out already."""
    site.configure(per_second=PER_SECOND, burst=BURST)
    site.upstream.plan = always(slow(1))
    site.start(WORKERS)
    site.publish(site.jobs(BACKLOG))
    site.forgetful = True
    calls_before: dict[str, int] = {}
    with client(site) as valkey:
        for _ in range(site.times(3)):
            wait_until(lambda: site.upstream.in_progress > THREADS, PATIENCE, "both to have calls under way")
            taken = site.take()
            calls = len(site.upstream.calls())
            for job in taken:
                calls_before.setdefault(job, calls)
            site.workers[0].kill()
            valkey.flushall()
            site.faults += 1
            site.revive()
            wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "the next worker")
    site.settle()

    verdict = site.judge(repeats=site.faults * UNACKNOWLEDGED)
    assert verdict.repeats > 0, "nothing was under way when the data went: this row shows nothing"
    late = {call.job_id for call in site.upstream.calls() if call.number > calls_before.get(call.job_id, call.number)}
    assert not late, "called again after its result was out"
    assert site.ended.outcomes == {"sent": BACKLOG}
