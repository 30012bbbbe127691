"""Messages that can't be processed, or that end whoever processes them: they are parked, and their neighbours go on."""

import json

from tests.faults.drain import id_of
from tests.faults.jobs import FaultJob
from tests.faults.site import LEASE_SECONDS, PATIENCE, THREADS, Site
from tests.services import wait_until

NEIGHBOURS = 60
MEGABYTE = 1_000_000

WORKERS = 2

TAKEOVERS = 5
"""Deaths that a job may cause before it is parked."""


def test_unreadable_messages(site: Site) -> None:
    """Each goes to the dead queue with its reason, byte for byte, and holds up nobody."""
    poison = [
        ("undecodable", b'{"queue_name": "referrals", \xff'),
        ("undecodable", b"[1, 2]"),
        ("undecodable", b"[" * (10 * MEGABYTE)),
        ("bad_schema", FaultJob("acme", 9001).message(schema=7)),
        ("bad_schema", FaultJob("acme", 9002).message(channel=None)),
        ("bad_schema", FaultJob("bolt", 9003).message()),
        ("bad_job_id", FaultJob("acme", 9004).message(job_id="0" * 32)),
        ("unknown_actor", FaultJob("acme", 9005).message().replace(b'"refer"', b'"someone"')),
    ]
    workers = site.start(2)
    site.put([("acme", body, "poison") for _, body in poison])
    site.faults += len(poison)
    site.published = {id_of(body): True for _, body in poison}
    site.publish(site.jobs(NEIGHBOURS))
    site.settle()

    site.judge(dead=len(poison))
    told = [(headers["x-referral-reason"], body) for headers, body in site.ended.letters]
    assert sorted(told) == sorted(poison)
    assert site.ended.outcomes == {"sent": NEIGHBOURS}
    assert all(worker.process.running() for worker in workers)


def test_a_job_of_ten_megabytes(site: Site) -> None:
    """A job with a field of its own that is as large as that is a job all the same."""
    large = FaultJob("acme", 9001)
    site.start(1)
    site.put([("acme", large.message(note="x" * (10 * MEGABYTE)), large.job_id)])
    site.faults += 1
    site.published = {large.job_id: True}
    site.publish(site.jobs(NEIGHBOURS))
    site.settle()

    site.judge()
    assert site.ended.outcomes == {"sent": NEIGHBOURS + 1}


def test_a_job_that_ends_its_worker(site: Site) -> None:
    """It is parked after five deaths; the jobs beside it, some of which died with it, all have their results."""
    poison = FaultJob("acme", 9001, reference="exit")
    site.start(WORKERS, failing=True)
    site.publish([poison, *site.jobs(NEIGHBOURS)])
    deadline = (TAKEOVERS + 1) * LEASE_SECONDS + PATIENCE

    def parked() -> bool:
        site.mend(failing=True)
        return bool(site.events("dead_letter"))

    wait_until(parked, deadline, "the job to be parked")
    site.faults += len(site.started) - WORKERS
    site.settle()

    site.judge(repeats=TAKEOVERS * THREADS, dead=1)
    assert site.ended.reasons == {"crash_loop": 1}
    assert site.faults == TAKEOVERS
    assert site.ended.letters[0][0]["x-referral-takeovers"] == TAKEOVERS
    assert json.loads(site.ended.letters[0][1])["kwargs"]["job"]["reference"] == "exit"
    assert site.ended.outcomes == {"sent": NEIGHBOURS}
