"""Messages that can't be processed, or that end whoever processes them: they are parked, and their neighbours go on."""

import json
from pathlib import Path

import psutil

from tests.faults.drain import id_of
from tests.faults.jobs import FaultJob
from tests.faults.site import LEASE_SECONDS, PATIENCE, THREADS, Site
from tests.services import wait_until

NEIGHBOURS = 60
MEGABYTE = 1_000_000

WORKERS = 2

ROOM = 64 * MEGABYTE
"""Bytes that a worker may take for messages made to take memory."""

READERS = 3
"""Processes that may end while reading one message before it is parked."""

TAKEOVERS = 5
"""Deaths that a job may cause before it is parked."""


def test_unreadable_messages(site: Site) -> None:
    """Each goes to the dead queue with its reason, byte for byte, and holds up nobody."""
    poison = [
        ("undecodable", b'{"queue_name": "referrals", \xff'),
        ("undecodable", b"[1, 2]"),
        ("oversized", b"[" * 60_000),
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


def test_a_hostile_producer(site: Site) -> None:
    """Messages made to take memory take none to speak of, on any shop's queue, and the load beside them ends well.

    What a worker holds of them is bounded: its memory stays under ROOM above what the load alone has taken.
    """
    workers = site.start(WORKERS)
    with site.load(per_second=100):
        site.await_calls(300)
        before = [peak(process) for worker in workers for process in worker.children()]
        for round_ in range(site.times(10)):
            parked = [
                (shop, body)
                for number, shop in enumerate(site.shops)
                for body in hostile(shop, 9000 + 100 * (3 * round_ + number))
            ]
            jobs = [
                FaultJob(shop, 90_000 + 1000 * round_ + number) for number, shop in enumerate(site.shops * NEIGHBOURS)
            ]
            largest = [(job.shop, as_large_as_may_be(job)) for job in jobs]
            site.put((shop, body, "hostile") for shop, body in parked + largest)
            site.published |= {id_of(body): True for _, body in parked + largest}
            site.faults += len(parked)
        site.await_calls(300)
    site.settle()

    after = [peak(process) for worker in workers for process in worker.children()]
    print(json.dumps({"peak_before": before, "peak_after": after}))
    site.judge(dead=site.faults)
    assert set(site.ended.outcomes) == {"sent"}
    assert max(after) - min(before) < ROOM
    assert all(worker.process.running() for worker in workers)


def hostile(shop: str, number: int) -> list[bytes]:
    """Messages that take as much memory as messages can, by their size or by what would be built of them."""
    job = FaultJob(shop, number)
    five_million = job.message(note=0).replace(b'"note": 0', b'"note": [' + b"{}," * 5_000_000 + b"0]")
    whole = {
        "objects": five_million,
        "text": job.message(note="x" * (15 * MEGABYTE)),
        "dense": job.message(note=0).replace(b'"note": 0', b'"note": [' + b"{}," * 21_000 + b"0]"),
        "keys": job.message(**{f"k{key}": key for key in range(4000)}),
        "deep": job.message(note=0).replace(b'"note": 0', b'"note": ' + b"[" * 30_000 + b"]" * 30_000),
        "digits": job.message(note=0).replace(b'"note": 0', b'"note": ' + b"9" * 60_000),
        "wide text": job.message(note="\U0001f600" * 5000),
        "texts without an end": b"{}" * 1000 + b'\\"' * 30_000,
    }
    return [*whole.values(), *([whole["dense"], whole["objects"]] * 3)]


def as_large_as_may_be(job: FaultJob) -> bytes:
    """A job that a worker has to hold: as many bytes and parts as there may be, and texts of the widest characters."""
    unknown = {f"k{key}": "\U0001f600" + "x" * 900 for key in range(60)}
    return job.message(**unknown, many=[{}] * 800).ljust(65_536)


def peak(process: psutil.Process) -> int:
    """The most memory that a process has ever had, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def test_a_message_that_ends_whoever_reads_it(site: Site) -> None:
    """It is parked once three processes have ended over it; the jobs beside it all have their results."""
    poison = FaultJob("acme", 9001, reference="unreadable")
    tmp = {"TMPDIR": str(site.desk.folder / "tmp")}
    Path(tmp["TMPDIR"]).mkdir()
    site.start(WORKERS, failing=True, env=tmp)
    site.publish([poison, *site.jobs(NEIGHBOURS)])

    def parked() -> bool:
        site.revive(failing=True, env=tmp)
        return bool(site.events("dead_letter"))

    wait_until(parked, PATIENCE, "the message to be parked")

    site.settle()
    readings = site.ended.letters[0][0]["x-referral-readings"]

    def replaced() -> bool:
        site.revive(failing=True, env=tmp)
        return bool(len(site.started) - WORKERS >= readings)

    # They are counted by that: of the last one only a child may have ended so far.
    wait_until(replaced, PATIENCE, "all that ended over it to be replaced")
    site.faults += len(site.started) - WORKERS

    # A worker that lives beside has taken stock at its start, and may be one more.
    assert READERS <= readings <= site.faults < READERS + WORKERS
    site.judge(repeats=site.faults * THREADS, dead=1)
    assert site.ended.reasons == {"crash_loop": 1}
    assert site.ended.outcomes == {"sent": NEIGHBOURS}


def test_a_job_that_ends_its_worker(site: Site) -> None:
    """It is parked after five deaths; the jobs beside it, some of which died with it, all have their results."""
    poison = FaultJob("acme", 9001, reference="exit")
    site.start(WORKERS, failing=True)
    site.publish([poison, *site.jobs(NEIGHBOURS)])
    deadline = (TAKEOVERS + 1) * LEASE_SECONDS + PATIENCE

    def parked() -> bool:
        site.revive(failing=True)
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
