"""The same job more than once, by every way there is: Refer2 is called once."""

from tests.faults.jobs import CAMPAIGN, FaultJob
from tests.faults.site import PATIENCE, Site
from tests.faults.upstream import always, slow

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
