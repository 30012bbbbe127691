"""A worker is killed at each step of a call, under load: nothing is lost, and only a call under way may be repeated."""

import pytest

from tests.faults.site import LEASE_SECONDS, THREADS, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until

KILLS = 25
WORKERS = 3
PER_SECOND = 30


@pytest.mark.parametrize("point", ["before_send", "after_answer", "after_confirm"])
def test_killed_at(site: Site, point: str) -> None:
    """The job at the step is called once in all; the calls that died beside it may be made again."""
    site.upstream.plan = always(slow(0.05))
    site.start(WORKERS, failing=True)
    kills = site.times(KILLS, once=2)
    with site.load(per_second=PER_SECOND):
        for _ in range(kills):
            (site.armed / point).touch()
            wait_until(lambda: not (site.armed / point).exists(), 30, f"a worker to reach {point}")
            site.faults += 1
            wait_until(lambda: any(not worker.process.running() for worker in site.workers), 30, "its parent to end")
            site.mend(failing=True)
    site.settle(60 + 2 * LEASE_SECONDS)

    verdict = site.judge(repeats=kills * (THREADS - 1))
    victims = (site.armed / "victims").read_text().split()
    assert len(victims) == kills
    assert not verdict.duplicated.intersection(victims)
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}


def test_killed_during_the_call(site: Site) -> None:
    """The calls that were under way are repeated once their lease is over, and no others."""
    site.upstream.plan = always(slow(0.25))
    site.start(WORKERS)
    kills = site.times(KILLS, once=2)
    with site.load(per_second=PER_SECOND):
        for number in range(kills):
            wait_until(lambda: site.upstream.in_progress >= WORKERS, 30, "calls in flight")
            site.workers[number % WORKERS].kill()
            site.faults += 1
            site.mend()
            wait_until(lambda: all(worker.ready() for worker in site.workers), 30, "the next worker")
    site.settle(60 + 2 * LEASE_SECONDS)

    verdict = site.judge(repeats=kills * THREADS)
    assert verdict.repeats > 0, "no call was under way when a worker was killed: this row shows nothing"
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}
