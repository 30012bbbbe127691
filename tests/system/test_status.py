"""`referrals status`: what an operator sees of campaigns that run."""

import json
import os
import signal
import urllib.request
from typing import Any

import pytest

from tests.services import RabbitMQ, Vhost, wait_until
from tests.system.commands import Desk
from tests.system.terminal import Terminal


def told(desk: Desk, *arguments: str) -> dict[str, Any]:
    """What `referrals status --json` prints."""
    ended = desk.run("status", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def counted(desk: Desk) -> tuple[int, int | None]:
    """How many letters are dead, and jobs unaccounted for, of one look."""
    report = told(desk)
    return report["dead"], report["unaccounted"]


def queues_of(desk: Desk) -> str:
    """RabbitMQ's page of metrics."""
    url = desk.env["REFERRALS_RABBITMQ_METRICS_URL"]
    with urllib.request.urlopen(f"{url}/metrics/detailed?family=queue_coarse_metrics", timeout=5) as page:
        return str(page.read().decode())


@pytest.fixture
def published(desk: Desk, vhost: Vhost, redis_url: str, rabbitmq: RabbitMQ) -> Desk:
    """Two campaigns of 20 jobs each for one shop, one of them published twice, before any worker."""
    del vhost
    desk.env |= {
        "REFERRALS_REDIS_URL": redis_url,
        "REFERRALS_RABBITMQ_METRICS_URL": rabbitmq.prometheus_url.removesuffix("/metrics"),
    }
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"])
    rows = [{"shop": "acme", "customer_email": f"c{n}@example.com", "channel": "sms"} for n in range(20)]
    desk.write_export("export.csv", rows)
    for campaign in ("spring", "summer", "spring"):
        assert desk.run("publish", "export.csv", "--campaign", campaign).returncode == 0
    return desk


def test_status(published: Desk) -> None:
    """Before a worker all jobs wait; after it every message is accounted for, duplicates as such, by campaign."""
    wait_until(lambda: told(published)["shops"][0]["waiting"] == 60, 30, "RabbitMQ to count the jobs")
    before = told(published)
    assert before["unaccounted"] == 0
    assert (before["unserved"], before["shops"][0]["seconds_to_go"]) == (["acme"], None)
    nobody = "no worker takes jobs from acme; start `referrals work`"
    assert nobody in published.run("status").stderr
    assert nobody in published.run("shops", "list").stderr
    assert {row["campaign"]: (row["published"], row["left"]) for row in before["campaigns"]} == {
        "spring": (40, 40),
        "summer": (20, 20),
    }
    worker = published.start("work")
    wait_until(lambda: not worker.running() or told(published)["results_waiting"] == 40, 60, "the results")
    settled = told(published)
    assert (settled["unserved"], settled["consumers"]) == ([], 1)
    wait_until(lambda: told(published)["unaccounted"] == 0, 30, "the depths to settle")
    spring = told(published, "spring")
    assert [row["campaign"] for row in spring["campaigns"]] == ["spring"]
    (row,) = spring["campaigns"]
    assert (row["published"], row["sent"] + row["rejected"], row["duplicates"], row["left"]) == (40, 20, 20, 0)
    assert sum(row["rejected_by_code"].values()) == row["rejected"]
    shown = published.run("status")
    assert shown.returncode == 0
    assert "RabbitMQ's metrics" in shown.stdout


def test_repairs_add_up(published: Desk, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """Letters that were dropped, or replayed as their next run, are accounted for like all else."""
    queue = f"/api/queues/{vhost.name}/referrals.shop.acme/get"
    taken = rabbitmq.api("POST", queue, {"count": 3, "ackmode": "ack_requeue_false", "encoding": "auto"})
    assert isinstance(taken, list)
    for message in taken:
        letter = {"payload": message["payload"], "payload_encoding": "string", "routing_key": "acme"}
        rabbitmq.api(
            "POST",
            f"/api/exchanges/{vhost.name}/referrals.dead/publish",
            letter | {"properties": {"headers": {"x-referral-reason": "unknown_shop"}}},
        )
    wait_until(lambda: counted(published) == (3, 0), 30, "RabbitMQ to count the letters")
    assert published.run("dead", "replay", "--all", "--limit", "2").returncode == 0
    assert published.run("dead", "drop", "--all", "--yes").returncode == 0
    wait_until(lambda: counted(published) == (0, 0), 30, "RabbitMQ to count the letters")
    report = told(published)
    # Each removed letter was a death; two were published anew.
    assert sum(row["published"] for row in report["campaigns"]) == 62
    assert sum(row["dead"] for row in report["campaigns"]) == 3
    assert sum(row["left"] for row in report["campaigns"]) == report["shops"][0]["waiting"] == 59


def test_a_pause_is_told_with_its_reason(published: Desk) -> None:
    """The gate says that an operator has paused the shop, and why: in a line of its own on a narrow terminal."""
    assert published.run("shops", "pause", "acme", "--reason", "wrong texts").returncode == 0
    with Terminal(published, "shops", "list") as terminal:
        screen = terminal.whole()
    assert max(map(len, screen)) <= 80
    assert [line.split()[0] for line in screen if not line.startswith(" ")] == ["shop", "acme"]
    assert "(wrong texts)" in " ".join(screen)
    try:
        (row,) = told(published)["shops"]
        assert (row["gate"], row["reason"]) == ("paused", "wrong texts")
    finally:
        assert published.run("shops", "resume", "acme").returncode == 0


def test_missing_jobs_are_told(published: Desk, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """Jobs that somebody purges from a queue are missing, and status says how many."""
    wait_until(lambda: told(published)["shops"][0]["waiting"] == 60, 30, "RabbitMQ to count the jobs")
    rabbitmq.api("DELETE", f"/api/queues/{vhost.name}/referrals.shop.acme/contents")
    wait_until(lambda: told(published)["unaccounted"] == 60, 30, "the loss")
    assert "60 jobs are missing" in published.run("status").stderr


def test_without_the_metrics_endpoint(published: Desk) -> None:
    """Where RabbitMQ's metrics are out of reach the depths come from itself, and no sum is claimed."""
    published.env["REFERRALS_RABBITMQ_METRICS_URL"] = "http://127.0.0.1:9"
    report = told(published)
    assert report["unaccounted"] is None
    assert "does not answer" in report["depths_from"]


def test_without_a_shared_store(desk: Desk) -> None:
    """Without Redis there is nothing to read, and the line says what to do."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    ended = desk.run("status")
    assert ended.returncode == 2
    assert ended.stderr.startswith("referrals: REFERRALS_REDIS_URL: is not set; set it to the workers'")


def test_a_broken_shops_file_hides_no_count(published: Desk) -> None:
    """What the store and RabbitMQ know is shown, also about shops that can't be read; the line says what is wrong."""
    shops = published.folder / "shops.toml"
    shops.write_text(shops.read_text() + "weigth = 3\n")
    ended = published.run("status", "--json")
    assert ended.returncode == 2, ended.stderr
    report = json.loads(ended.stdout)
    assert [(row["campaign"], row["published"]) for row in report["campaigns"]] == [("spring", 40), ("summer", 20)]
    (problem,) = report["problems"]
    assert "did you mean weight?" in problem
    assert "last good version" in problem
    wait_until(lambda: "referrals.shop.acme" in queues_of(published), 30, "RabbitMQ to tell of the shop's queue")
    shops.unlink()
    shown = published.run("status")
    assert (shown.returncode, "spring" in shown.stdout, "No such file" in shown.stderr) == (2, True, True)
    # Both looks have the shops that RabbitMQ knows.
    (row,) = json.loads(published.run("status", "--json").stdout)["shops"]
    assert (row["shop"], row["jobs_per_second"]) == ("acme", 0)


def test_what_is_out_of_reach_hides_nothing_else(published: Desk) -> None:
    """Without RabbitMQ the counts are shown, without the store the depths; a line says so, with exit code 1, or 2 if
    its URL can't be used.
    """
    nowhere = "http://127.0.0.1:9"
    deaf = published.run(
        "status", "--json", REFERRALS_AMQP_URL="amqp://127.0.0.1:9", REFERRALS_RABBITMQ_METRICS_URL=nowhere
    )
    assert deaf.returncode == 1
    report = json.loads(deaf.stdout)
    assert [row["left"] for row in report["campaigns"]] == [40, 20]
    assert report["shops"][0]["waiting"] is None
    assert "RabbitMQ at 127.0.0.1:9 is out of reach" in report["problems"][0]
    misspelt = published.run("status", REFERRALS_AMQP_URL="amqps://localhost/?cacertfile=/no/where/ca.pem")
    assert (misspelt.returncode, "spring" in misspelt.stdout) == (2, True)
    assert "REFERRALS_AMQP_URL: cacertfile: /no/where/ca.pem" in misspelt.stderr
    misspelt = published.run("status", REFERRALS_REDIS_URL="redis://127.0.0.1:9/0?ssl_cert_reqs=none")
    assert (misspelt.returncode, "depths from RabbitMQ" in misspelt.stdout) == (2, True)
    assert "REFERRALS_REDIS_URL: leave out the option" in misspelt.stderr
    wait_until(lambda: told(published)["shops"][0]["waiting"] == 60, 30, "RabbitMQ to count the jobs")
    blind = published.run("status", REFERRALS_REDIS_URL="redis://127.0.0.1:9/0")
    assert blind.returncode == 1
    assert "acme  ?" in blind.stdout
    assert " 60 " in blind.stdout
    assert "127.0.0.1:9 is out of reach" in blind.stderr


def test_a_name_that_is_none(published: Desk) -> None:
    """A line says so, with the shop that may be meant; a campaign may not be published yet, but a shop must exist."""
    unknown = published.run("status", "nosuch")
    assert (unknown.returncode, "no job of a campaign nosuch" in unknown.stderr) == (0, True)
    unknown = published.run("status", "--shop", "acmee")
    assert (unknown.returncode, "did you mean acme?" in unknown.stderr) == (2, True)


def test_watching_follows_the_shops_file(published: Desk) -> None:
    """On a terminal of 80 columns each look fits it, and a shop that is added appears; Ctrl-C ends it well."""
    with Terminal(published, "status", "--watch") as terminal:
        terminal.wait_for("60")
        shops = published.folder / "shops.toml"
        shops.write_text(shops.read_text().replace("[shops.acme]", "[shops.acme-two]\n[shops.acme]"))
        screen = terminal.wait_for("acme-two")
        assert len(screen) < 24
        assert max(map(len, screen)) <= 80
        assert any(line.startswith("campaign") for line in screen)
        shops.write_text("[shops.acme")
        screen = terminal.wait_for("not TOML")
        assert any(line.startswith("spring") for line in screen)
        os.kill(terminal.process.pid, signal.SIGINT)
        assert terminal.process.wait(20) == 0


def test_a_policy_that_loses_results(published: Desk, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """A policy by which results expire is a warning when a worker starts, and a line of each status."""
    published.env["REFERRALS_RABBITMQ_MANAGEMENT_URL"] = f"http://127.0.0.1:{rabbitmq.record['management']}"
    definition = {"pattern": ".*", "definition": {"message-ttl": 86_400_000}}
    rabbitmq.api("PUT", f"/api/policies/{vhost.name}/a-day", definition)
    expected = "RabbitMQ's policy 'a-day' (message-ttl 86400000) takes messages out of referrals.results"
    wait_until(lambda: expected in published.run("status").stderr, 30, "the policy to be told")
    assert any(problem.startswith(expected) for problem in told(published)["problems"])
    worker = published.start("work")
    wait_until(lambda: "policy_loses_messages" in worker.stderr or not worker.running(), 60, "the warning")
    assert expected in worker.stderr
