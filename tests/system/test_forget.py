"""`referrals forget`: a person is called no more, and her address is gone from where the command says so."""

import json
from pathlib import Path

import pika
import psycopg
import pytest

from tests.faults.jobs import FaultJob
from tests.integration.rabbitmq.tap import tapping
from tests.services import Vhost, wait_until
from tests.system.commands import Desk

HERS, OTHER = FaultJob("acme", 1), FaultJob("acme", 2)

QUEUES = ("referrals.delay.900", "referrals.delay.3600", "referrals.held.acme", "referrals.dead")


@pytest.fixture
def desk(desk: Desk, redis_url: str) -> Desk:
    """A shop, a shared store, and a key."""
    desk.env |= {"REFERRALS_REDIS_URL": redis_url, "REFERRALS_SUPPRESSION_KEY": "canary of sixteen characters"}
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    return desk


def result_of(job: FaultJob) -> bytes:
    """A result as a worker publishes it."""
    fields = json.loads(job.message())["kwargs"]["job"] | {"outcome": "sent", "attempts": 1}
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
    """Her job and another's in every place."""
    desk.write_export(
        "export.csv", [{"shop": "acme", "customer_email": job.email, "channel": "sms"} for job in (HERS, OTHER)]
    )
    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    with tapping(vhost) as tap:
        arguments = {"x-queue-type": "quorum"}
        tap.channel.queue_declare("referrals.held.acme", durable=True, arguments=arguments)
        for job in (OTHER, HERS, OTHER):
            for queue in QUEUES:
                tap.put(
                    "" if "held" in queue else queue,
                    queue if "held" in queue else "acme",
                    job.message(),
                    headers={"x-referral-reason": "bad_schema"},
                )
            tap.put("referrals.results", "acme.sent.ok.plain", result_of(job))
    collected = desk.run("collect", "--until-idle", "2", REFERRALS_POSTGRES_URL=postgres_url)
    assert collected.returncode == 0, collected.stderr
    wait_until(lambda: len(bodies(vhost, "referrals.dead")) == 3, 20, "everything in its place")


def kept(postgres_url: str) -> set[str]:
    """Whose results the database has."""
    with psycopg.connect(postgres_url) as connection:
        return {email for (email,) in connection.execute("SELECT customer_email FROM referrals.results")}


def test_forgets_a_person_and_nobody_else(desk: Desk, vhost: Vhost, postgres_url: str) -> None:
    """Out of every queue that it names and out of PostgreSQL; what it can't reach is listed with its age."""
    fill(desk, vhost, postgres_url)
    assert kept(postgres_url) == {HERS.email, OTHER.email}
    (desk.folder / "old.csv").write_text(f"customer_email\n{HERS.email.upper()}\n")
    before = {queue: len(bodies(vhost, queue)) for queue in QUEUES}
    assert set(before.values()) == {3}
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
    assert found["taken_out"] == dict.fromkeys(QUEUES, 1)
    assert (found["suppressed"], found["erased_results"], found["results_waiting"]) == (True, 1, 0)
    assert {(Path(file["path"]).name, file["days"]) for file in found["files"]} == {("old.csv", 0), ("export.csv", 0)}
    for queue in QUEUES:
        assert bodies(vhost, queue) != []
        assert not [body for body in bodies(vhost, queue) if HERS.email.encode() in body]
        assert len(bodies(vhost, queue)) == 2
    assert kept(postgres_url) == {OTHER.email}
    (order,) = (
        order for order in json.loads(desk.run("log", "--json").stdout)["orders"] if order["action"] == "forget"
    )
    assert (order["by"], order["reason"], order["detail"]) == ("kim", "letter 7", "1 address")
    assert HERS.email not in desk.run("log").stdout
    again = desk.run("forget", HERS.email, "--yes", "--json", REFERRALS_POSTGRES_URL=postgres_url)
    found = json.loads(again.stdout)
    assert (found["taken_out"], found["erased_results"]) == ({}, 0)
    # What waits in the shop's queue ends without a call.
    desk.start("collect", "--out", "results.csv")
    worker = desk.start("work")
    wait_until(lambda: len(desk.results()) == 1 or not worker.running(), 60, "her job's end")
    assert [(row["customer_email"], row["code"]) for row in desk.results()] == [(HERS.email, "suppressed")]


def test_asks_first(desk: Desk) -> None:
    """Without a terminal it needs --yes; what is no address is refused without being quoted."""
    refused = desk.run("forget", "ann@example.com")
    assert (refused.returncode, "give --yes" in refused.stderr) == (2, True)
    refused = desk.run("forget", "ann at example.com", "--yes")
    assert (refused.returncode, "is no e-mail address" in refused.stderr) == (2, True)
    assert "ann" not in refused.stderr
