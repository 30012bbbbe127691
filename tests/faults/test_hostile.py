"""A producer that means harm: nothing of what it writes into headers counts, and its neighbours don't notice."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import pika

from tests.faults.drain import DEAD, id_of
from tests.faults.jobs import CAMPAIGN, CHANNEL, FaultJob
from tests.faults.site import PATIENCE, Site
from tests.integration.rabbitmq.forging import CLAIMS, RESULT_DEATH, Forged, entry
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
        "latency_seconds": 0.1,
    }
    return json.dumps(result).encode()


def job_of(body: bytes) -> FaultJob:
    """The job in a message."""
    fields = json.loads(body)["kwargs"]["job"]
    return FaultJob(fields["shop"], int(fields["customer"]["email"].partition("@")[0].rpartition("-")[2]))


def next_run(job: FaultJob) -> str:
    """The id of the job that `dead replay` makes of it."""
    identity = [job.shop, CAMPAIGN, 1, None, None, job.email, CHANNEL, None]
    compact = json.dumps(identity, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(compact.encode()).hexdigest()[:32]


CLAIMED = b"".join(entry(name, value) for name, value in CLAIMS.items() if name not in {"CC", "BCC", "x-death"})

Message = tuple[str | bytes, bytes, Forged, int]
"""Routing key, body, headers, and how many dead letters it becomes."""

DEATH, COPY = entry("x-death", [RESULT_DEATH]), entry("CC", ["acme", "bolt"])


def expiring(victims: Iterator[FaultJob]) -> Iterator[Message]:
    """Endless results that RabbitMQ itself moves, where no worker is faster."""
    while True:
        yield "acme", forged_result(next(victims)), Forged(CLAIMED, DEATH, expiration="1"), 1
        yield "acme", forged_result(next(victims)), Forged(CLAIMED, DEATH, DEATH, expiration="1"), 1
        yield "acme.rejected.forged.plain", forged_result(next(victims)), Forged(COPY, DEATH, expiration="1"), 2


def harm(victims: Iterator[FaultJob]) -> Iterator[Message]:
    """Endless messages of every kind."""
    moved = expiring(victims)
    for number in itertools.count(9_000_000, 10):
        yield "acme", forged_result(next(victims)), Forged(CLAIMED, DEATH), 1
        yield from itertools.islice(moved, 3)
        yield b"\xff", FaultJob("bolt", number).message(), Forged(COPY, CLAIMED, DEATH), 2
        yield "core", FaultJob("bolt", number + 1).message(), Forged(COPY, CLAIMED), 3
        yield "core", FaultJob("core", number + 2).message(), Forged(CLAIMED, DEATH), 0


def test_forged_headers(site: Site) -> None:
    """No forged result comes out, also not of `dead replay`; everybody's jobs are sent, what was parked with them."""
    count = site.times(700, 70)
    connection = pika.BlockingConnection(pika.URLParameters(site.vhost.url))
    channel = connection.channel()
    channel.confirm_delivery()
    letters, parked = 0, set()

    def publish(messages: Iterable[Message]) -> None:
        nonlocal letters
        for key, body, properties, dead in messages:
            channel.basic_publish("referrals", key, body, properties, mandatory=True)
            site.published[id_of(body)] = True
            letters += dead
            site.faults += 1
            if dead and "kwargs" in json.loads(body):
                parked.add(body)

    victims = (job for job in site.jobs(10 * count) if job.shop == "acme")
    # Queues are declared, and nobody consumes: so RabbitMQ moves these.
    site.start(1)
    site.stop()
    publish(itertools.islice(expiring(victims), 9))
    wait_until(lambda: site.depths().get(DEAD) == letters, PATIENCE, f"{letters} dead letters")
    site.revive()
    site.start(1)
    with site.load(per_second=PER_SECOND) as load:
        site.await_calls(20)
        publish(itertools.islice(harm(victims), count))
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

    # A parked job has ended in its next run; its call can't be told from one of the run before.
    site.published |= {id_of(body): False for body in parked}
    site.judge(dead=len(told["left"]))
    results = Counter(site.ended.results)
    assert site.ended.outcomes == {"sent": len(results)}
    # Of a job's copies the one that came by its own shop's queue is replayed, and those by other shops' stay.
    assert load.published.keys() | again <= results.keys()
    # Of the letters of one job each is published; a copy that comes while the result is under way repeats that result.
    assert {job for job, count in results.items() if count > 1} <= again
