"""`referrals forget`: a person is called no more, and her address is gone from where the command says so."""

import gzip
import json
import signal
from pathlib import Path
from typing import Any

import pika
import psycopg
import pytest

from tests.faults.jobs import FaultJob
from tests.integration.rabbitmq.tap import tapping
from tests.services import Vhost, wait_until
from tests.system.commands import Desk
from worker.rabbitmq.topology import shop_queue_declaration

HERS, OTHER = FaultJob("acme", 1), FaultJob("acme", 2)

LANES = ("referrals.shop.acme", "referrals.urgent.acme", "referrals.paced.acme", "referrals.held.acme")
QUEUES = (*LANES, "referrals.delay.900", "referrals.delay.3600", "referrals.dead", "referrals.results")


@pytest.fixture
def desk(desk: Desk, redis_url: str) -> Desk:
    """A shop, a shared store, and a key."""
    desk.env |= {"REFERRALS_REDIS_URL": redis_url, "REFERRALS_SUPPRESSION_KEY": "canary of sixteen characters"}
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    return desk


def of_another(**fields: str) -> bytes:
    """A job of another's that mentions her in these fields."""
    message = json.loads(OTHER.message())
    message["kwargs"]["job"] |= fields
    return json.dumps(message).encode()


def result_of(job: FaultJob, **more: str) -> bytes:
    """A result as a worker publishes it."""
    fields = json.loads(job.message())["kwargs"]["job"] | {"outcome": "sent", "attempts": 1} | more
    return json.dumps(fields | {"finished_at": "2026-11-02T12:00:00Z"}).encode()


def bodies(vhost: Vhost, queue: str) -> list[bytes]:
    """What the queue holds; it stays there."""
    connection = pika.BlockingConnection(pika.URLParameters(vhost.url))
    channel = connection.channel()
    found = []
    while (got := channel.basic_get(queue))[0] is not None:
        found.append(got[2])
    connection.close()
    return found


def fill(desk: Desk, vhost: Vhost, postgres_url: str) -> None:
    """Between two of another's, her job and one that mentions her, in every queue; two of her results in PostgreSQL."""
    desk.write_export(
        "export.csv", [{"shop": "acme", "customer_email": job.email, "channel": "sms"} for job in (HERS, OTHER)]
    )
    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    with tapping(vhost) as tap:
        tap.channel.queue_purge(LANES[0])
        for queue in LANES[1:]:
            tap.channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        for body in (result_of(HERS), result_of(OTHER), result_of(FaultJob("acme", 3), sender=HERS.email)):
            tap.put("referrals.results", "acme.sent.ok.plain", body)
        collected = desk.run("collect", "--until-idle", "2", REFERRALS_POSTGRES_URL=postgres_url)
        assert collected.returncode == 0, collected.stderr
        mentioned = of_another(sender=f"Ann <{HERS.email.upper()}>"), of_another(reference=HERS.email)
        for queue in QUEUES[:-1]:
            for body in (OTHER.message(), HERS.message(), *mentioned, OTHER.message()):
                own = queue in LANES
                tap.put(
                    "" if own else queue, queue if own else "acme", body, headers={"x-referral-reason": "bad_schema"}
                )
        for body in (result_of(OTHER), result_of(HERS), result_of(OTHER, sender=HERS.email), result_of(OTHER)):
            tap.put("referrals.results", "acme.sent.ok.plain", body)
    wait_until(lambda: len(bodies(vhost, "referrals.dead")) == 5, 20, "everything in its place")


def kept(postgres_url: str) -> set[str]:
    """Whose results the database has."""
    with psycopg.connect(postgres_url) as connection:
        return {email for (email,) in connection.execute("SELECT customer_email FROM referrals.results")}


