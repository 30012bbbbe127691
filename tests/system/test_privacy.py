"""A whole campaign at DEBUG, with trouble of every kind: no address and no secret in any log, metric or header."""

import json
import re
import signal
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
import redis

from tests import canaries
from tests.integration.rabbitmq.tap import tapping
from tests.services import RabbitMQ, Vhost, wait_until
from tests.services.process import free_ports
from tests.system.commands import Desk

AMQP_URL, REDIS_URL = "REFERRALS_AMQP_URL", "REFERRALS_REDIS_URL"
AMQP_PASSWORD = "canary/amqp@p4ss"
REDIS_PASSWORD = "canary-redis-p4ss"
PROXY_PASSWORD = "canary-proxy-p4ss"
LOG_KEY = "canary-log-key-p4ss"
SECRETS = (AMQP_PASSWORD, REDIS_PASSWORD, PROXY_PASSWORD, LOG_KEY, "secret of acme that is long enough to sign with")

ROWS = [
    {"customer_email": "canary-1@acme.example.com", "channel": "sms"},
    {"customer_email": "canary-2@acme.example.com", "channel": "email", "destination": "canary-friend@example.org"},
    {"customer_email": "stranger+1@acme.example.com", "channel": "sms"},
    {"customer_email": "rule+1@acme.example.com", "channel": "sms"},
    {"customer_email": "canary-3@acme.example.com", "channel": "email", "destination": "canary.no.address@"},
    {"customer_email": "canary-4@acme.example.com", "channel": "canary-channel@example.com"},
    {"customer_email": "canary-1@acme.example.com", "channel": "sms"},
    {"customer_email": "canary-5@localhost", "channel": "sms", "destination": "+4915112345678"},
    {"customer_email": "canary-6@[127.0.0.1]", "channel": "+4915112345679"},
]


def letter(job: object, actor: str = "refer") -> bytes:
    """A message, right or wrong."""
    return json.dumps({"actor_name": actor, "kwargs": {"job": job}, "queue_name": "canary-queue@example.com"}).encode()


JOB = {"schema": 1, "job_id": "0" * 32, "campaign": "spring", "shop": "acme", "channel": "sms"}
BAD = [
    b"canary-body@example.com is not JSON",
    b'"canary-body@example.com"',
    b"canary-body=40example.com, canary@localhost or +4915112345678 is not JSON",
    letter(JOB, "canary-actor@example.com"),
    letter(JOB, "+4915112345678"),
    letter(JOB | {"customer": {"email": "canary-id@example.com"}}),
    letter(JOB | {"customer": {"canary-key@example.com": 1}, "destination": ["canary-list@example.com"]}),
    letter(
        JOB | {"not_after": "canary-time@example.com", "campaign": "canary-name@example.com", "line": "x@example.com"}
    ),
]


@pytest.fixture
def secured(desk: Desk, rabbitmq: RabbitMQ, vhost: Vhost, redis_url: str) -> Iterator[Desk]:
    """A desk whose broker and store take a user of this test's own, with passwords that may show nowhere."""
    user = f"canary-{vhost.name}"
    rabbitmq.api("PUT", f"/api/users/{user}", {"password": AMQP_PASSWORD, "tags": ""})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbitmq.api("PUT", f"/api/permissions/{vhost.name}/{user}", everything)
    admin = redis.Redis.from_url(redis_url)
    admin.acl_setuser(user, enabled=True, passwords=[f"+{REDIS_PASSWORD}"], keys=["*"], commands=["+@all"])
    amqp, store = urlsplit(desk.env[AMQP_URL]), urlsplit(redis_url)
    desk.env |= {
        AMQP_URL: f"amqp://{user}:{quote(AMQP_PASSWORD, safe='')}@{amqp.hostname}:{amqp.port}{amqp.path}",
        REDIS_URL: f"redis://{user}:{REDIS_PASSWORD}@{store.hostname}:{store.port}{store.path}",
        "REFERRALS_LOG_LEVEL": "DEBUG",
        "REFERRALS_LOG_KEY": LOG_KEY,
    }
    yield desk
    desk.close()
    admin.acl_deluser(user)
    admin.close()
    rabbitmq.api("DELETE", f"/api/users/{user}")


def test_nothing_personal_in_logs_metrics_and_headers(secured: Desk, vhost: Vhost) -> None:
    """Good jobs, refused ones, dead letters of many reasons, wrong passwords, a missing proxy, wrong options."""
    desk = secured
    desk.write_export("campaign.csv", ROWS)
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"])
    collect = desk.start("collect", "--out", "results.csv")
    work = desk.start("work")
    wait_until(lambda: "subscribed" in work.stderr, 60, "the worker")
    publish = desk.start("publish", "campaign.csv", "--campaign", "spring", "--shop", "acme")
    with tapping(vhost) as tap:
        for body in BAD:
            tap.put("referrals", "acme", body, headers={"x-producer": "7"})
        letters = tap.take("referrals.dead", len(BAD), 60)
    assert {one.headers["x-referral-reason"] for one in letters} >= {"undecodable", "unknown_actor", "bad_job_id"}
    canaries.save_headers(desk.folder / "dead.headers", [one.headers for one in letters])
    assert publish.wait(60) == 0
    wait_until(lambda: len(desk.results()) >= 5, 60, "a result of each job")
    page = f"http://127.0.0.1:{desk.env['REFERRALS_METRICS_PORT']}/metrics"
    with urllib.request.urlopen(page, timeout=5) as answer:
        (desk.folder / "metrics.prom").write_bytes(answer.read())
    work.signal(signal.SIGTERM)
    collect.signal(signal.SIGTERM)
    assert (work.wait(60), collect.wait(60)) == (0, 0)
    fail(desk)
    assert canaries.assert_clean(desk.folder, secrets=SECRETS, at_least=9) > 1000


def fail(desk: Desk) -> None:
    """Run what can't work, all at once: each must say so, and none of what it was given in confidence."""
    (port,) = free_ports(1)
    local = ("run", "campaign.csv", "--campaign", "spring", "--shop", "acme")
    shops = (desk.folder / "shops.toml").read_text()
    (desk.folder / "beyond.toml").write_text(
        re.sub(r'base_url = "[^"]*"', 'base_url = "https://refer2.invalid"', shops)
    )
    proxied = desk.start(
        *local,
        "--out",
        "proxied.csv",
        REFERRALS_SHOPS="beyond.toml",
        REFERRALS_HTTP_PROXY=f"http://canary:{PROXY_PASSWORD}@127.0.0.1:{port}",
    )
    amqp, store = (desk.env[name].replace("//canary-", "//other-") for name in (AMQP_URL, REDIS_URL))
    failing = {
        desk.start("work", REFERRALS_AMQP_URL=amqp, REFERRALS_REDIS_URL=""): 1,
        desk.start("work", REFERRALS_REDIS_URL=store): 2,
        desk.start(*local, "--out", "a.csv", "--map", "canary-map@example.com=x"): 2,
        desk.start(*local, "--out", "a.csv", "--limit", "canary-limit@example.com"): 2,
        desk.start("canary-command@example.com"): 2,
    }
    for process, code in failing.items():
        assert process.wait(60) == code, process.stderr
        assert process.stderr
    wait_until(lambda: "refer2_unreachable" in proxied.stderr, 60, "the proxy to be missed")
    proxied.signal(signal.SIGTERM)
    proxied.wait(60)
