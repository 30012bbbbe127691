"""Workers are stopped one after the other under load, and others take their place: a rolling update."""

import signal
from collections.abc import Callable

import pytest

from tests.faults.site import PATIENCE, THREADS, Site
from tests.faults.upstream import always, slow
from tests.faults.worker import Worker
from tests.services import wait_until

STOPS = 30
WORKERS = 3
PER_SECOND = 30

Stop = Callable[[Worker], None]


def in_order(worker: Worker) -> None:
    """SIGTERM to the process that was started, as a container's runtime does."""
    worker.process.signal(signal.SIGTERM)
    assert worker.process.wait(PATIENCE) == 0, worker.process.stderr[-2000:]


def as_a_group(worker: Worker) -> None:
    """SIGTERM to its whole process group, as a terminal or a service manager does: the child gets it twice."""
    worker.process.signal(signal.SIGTERM, group=True)
    assert worker.process.wait(PATIENCE) == 0, worker.process.stderr[-2000:]


def with_no_grace(worker: Worker) -> None:
    """SIGTERM, and SIGKILL while its calls are still under way."""
    worker.process.signal(signal.SIGTERM)
    worker.kill()


@pytest.mark.parametrize(
    ("stop", "repeats"), [(in_order, 0), (as_a_group, 0), (with_no_grace, THREADS)], ids=["pid", "group", "grace_over"]
)
def test_stopped_by(site: Site, stop: Stop, repeats: int) -> None:
    """A worker that drains repeats nothing; one that is killed as it drains, at most its calls under way."""
    site.upstream.plan = always(slow(0.25))
    site.start(WORKERS)
    stops = site.times(STOPS, once=3)
    with site.load(per_second=PER_SECOND):
        for number in range(stops):
            wait_until(lambda: site.upstream.in_progress >= 2, PATIENCE, "calls in flight")
            stop(site.workers[number % WORKERS])
            site.faults += 1
            site.mend()
            wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "the next worker")
    site.settle()

    if not repeats:
        assert not site.events("job_taken_over"), "a worker that drained left a grant behind"
    # No dead letter: what was given back unstarted, however often, is not parked.
    verdict = site.judge(repeats=repeats * stops)
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}
