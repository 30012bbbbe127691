"""The same job more than once, by every way there is: Refer2 is called once."""

from tests.faults.jobs import CAMPAIGN, FaultJob
from tests.faults.site import PATIENCE, THREADS, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until

JOBS = 120


def test_an_export_published_twice(site: Site) -> None:
    """The second time while the first is under way, and a third time after it."""
    site.upstream.plan = always(slow(0.05))
    jobs = site.jobs(JOBS)
    publish = ("publish", site.export(jobs), "--campaign", CAMPAIGN)
    site.start(2)
    for _ in range(2):
        site.command(*publish)
        site.faults += 1
    site.settle()
    site.command(*publish)
    site.settle()
    site.published = {job.job_id: True for job in jobs}

    site.judge(repeats=0)
    assert site.ended.outcomes == {"sent": JOBS}


def test_two_producers_at_once(site: Site) -> None:
    """Two commands publish the same export at the same time."""
    site.upstream.plan = always(slow(0.05))
    jobs = site.jobs(JOBS)
    publish = ("publish", site.export(jobs), "--campaign", CAMPAIGN)
    site.start(2)
    producers = [site.desk.start(*publish) for _ in range(2)]
    assert [producer.wait(PATIENCE) for producer in producers] == [0, 0]
    site.faults += 1
    site.settle()
    site.published = {job.job_id: True for job in jobs}

    site.judge(repeats=0)
    assert site.ended.outcomes == {"sent": JOBS}


def test_two_live_copies(site: Site) -> None:
    """Two workers hold a copy each of the same jobs while the first calls are still under way."""
    site.upstream.plan = always(slow(1))
    jobs = [FaultJob("acme", number) for number in range(30)]
    site.start(2)
    site.publish([copy for job in jobs for copy in (job, job)])
    site.faults += len(jobs)
    site.settle()

    site.judge(repeats=0)
    assert site.ended.outcomes == {"sent": len(jobs)}
    assert sum(worker.counted("referral_ledger_hits_total") for worker in site.workers) >= len(jobs)


def test_copies_that_have_expired(site: Site) -> None:
    """Copies whose deadline was over before, ahead of the wanted ones and behind them, while a worker is killed."""
    site.upstream.plan = always(slow(0.2))
    jobs = site.jobs(JOBS)
    site.published = {job.job_id: True for job in jobs}
    site.wanted = frozenset(site.published)
    expired = [(job.shop, job.message(not_after="2000-01-01T00:00:00Z"), job.job_id) for job in jobs]
    wanted = [(job.shop, job.message(), job.job_id) for job in jobs]
    half = JOBS // 2
    site.start(2)
    site.put([*expired[:half], *wanted, *expired[half:]])
    wait_until(lambda: site.upstream.in_progress, PATIENCE, "a call under way")
    site.workers[0].kill()
    site.faults += 1
    site.revive()
    site.put(expired)
    site.settle()

    # Each of the threads of the worker that was killed may have had a call under way.
    site.judge(repeats=THREADS)
    assert site.ended.outcomes == {"sent": JOBS}
    assert site.ended.uncalled


def test_message_ids_of_others(site: Site) -> None:
    """Whatever id a producer gives its messages, a job is known by its own."""
    site.start(2)
    jobs = site.jobs(JOBS)
    site.put([(job.shop, job.message(), "the-same-for-all") for job in jobs])
    site.faults += 1
    site.published = {job.job_id: True for job in jobs}
    site.settle()

    site.judge(repeats=0)
    assert site.ended.outcomes == {"sent": JOBS}
