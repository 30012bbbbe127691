"""A producer that means harm: nothing of what it writes into headers counts, and its neighbours don't notice."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pika

from tests.faults.drain import DEAD, id_of
from tests.faults.jobs import CAMPAIGN, CHANNEL, FaultJob
from tests.faults.site import PATIENCE, Site
from tests.integration.broker.forging import CLAIMS, RESULT_DEATH, Forged, entry
from tests.services import wait_until

PER_SECOND = 40


def forged_result(job: FaultJob) -> bytes:
    """A whole result of somebody else's job, which says that it was rejected."""
    result = {
        "schema": 1,
        "job_id": job.job_id,
        "campaign": CAMPAIGN,
        "shop": job.shop,
        "run": 0,
        "customer": {"email": job.email},
        "channel": CHANNEL,
        "outcome": "rejected",
        "code": "forged",
        "attempts": 1,
        "finished_at": datetime.now(UTC).isoformat(),
    }
    return json.dumps(result).encode()


def job_of(body: bytes) -> FaultJob:
    """The job in a message."""
    fields = json.loads(body)["kwargs"]["job"]
    return FaultJob(fields["shop"], int(fields["customer"]["email"].partition("@")[0][1:]))


def next_run(job: FaultJob) -> str:
    """The id of the job that `dead replay` makes of it."""
    identity = [job.shop, CAMPAIGN, 1, None, None, job.email, CHANNEL, None]
    compact = json.dumps(identity, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(compact.encode()).hexdigest()[:32]


def harm(victims: Iterator[FaultJob]) -> Iterator[tuple[str | bytes, bytes, Forged, int]]:
    """Endless messages: routing key, body, headers, and how many dead letters each becomes."""
    claims = b"".join(entry(name, value) for name, value in CLAIMS.items() if name not in {"CC", "BCC", "x-death"})
    death, copy = entry("x-death", [RESULT_DEATH]), entry("CC", ["acme", "bolt"])
    for number in itertools.count(9_000_000, 10):
        yield "acme", forged_result(next(victims)), Forged(claims, death), 1
        yield "acme", forged_result(next(victims)), Forged(claims, death, expiration="1"), 1
        yield "acme", forged_result(next(victims)), Forged(claims, death, death, expiration="1"), 1
        yield "acme.rejected.forged.plain", forged_result(next(victims)), Forged(copy, death, expiration="1"), 2
        yield b"\xff", FaultJob("bolt", number).message(), Forged(copy, claims, death), 2
        yield "core", FaultJob("bolt", number + 1).message(), Forged(copy, claims), 3
        yield "core", FaultJob("core", number + 2).message(), Forged(claims, death), 0


def test_forged_headers(site: Site) -> None:
    """No forged result comes out, also not of `dead replay`; everybody's jobs are sent, what was parked with them."""
    count = site.times(700, 70)
    site.start(2)
    connection = pika.BlockingConnection(pika.URLParameters(site.vhost.url))
    channel = connection.channel()
    channel.confirm_delivery()
    letters, parked = 0, set()
    with site.load(per_second=PER_SECOND) as load:
        site.await_calls(20)
        for key, body, properties, dead in itertools.islice(harm(site._endless(0)), count):
            channel.basic_publish("referrals", key, body, properties, mandatory=True)
            site.published[id_of(body)] = True
            letters += dead
            site.faults += 1
            if dead and "kwargs" in json.loads(body):
                parked.add(body)
        site.await_calls(20)
    connection.close()
    wait_until(lambda: site.depths().get(DEAD) == letters, PATIENCE, f"{letters} dead letters")
    again = {next_run(job_of(body)) for body in parked}
    site.published |= dict.fromkeys(again, True)
    ended = site.desk.run("dead", "replay", "--all", "--json", timeout=PATIENCE)
    told = json.loads(ended.stdout)
    assert told["replayed"] > 0
    assert told["replayed"] + len(told["left"]) == letters
    site.settle()

    jobs_left = {id_of(body) for body in parked} & set(site.ended.dead)
    assert not jobs_left
    # A parked job has ended in its next run; its call can't be told from one of the run before.
    site.published |= {id_of(body): False for body in parked}
    site.judge(dead=len(told["left"]))
    results = Counter(site.ended.results)
    assert site.ended.outcomes == {"sent": len(results)}
    assert load.published.keys() <= results.keys()
    # Of the letters of one job each is published; a copy that comes while the result is under way repeats that result.
    assert {job for job, count in results.items() if count > 1} <= again
