"""`referrals log`: who ordered what, when and why, by whichever command."""

import getpass
import hashlib
import json
import re
import socket

import pytest

from tests.integration.rabbitmq.tap import tapping
from tests.services import Vhost, wait_until
from tests.system.commands import Desk

ME = f"{getpass.getuser()}@{socket.gethostname()}"


@pytest.fixture
def desk(desk: Desk, redis_url: str) -> Desk:
    """Two shops, and a shared store."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    desk.write_shops("http://127.0.0.1:9", ["acme", "bolt"])
    return desk


def logged(desk: Desk, *options: str) -> list[tuple[str | None, ...]]:
    """What the log has, the newest last, without the times."""
    ended = desk.run("log", "--json", *options)
    assert ended.returncode == 0, ended.stderr
    fields = ("by", "action", "shop", "campaign", "reason", "detail")
    return [tuple(order[field] for field in fields) for order in json.loads(ended.stdout)["orders"]]


def test_every_order_is_remembered(desk: Desk, vhost: Vhost) -> None:
    """By the name that --as gives or else by user and host, with its reason and what it was about."""
    assert (logged(desk), desk.run("log").stderr) == ([], "referrals: no order is remembered\n")
    row = {"shop": "acme", "customer_email": "a@example.org", "channel": "sms"}
    desk.write_export("export.csv", [row])
    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    with tapping(vhost) as tap:
        for _ in range(2):
            tap.put("referrals.dead", "acme", b"{}", headers={"x-referral-reason": "undecodable"})
    identity = ["acme", "spring", 0, None, None, "a@example.org", "sms", None]
    job_id = hashlib.sha256(json.dumps(identity, separators=(",", ":")).encode()).hexdigest()[:32]
    old = {"schema": 1, "job_id": job_id, "campaign": "spring", "shop": "acme", "run": 0, "channel": "sms"}
    old |= {"customer": {"email": "a@example.org"}, "outcome": "failed", "code": "http_503", "attempts": 5}
    (desk.folder / "old.jsonl").write_text(json.dumps(old | {"finished_at": "2026-11-02T12:00:00Z"}) + "\n")
    orders = [
        ("shops", "pause", "acme", "--reason", "wrong texts", "--as", "kim"),
        ("shops", "resume", "acme"),
        ("shops", "pause", "--all", "--reason", "incident 7", "--as", " lou "),
        ("shops", "resume", "--all", "--reason", "over"),
        ("shops", "limit", "bolt", "--per-second", "1", "--reason", "slow", "--for", "1h"),
        ("shops", "limit", "bolt", "--clear", "--reason", "fast again"),
        ("cancel", "spring", "--reason", "another shop's list"),
        ("cancel", "spring", "--undo", "--as", "kim"),
        ("replay", "--campaign", "spring", "--from", "old.jsonl", "--outcome", "failed", "--yes", "--reason", "fixed"),
        ("dead", "drop", "--reason", "undecodable", "--yes", "--because", "noise"),
    ]
    for order in orders:
        ended = desk.run(*order)
        assert ended.returncode == 0, ended.stderr
    *found, limit, unlimited, cancelled, restored, replayed, dropped = logged(desk)
    assert found == [
        ("kim", "pause", "acme", None, "wrong texts", None),
        (ME, "resume", "acme", None, None, None),
        ("lou", "pause", "*", None, "incident 7", None),
        (ME, "resume", "*", None, "over", None),
    ]
    assert limit[:5] == (ME, "limit", "bolt", None, "slow")
    assert str(limit[5]).startswith("1 calls/s until 20")
    assert unlimited == (ME, "unlimit", "bolt", None, "fast again", None)
    assert cancelled == (ME, "cancel", "*", "spring", "another shop's list", None)
    assert restored == ("kim", "restore", "*", "spring", None, None)
    assert replayed == (ME, "replay", None, "spring", "fixed", "1 job")
    assert dropped == (ME, "dead drop", None, None, "noise", "2 letters (undecodable)")
    assert len(logged(desk, "--since", "1h", "--shop", "acme")) == 6
    assert [order[1] for order in logged(desk, "--campaign", "spring")] == ["cancel", "restore", "replay"]
    table = desk.run("log", "--shop", "bolt").stdout.splitlines()
    assert table[0].split() == ["at", "by", "action", "shop", "campaign", "detail", "and", "reason"]
    assert [re.split(r" {2,}", line)[2] for line in table[1:]] == [order[1] for order in logged(desk, "--shop", "bolt")]
    assert "every shop" in table[1]


def test_workers_tell_of_orders(desk: Desk) -> None:
    """Each order since a worker's start is one line of its log, and a time for the dashboards' annotations."""
    assert desk.run("shops", "pause", "bolt", "--reason", "before", "--as", "lou").returncode == 0
    worker = desk.start("work")
    wait_until(lambda: "shop_paused" in worker.stderr or not worker.running(), 30, "the worker to know")
    assert desk.run("shops", "pause", "acme", "--reason", "wrong texts", "--as", "kim@desk").returncode == 0
    wait_until(lambda: "operator_order" in worker.stderr or not worker.running(), 20, "the line")
    (line,) = [json.loads(line) for line in worker.stderr.splitlines() if "operator_order" in line]
    assert {name: line[name] for name in ("action", "by", "shop", "reason")} == {
        "action": "pause",
        "by": "kim at desk",
        "shop": "acme",
        "reason": "wrong texts",
    }
    assert "campaign" not in line


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("shops", "resume", "acme", "--as", " "), "--as: must be one line of 1 to 100 characters"),
        (("shops", "resume", "acme", "--as", "a\nb"), "--as: must be one line of 1 to 100 characters"),
        (("cancel", "spring", "--reason", ""), "--reason: must be one line of 1 to 200 characters"),
        (
            ("dead", "drop", "--all", "--yes", "--because", "x" * 201),
            "--because: must be one line of 1 to 200 characters",
        ),
        (("log", "--since", "soon"), "--since soon: is neither a duration"),
    ],
)
def test_what_can_not_be_meant(desk: Desk, command: tuple[str, ...], complaint: str) -> None:
    """One line, exit code 2, and nothing is done."""
    ended = desk.run(*command)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert complaint in line
    assert logged(desk) == []


def test_a_store_that_is_away(desk: Desk, vhost: Vhost) -> None:
    """An order that is given through it fails; what is done otherwise is done, and a line says that nobody will see."""
    assert desk.run("collect", "--out", "none.csv", "--until-idle", "0.1").returncode == 0
    with tapping(vhost) as tap:
        tap.put("referrals.dead", "acme", b"{}", headers={"x-referral-reason": "undecodable"})
    away = "redis://127.0.0.1:9/0"
    assert desk.run("log", REFERRALS_REDIS_URL=away).returncode == 1
    dropped = desk.run("dead", "drop", "--all", "--yes", REFERRALS_REDIS_URL=away)
    assert (dropped.returncode, dropped.stdout) == (0, "dropped  1\n")
    assert "this could not be recorded, so `referrals log` won't show it: the store at 127.0.0.1:9" in dropped.stderr
    assert "set REFERRALS_REDIS_URL to theirs" in desk.run("log", REFERRALS_REDIS_URL="").stderr
