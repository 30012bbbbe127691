"""A worker is killed at each step of a call, under load: nothing is lost, and only a call under way may be repeated."""

import json
import signal
from collections import Counter
from functools import partial

import psutil
import pytest

from tests.faults.site import GRANTS, PATIENCE, THREADS, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until
from tests.services.process import lives

KILLS = 25
WORKERS = 3
PER_SECOND = 30

POINTS = ("before_send", "before_answer", "after_answer", "before_publish", "before_ack", "after_confirm")
"""The steps of a job in their order; see tests/faults/actors.py."""

CALLS = "refer2_requests_in_flight"

UNRECORDED = "before_answer"
"""The answer is read and nobody else knows it yet: of all of them the only one that repeats the victim's call."""


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(site: Site, point: str) -> None:
    """A death repeats at most the calls that were under way, and the struck job's own only if nothing is recorded."""
    site.configure(per_second=PER_SECOND / len(site.shops), burst=5)
    site.upstream.plan = always(slow(0.05))
    site.start(WORKERS, failing=True)
    kills = site.times(KILLS, once=2)
    with site.load(per_second=PER_SECOND):
        for _ in range(kills):
            (site.armed / point).touch()
            wait_until(lambda: not (site.armed / point).exists(), PATIENCE, f"a worker to reach {point}")
            site.faults += 1
            wait_until(
                lambda: any(not worker.process.running() for worker in site.workers), PATIENCE, "its parent to end"
            )
            site.revive(failing=True)
    site.settle()

    deaths = [json.loads(line) for line in (site.armed / "deaths").read_text().splitlines()]
    assert [death["point"] for death in deaths] == [point] * kills
    # What was under way is written down by who dies.
    due = Counter(job_id for death in deaths for job_id in death["under_way"])
    verdict = site.judge(repeats=due.total())
    calls = Counter(call.job_id for call in site.upstream.calls())
    undue = {job_id: count for job_id, count in calls.items() if count > 1 + due[job_id]}
    assert not undue, f"called more often than deaths account for: {undue}, {deaths}"
    assert all((death["victim"] in death["under_way"]) == (point == UNRECORDED) for death in deaths)
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}


@pytest.mark.parametrize(
    ("on_unknown", "repeated", "outcome"),
    [("resend", THREADS, "sent"), ("verify", 0, "sent"), ("report", 0, "unknown/interrupted")],
    ids=["resend", "verify", "report"],
)
def test_killed_during_the_call(site: Site, on_unknown: str, repeated: int, outcome: str) -> None:
    """A call that was under way is repeated once its lease is over, or read back, or reported; and no other is."""
    site.configure(on_unknown=on_unknown, per_second=PER_SECOND / len(site.shops), burst=5)
    site.upstream.plan = always(slow(0.25))
    site.start(WORKERS)
    kills = site.times(KILLS, once=2)
    with site.load(per_second=PER_SECOND):
        for number in range(kills):
            wait_until(lambda: site.upstream.in_progress >= WORKERS, PATIENCE, "calls in flight")
            site.workers[number % WORKERS].kill()
            site.faults += 1
            site.revive()
            wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "the next worker")
    site.settle()

    # Each of the threads of a worker that is killed may have had a call under way.
    verdict = site.judge(repeats=kills * repeated)
    ended = site.ended.outcomes
    assert ended.keys() <= {"sent", outcome}
    assert ended.total() == len(verdict.attempted)
    assert ended[outcome] <= kills * GRANTS or outcome == "sent"
    witnesses = {"resend": verdict.repeats, "verify": len(site.upstream.reads), "report": ended[outcome]}
    assert witnesses[on_unknown], "no call was under way when a worker was killed: this row shows nothing"


def test_parent_killed(site: Site) -> None:
    """A worker whose parent alone is killed drains as after SIGTERM and ends: nothing is repeated, nothing is lost."""
    site.configure(per_second=PER_SECOND / len(site.shops), burst=5)
    site.upstream.plan = always(slow(0.25))
    site.start(WORKERS)
    kills = site.times(KILLS, once=2)
    orphans: list[psutil.Process] = []
    try:
        with site.load(per_second=PER_SECOND):
            for _ in range(kills):
                worker = site.workers[0]
                wait_until(worker.ready, PATIENCE, "the oldest worker to have become ready")
                wait_until(partial(worker.counted, CALLS), PATIENCE, "calls of it in flight")
                orphans += worker.children()
                worker.process.signal(signal.SIGKILL)
                site.faults += 1
                site.relieve(worker)
                wait_until(partial(no_longer, orphans), PATIENCE, "the orphan to end")
    finally:
        for orphan in filter(lives, orphans):
            orphan.kill()
    assert len(orphans) == kills
    site.settle()

    assert not site.events("job_taken_over"), "an orphan left a grant behind"
    verdict = site.judge()
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}


def no_longer(processes: list[psutil.Process]) -> bool:
    """Whether all have ended."""
    return not any(map(lives, processes))
