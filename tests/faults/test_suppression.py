"""The store loses its suppression lists, with or without every worker: nobody on them is called, then or later."""

import time

import pytest

from tests.faults import store_faults
from tests.faults.site import PATIENCE, SHOPS, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until

PER_SECOND = 10
JOBS = 300
WORKERS = 2
UNACKNOWLEDGED = 16 * len(SHOPS)

OBEYED_SECONDS = 1
"""After which no call to a suppressed address starts: what was granted before starts within half a second."""

WATCHED_SECONDS = 3


@pytest.mark.parametrize("everything", [False, True], ids=["store", "store and workers"])
def test_lost(site: Site, everything: bool) -> None:
    """Every worker that meets the empty store stands still until the lists are back, one that has just started too."""
    site.desk.env["REFERRALS_SUPPRESSION_KEY"] = "canary of sixteen characters"
    site.configure(per_second=PER_SECOND, burst=1)
    site.upstream.plan = always(slow(0.02))
    site.forgetful = True
    site.start(WORKERS)
    jobs = site.jobs(JOBS)
    site.publish(jobs)
    site.await_calls(PER_SECOND)
    suppressed = jobs[::3]
    path = site.desk.folder / "opted-out.txt"
    path.write_text("".join(f"{job.email.upper()}\n" for job in suppressed))
    site.command("suppress", "add", str(path), "--all")
    obeyed_from = time.time() + OBEYED_SECONDS
    site.await_calls(PER_SECOND)

    heal = store_faults.lost(site)
    site.faults += 1
    if everything:
        for worker in site.workers:
            worker.kill()
    heal()
    heard = len(site.events("suppression_unusable"))
    if everything:
        site.revive()
    wait_until(lambda: len(site.events("suppression_unusable")) >= heard + WORKERS, PATIENCE, "every worker to notice")
    calls = len(site.upstream.calls())
    time.sleep(WATCHED_SECONDS)  # that nobody calls can only be watched
    assert len(site.upstream.calls()) == calls, "called beside a list that is not there"
    # One more address does not make the list whole: the command brings the others back first.
    site.command("suppress", "add", "somebody@else.example", "--all")
    site.settle()

    site.judge(repeats=site.faults * WORKERS * UNACKNOWLEDGED)
    ids = {job.job_id for job in suppressed}
    late = [call for call in site.upstream.calls() if call.job_id in ids and call.at / 1_000_000 > obeyed_from]
    assert not late, f"{len(late)} calls to suppressed addresses"
    assert site.ended.outcomes.keys() == {"sent", "cancelled/suppressed"}
    assert site.ended.jobs("cancelled/suppressed") <= ids