def test_forgets_a_person_and_nobody_else(desk: Desk, vhost: Vhost, postgres_url: str) -> None:
    """Out of every queue that it names and out of PostgreSQL; what it can't reach is listed with its age."""
    fill(desk, vhost, postgres_url)
    assert kept(postgres_url) == {HERS.email, OTHER.email, FaultJob("acme", 3).email}
    (desk.folder / "old.csv").write_text(f"customer_email\n{HERS.email.upper()}\n")
    (desk.folder / "old.csv.gz").write_bytes(gzip.compress(b"nobody"))
    ended = desk.run(
        "forget",
        HERS.email.title(),
        "--yes",
        "--json",
        "--reason",
        "letter 7",
        "--as",
        "kim",
        REFERRALS_POSTGRES_URL=postgres_url,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["taken_out"] == dict.fromkeys(QUEUES[:-1], 3) | {"referrals.results": 2}
    assert (found["suppressed"], found["erased_results"]) == (True, 2)
    named = {(Path(file["path"]).name, file["days"], file["because"]) for file in found["files"]}
    assert named == {
        ("old.csv", 0, "has the address"),
        ("export.csv", 0, "has the address"),
        ("old.csv.gz", 0, "is packed"),
    }
    for queue in QUEUES:
        left = bodies(vhost, queue)
        assert len(left) == 2
        assert not [body for body in left if HERS.email.encode() in body.lower()]
    assert kept(postgres_url) == {OTHER.email}
    (order,) = (
        order for order in json.loads(desk.run("log", "--json").stdout)["orders"] if order["action"] == "forget"
    )
    assert (order["by"], order["reason"], order["detail"]) == ("kim", "letter 7", "1 address")
    assert HERS.email not in desk.run("log").stdout
    # Nothing is to come for her any more, and her row does not look as if it were.
    rows = [{"customer_email": email} for email in (HERS.email, OTHER.email, "new@example.org")]
    desk.write_export("spring.csv", rows)
    options = ("--campaign", HERS.campaign, "--channel", "whatsapp", "--out", "merged.csv")
    merged = desk.run("merge", "spring.csv", *options, REFERRALS_POSTGRES_URL=postgres_url)
    assert merged.returncode == 0, merged.stderr
    assert [row["referral_outcome"] for row in desk.results("merged.csv")] == ["suppressed", "sent", "pending"]
    assert "suppressed addresses" not in merged.stderr
    # As it was before, where the lists can't be asked or relied on; a line says why.
    empty = f"{desk.env['REFERRALS_REDIS_URL'].rsplit('/', 1)[0]}/15"
    without: list[tuple[dict[str, Any], str]] = [
        ({"REFERRALS_SUPPRESSION_KEY": ""}, "can't be asked: REFERRALS_SUPPRESSION_KEY is unset; set it"),
        ({"REFERRALS_SUPPRESSION_KEY": "another of sixteen characters"}, "is not the key by which"),
        ({"REFERRALS_REDIS_URL": "redis://127.0.0.1:9"}, "can't be asked: "),
        ({"REFERRALS_REDIS_URL": empty}, "`referrals suppress restore` brings them back"),
    ]
    for env, why in without:
        (desk.folder / "merged.csv").unlink()
        merged = desk.run("merge", "spring.csv", *options, REFERRALS_POSTGRES_URL=postgres_url, **env)
        assert merged.returncode == 0, merged.stderr
        (line,) = (line for line in merged.stderr.splitlines() if "suppressed addresses" in line)
        assert why in line
        assert [row["referral_outcome"] for row in desk.results("merged.csv")] == ["pending", "sent", "pending"]
    again = desk.run("forget", HERS.email, "--yes", "--json", REFERRALS_POSTGRES_URL=postgres_url)
    found = json.loads(again.stdout)
    assert (found["taken_out"], found["erased_results"]) == ({}, 0)


def test_jobs_in_the_hands_of_a_worker_end(desk: Desk, vhost: Vhost) -> None:
    """Of a held campaign a worker keeps the first in hand, where nobody else gets them: hers end there."""
    jobs = [FaultJob("acme", number) for number in range(40)]
    desk.write_export("export.csv", [{"shop": "acme", "customer_email": job.email, "channel": "sms"} for job in jobs])
    assert desk.run("campaigns", "pause", "spring", "--reason", "letter 7").returncode == 0
    worker = desk.start("work", "--threads", "2")
    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    with tapping(vhost) as tap:
        tap.channel.queue_declare(
            "referrals.held.acme", durable=True, arguments=shop_queue_declaration("acme").arguments
        )
        wait_until(lambda: tap.depth("referrals.held.acme") == len(jobs) - 16, 30, "the worker to have its hand full")
    for job in (jobs[0], jobs[-1]):
        found = json.loads(desk.run("forget", job.email, "--yes", "--json").stdout)
        # One that was in hand has ended as a result.
        assert sum(found["taken_out"].values()) == 1
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    left = bodies(vhost, "referrals.held.acme")
    assert len(left) == len(jobs) - 2
    for queue in ("referrals.held.acme", "referrals.shop.acme", "referrals.results"):
        everything = b"".join(bodies(vhost, queue))
        assert not [job for job in (jobs[0], jobs[-1]) if job.email.encode() in everything]


def test_leaves_a_long_queue_alone(desk: Desk, vhost: Vhost) -> None:
    """It says which, and how many wait."""
    rows = [{"shop": "acme", "customer_email": f"c{number}@example.com", "channel": "sms"} for number in range(300)]
    desk.write_export("export.csv", rows)
    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    found = json.loads(desk.run("forget", "c7@example.com", "--yes", "--json").stdout)
    assert (found["taken_out"], found["too_long"]) == ({"referrals.shop.acme": 1}, {})
    rows = [{"shop": "acme", "customer_email": f"d{number}@example.com", "channel": "sms"} for number in range(4_800)]
    desk.write_export("export.csv", rows)
    assert desk.run("publish", "export.csv", "--campaign", "summer").returncode == 0
    found = json.loads(desk.run("forget", "c8@example.com", "--yes", "--json").stdout)
    assert (found["taken_out"], found["too_long"]) == ({}, {"referrals.shop.acme": 5_099})


def test_asks_first(desk: Desk) -> None:
    """Without a terminal it needs --yes; what is no address is refused without being quoted."""
    refused = desk.run("forget", "ann@example.com")
    assert (refused.returncode, "give --yes" in refused.stderr) == (2, True)
    refused = desk.run("forget", "ann at example.com", "--yes")
    assert (refused.returncode, "is no e-mail address" in refused.stderr) == (2, True)
    assert "ann" not in refused.stderr
