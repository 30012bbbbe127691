"""Workers are stopped one after the other under load, and others take their place: a rolling update."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest

from tests.faults.site import PATIENCE, THREADS, Site
from tests.faults.upstream import always, slow
from tests.faults.worker import Worker
from tests.services import wait_until

STOPS = 30
WORKERS = 3
EVERY_SECONDS = 3

CALLS = "refer2_requests_in_flight"

GRACE_SECONDS = 1
"""Long enough for a worker to start no call any more, which takes 0.6 s, and too short for those under way."""


class Rolling(NamedTuple):
    """How workers end, after which exit code, how many calls each may leave unanswered, and the load meanwhile."""

    stop: Callable[[Worker], None]
    code: int
    repeats: int
    call_seconds: float
    per_second: float


def in_order(worker: Worker) -> None:
    """SIGTERM to the process that was started, as a container's runtime does."""
    worker.terminate()


def as_a_group(worker: Worker) -> None:
    """SIGTERM to its whole process group, as a terminal or a service manager does: the child gets it twice."""
    worker.terminate(group=True)


def with_too_short_a_grace(worker: Worker) -> None:
    """SIGTERM, and SIGKILL while it waits for its calls."""
    worker.terminate()
    time.sleep(GRACE_SECONDS)  # the fault's length
    assert worker.process.running(), "it didn't wait for its calls"
    worker.kill()


@pytest.mark.parametrize(
    "rolling",
    [
        Rolling(in_order, 0, 0, call_seconds=0.25, per_second=30),
        Rolling(as_a_group, 0, 0, call_seconds=0.25, per_second=30),
        Rolling(with_too_short_a_grace, -9, THREADS, call_seconds=3, per_second=3),
    ],
    ids=["pid", "group", "grace_over"],
)
def test_stopped_by(site: Site, rolling: Rolling) -> None:
    """A worker that drains repeats nothing; one that is killed as it drains, at most its calls under way."""
    site.configure(per_second=rolling.per_second / len(site.shops), burst=5)
    site.upstream.plan = always(slow(rolling.call_seconds))
    site.start(WORKERS)
    stops = site.times(STOPS, once=3)
    left = []
    with site.load(per_second=rolling.per_second):
        for _ in range(stops):
            began = time.monotonic()
            worker = site.workers[0]
            wait_until(worker.ready, PATIENCE, "the oldest worker to have become ready")
            wait_until(partial(worker.counted, CALLS), PATIENCE, "calls of it in flight")
            rolling.stop(worker)
            site.faults += 1
            site.relieve(worker)
            left.append(worker)
            time.sleep(max(0.0, began + EVERY_SECONDS - time.monotonic()))  # the fault's rhythm
    assert [worker.process.wait(PATIENCE) for worker in left] == [rolling.code] * stops
    site.settle()

    if not rolling.repeats:
        assert not site.events("job_taken_over"), "a worker that drained left a grant behind"
    # A job that was requeued unstarted, however often, is no crash loop. One whose call was cut short five times is.
    cut_short = site.ended.reasons["crash_loop"] if rolling.repeats else 0
    verdict = site.judge(repeats=rolling.repeats * stops, dead=cut_short)
    assert site.ended.outcomes == {"sent": len(verdict.attempted) - cut_short}
