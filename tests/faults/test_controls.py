"""Jobs that end without a call, and shops that are told to stop, while workers are killed."""

import time
from datetime import UTC, datetime, timedelta

from tests.faults.jobs import CAMPAIGN
from tests.faults.site import PATIENCE, THREADS, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until

WORKERS = 2
PER_SECOND = 10
JOBS = 240
EACH = JOBS // 3

LOST = "unknown/interrupted"
"""A job whose call was under way when its worker was killed, and that may not be called any more."""

KNOWN_SECONDS = 2
"""After which no call starts any more: every worker knows of a pause within one, and a grant lives for 0.25 s."""


def killed(site: Site) -> None:
    """SIGKILL to a worker with calls under way, and another in its place."""
    wait_until(lambda: site.upstream.in_progress, PATIENCE, "a call under way")
    site.workers[0].kill()
    site.faults += 1
    site.revive()
    wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "the next worker")


def test_expired(site: Site) -> None:
    """Past their deadline jobs end without a call; a call that was under way then is not made again."""
    site.configure(per_second=PER_SECOND, burst=1)
    site.upstream.plan = always(slow(0.3))
    site.start(WORKERS)
    jobs = site.jobs(JOBS)
    # The pace alone takes longer than that, on a machine however fast; those before it may be called at any time.
    deadline = datetime.now(UTC) + timedelta(seconds=0.75 * EACH / PER_SECOND)
    site.published = {job.job_id: True for job in jobs}
    site.put([(job.shop, job.message(), job.job_id) for job in jobs[: JOBS // 2]])
    site.put([(job.shop, job.message(not_after=deadline.isoformat()), job.job_id) for job in jobs[JOBS // 2 :]])
    killed(site)
    site.settle()

    # Each of the threads of the worker that was killed may have had a call under way.
    site.judge(repeats=THREADS)
    ended = site.ended.outcomes
    assert ended.keys() <= {"sent", "expired", LOST}
    assert ended.total() == JOBS
    assert ended["expired"] > 0
    called = {call.job_id for call in site.upstream.calls()}
    assert not called.intersection(site.ended.jobs("expired")), "called, and said to be expired"


def test_paused_and_cancelled(site: Site) -> None:
    """A paused shop is not called, whoever is started meanwhile; a cancelled campaign ends without its calls."""
    site.configure(tables={"acme": {"per_second": 1, "burst": 1}})
    site.upstream.plan = always(slow(0.1))
    site.start(WORKERS)
    site.publish(site.jobs(JOBS))
    wait_until(lambda: len(site.upstream.calls(shop="acme")) > 2, PATIENCE, "calls in mid-campaign")
    with site.load(per_second=PER_SECOND, first=JOBS):
        site.command("shops", "pause", "acme", "--reason", "wrong texts")
        paused_at = time.time()
        wait_until(lambda: len(site.events("shop_paused")) >= WORKERS, PATIENCE, "both workers to know")
        killed(site)
        others = len(site.upstream.calls(shop="core"))
        wait_until(
            lambda: len(site.upstream.calls(shop="core")) > others + PER_SECOND, PATIENCE, "calls of another shop"
        )
        time.sleep(max(0.0, paused_at + 2 * KNOWN_SECONDS - time.time()))  # that nobody calls can only be watched
        late = site.upstream.calls(shop="acme")[-1].at / 1_000_000 - paused_at
        assert late < KNOWN_SECONDS, f"a paused shop was called {late:.1f} s after the command"
        site.command("cancel", CAMPAIGN, "--shop", "acme", "--yes")
    site.command("shops", "resume", "acme")
    site.settle()

    # Each of the threads of the worker that was killed may have had a call under way.
    verdict = site.judge(repeats=THREADS)
    ended = site.ended.outcomes
    assert ended.keys() <= {"sent", "cancelled", LOST}
    assert ended.total() == len(verdict.attempted)
    assert ended["cancelled"] > 0
    called = {call.job_id for call in site.upstream.calls()}
    assert not called.intersection(site.ended.jobs("cancelled")), "called, and said to be cancelled"
