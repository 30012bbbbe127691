"""`referrals dead`: looking at what could not be processed, sending it again, dropping it."""

import base64
import hashlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pika.exceptions
import pytest

from tests.integration.rabbitmq.forging import RESULT_DEATH, Forged, entry, nested
from tests.integration.rabbitmq.tap import Tap, limit, tapping
from tests.services import RabbitMQ, Vhost, wait_until
from tests.services.forwarder import slow_way
from tests.system.commands import Desk

ADDRESS = "friend@example.com"
IDENTITY = ["gone", "spring", 0, None, "c1", None, "email", ADDRESS]


def job_id(identity: list[Any]) -> str:
    """By the documented rule."""
    compact = json.dumps(identity, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(compact.encode()).hexdigest()[:32]


def message(shop: str = "gone", *, actor: str = "refer", **fields: Any) -> bytes:
    """A job's message."""
    job = {
        "schema": 1,
        "job_id": job_id([shop, *IDENTITY[1:]]),
        "campaign": "spring",
        "shop": shop,
        "run": 0,
        "customer": {"shopid": "c1"},
        "channel": "email",
        "destination": ADDRESS,
        "tier": "gold",
        **fields,
    }
    return json.dumps({"queue_name": "referrals", "actor_name": actor, "args": [], "kwargs": {"job": job}}).encode()


@pytest.fixture
def tap(desk: Desk, vhost: Vhost) -> Iterator[Tap]:
    """Hands on a virtual host with its queues declared."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    desk.write_export("export.csv", [{"shop": "acme", "customer_shopid": "c1", "channel": "sms"}])
    assert desk.run("publish", "export.csv", "--campaign", "other").returncode == 0
    with tapping(vhost) as made:
        yield made


def bury(
    tap: Tap,
    body: bytes,
    reason: str,
    at: str = "2026-01-02T03:04:05+00:00",
    *,
    shop: str = "acme",
    history: dict[str, int] | None = None,
) -> str:
    """Put a dead letter of a shop into the queue, as a worker does; its id."""
    headers = {"x-referral-reason": reason, "x-referral-detail": "why", "x-referral-dead-at": at, "x-mine": ADDRESS}
    tap.put("referrals.dead", shop, body, headers=headers | (history or {}))
    return hashlib.sha256(body).hexdigest()[:12]


def listed(desk: Desk, *options: str) -> list[str]:
    """The ids of the dead letters."""
    ended = desk.run("dead", "list", "--json", *options)
    assert ended.returncode == 0, ended.stderr
    return [letter["id"] for letter in json.loads(ended.stdout)["letters"]]


def test_list(desk: Desk, tap: Tap) -> None:
    """Letters are listed with reason, time, shop, campaign and job, narrowed by each filter, and stay."""
    gone = bury(tap, message(), "unknown_shop", shop="gone")
    junk = bury(tap, b"\xff", "undecodable", at="2020-01-01T00:00:00+00:00", shop="gone")
    loop = bury(tap, message("acme", campaign="autumn"), "crash_loop")
    tap.put("referrals.dead", "gone", b"by hand")
    hand = hashlib.sha256(b"by hand").hexdigest()[:12]
    assert listed(desk) == [gone, junk, loop, hand]
    assert listed(desk, "--reason", "crash_loop") == [loop]
    assert listed(desk, "--shop", "gone") == [gone, junk, hand]
    assert listed(desk, "--campaign", "autumn") == [loop]
    assert listed(desk, "--older-than", "2025-01-01T00:00:00Z") == [junk]
    assert listed(desk, "--newer-than", "2025-01-01T00:00:00Z") == [gone, loop]
    assert listed(desk, "--older-than", "1d", "--shop", "gone", "--limit", "1") == [gone]
    ended = desk.run("dead", "list")
    assert "2026-01-02 03:04:05 UTC" in ended.stdout
    assert "4 dead letters: " in ended.stderr
    assert "@" not in ended.stdout


def test_show(desk: Desk, tap: Tap) -> None:
    """Body and headers are shown without addresses, with them if asked; nothing steers the terminal."""
    gone = bury(tap, message(note="ask ann@example.com"), "unknown_shop")
    junk = bury(tap, b'\x1b[31m {"destination": "ann\\u0040example.com" \xff', "undecodable")
    for options in ((), ("--json",)):
        ended = desk.run("dead", "show", *options)
        assert ended.returncode == 0
        assert "example.com" not in ended.stdout
        assert "\x1b" not in ended.stdout
        assert "tier" in ended.stdout
    shown = json.loads(desk.run("dead", "show", gone, "--reveal", "--json").stdout)
    assert [base64.b64decode(letter["body_base64"]) for letter in shown] == [message(note="ask ann@example.com")]
    assert shown[0]["headers"]["x-mine"] == ADDRESS
    revealed = desk.run("dead", "show", junk, "--reveal").stdout
    assert "\\x1b[31m" in revealed
    assert "\x1b" not in revealed
    assert desk.run("dead", "show", "0" * 12).returncode == 2


def test_show_headers_that_nest(desk: Desk, tap: Tap) -> None:
    """However deep a letter's headers or its body nest, it is shown, and so is the letter beside it; headers that nest
    deeper than a worker decodes stay as they came."""
    plain = bury(tap, b"innocent", "undecodable")
    for levels in (20, 40, 600, 5_000):
        deep = entry("x-mine", ADDRESS) + b"\x04deep" + nested(levels)
        tap.channel.basic_publish("referrals.dead", "acme", b"%d" % levels, Forged(deep), mandatory=True)
    for levels in (100, 20_000):
        bury(tap, message("acme").replace(b'"gold"', b"[" * levels + b"]" * levels), "oversized")
    for options in ((), ("--reveal",), ("--reveal", "--json"), ("--json",)):
        ended = desk.run("dead", "show", *options)
        assert (ended.returncode, plain in ended.stdout) == (0, True), ended.stderr
        assert (ADDRESS in ended.stdout) == ("--reveal" in options)
    shown = json.loads(ended.stdout)
    assert len(shown) == 7
    assert json.dumps(shown[1]["headers"]["deep"]).count("[") == 20
    assert [set(letter["headers"]) for letter in shown[2:5]] == [{"x-referral-properties"}] * 3


def test_replay(desk: Desk, tap: Tap) -> None:
    """A job is published whole as its next run before its letter is removed; others stay and are reported."""
    junk = bury(tap, b"\xff", "undecodable")
    bury(tap, message("acme"), "bad_job_id")
    gone = bury(tap, message(), "unknown_shop", shop="gone")
    other = bury(tap, message("acme", actor=ADDRESS), "unknown_actor")
    ended = desk.run("dead", "replay", "--all", "--expires", "2h")
    assert ended.returncode == 1
    assert f"{junk} can't be replayed: undecodable" in ended.stderr
    assert f"{gone} can't be replayed: shop gone has no queue" in ended.stderr
    assert f"{other} can't be replayed: unknown_actor" in ended.stderr
    assert "@" not in ended.stderr + ended.stdout
    assert listed(desk) == [junk, gone, other]
    queued = [tap.peek("referrals.shop.acme") for _ in range(2)]
    assert queued[1] is not None
    job = json.loads(queued[1].body)["kwargs"]["job"]
    assert (job["run"], job["tier"]) == (1, "gold")
    assert job["job_id"] == queued[1].properties.message_id == job_id(["acme", "spring", 1, *IDENTITY[3:]])
    assert job["not_after"] > job["published_at"]


def test_a_letter_stays_until_its_job_is_confirmed(desk: Desk, tap: Tap, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """While RabbitMQ takes no job of the shop a replay removes nothing; once it does, the letter goes with its job."""
    limit(rabbitmq, vhost, "^referrals[.]shop[.]acme$", **{"max-length": 1, "overflow": "reject-publish"})
    # Whether it is full is only found out by publishing.
    for number in range(50):
        try:
            tap.put("referrals", "acme", b"%d" % number)
        except pika.exceptions.NackError:
            break
    else:
        raise AssertionError("the queue took everything")
    letter = bury(tap, message("acme"), "crash_loop")
    ended = desk.run("dead", "replay", "--all")
    assert ended.returncode == 1
    assert letter in ended.stderr
    assert listed(desk) == [letter]
    tap.channel.queue_purge("referrals.shop.acme")
    assert desk.run("dead", "replay", "--all").returncode == 0
    assert listed(desk) == []
    queued = tap.peek("referrals.shop.acme")
    assert queued is not None
    assert json.loads(queued.body)["kwargs"]["job"]["run"] == 1


def test_a_replayed_job_is_called(desk: Desk, tap: Tap) -> None:
    """A parked job whose shop is back is sent by its replay."""
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"])
    for number in range(3):
        fields: dict[str, Any] = {"customer": {"shopid": f"c{number}"}, "channel": "sms", "destination": None}
        bury(tap, message("acme", **fields), "crash_loop")
    ended = desk.run("dead", "replay", "--reason", "crash_loop", "--limit", "2", "--json")
    assert json.loads(ended.stdout) == {"replayed": 2, "left": []}
    desk.start("collect", "--out", "results.csv")
    desk.start("work")
    wait_until(lambda: len(desk.results()) == 3, 30, "three results")
    assert sorted(row["outcome"] for row in desk.results()) == ["sent"] * 3
    assert sorted(row["run"] for row in desk.results()) == ["0", "1", "1"]
    assert len(listed(desk)) == 1


def test_a_replay_that_is_killed_calls_nobody_twice(desk: Desk, tap: Tap, vhost: Vhost) -> None:
    """Run again, it publishes some jobs a second time, whose letters it had not removed yet: they are one job each."""
    letters = 1_500
    sandbox = desk.start_sandbox("--shops", "shops.toml", "--per-second", "2000")
    desk.write_shops(sandbox.url, ["acme"], per_second=2000, burst=2000)
    for number in range(letters):
        fields: dict[str, Any] = {"customer": {"shopid": f"c{number}"}, "channel": "sms", "destination": None}
        bury(tap, message("acme", **fields), "crash_loop")
    with slow_way(vhost.url, letters * 100) as (_, url):
        replay = desk.start("dead", "replay", "--reason", "crash_loop", REFERRALS_AMQP_URL=url)
        wait_until(lambda: tap.depth("referrals.shop.acme") > 1, 30, "some to be published")
        replay.kill()
        assert replay.wait() == -9
    assert tap.depth("referrals.shop.acme") < letters

    def replayed() -> bool:
        # What the killed one had in hand comes back to the queue only once RabbitMQ has missed it.
        assert desk.run("dead", "replay", "--reason", "crash_loop").returncode == 0
        return not listed(desk)

    wait_until(replayed, 60, "every letter to be replayed")
    desk.start("collect", "--out", "results.csv")
    desk.start("work")
    # One more is that of the fixture's.
    wait_until(lambda: len(desk.results()) == letters + 1, 60, "every result")
    assert len(sandbox.calls()) == letters + 1


def test_an_id_that_no_letter_has(desk: Desk, tap: Tap) -> None:
    """It is reported by name with exit code 1, and with 2 if nothing at all was selected.

    An option that fits nothing is 2 for a replay, and for a drop 0: what was to go isn't there.
    """
    name = bury(tap, message("acme", not_after="2026-01-01T00:00:00Z"), "crash_loop")
    for command, code in ((("replay",), 2), (("drop", "--yes"), 0)):
        none = desk.run("dead", *command, "nosuch")
        assert (none.returncode, "no dead letter matches" in none.stderr) == (2, True)
        unlike = desk.run("dead", *command, "--reason", "nosuch")
        assert (unlike.returncode, "no dead letter matches" in unlike.stderr) == (code, True)
    replayed = desk.run("dead", "replay", name, "nosuch", "--expires", "2h")
    assert (replayed.returncode, "nosuch: no dead letter has this id" in replayed.stderr) == (1, True)
    assert listed(desk) == []
    name = bury(tap, message("acme"), "crash_loop")
    dropped = desk.run("dead", "drop", name, "nosuch", "--yes", "--json")
    assert (dropped.returncode, json.loads(dropped.stdout)) == (1, {"dropped": 1})


def test_what_would_end_at_once_is_left(desk: Desk, tap: Tap, redis_url: str) -> None:
    """A job whose deadline has passed, or whose campaign is cancelled, would end for good: it stays, with a line."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    assert desk.run("cancel", "autumn", "--yes").returncode == 0
    late = bury(tap, message("acme", not_after="2026-01-01T00:00:00Z"), "crash_loop")
    off = bury(tap, message("acme", campaign="autumn"), "crash_loop")
    ended = desk.run("dead", "replay", "--all")
    assert ended.returncode == 1
    assert f"{late} can't be replayed: its deadline has passed" in ended.stderr
    assert f"{off} can't be replayed: its campaign is cancelled" in ended.stderr
    assert listed(desk) == [late, off]
    assert desk.run("dead", "replay", late, "--expires", "2h").returncode == 0
    assert listed(desk) == [off]


def test_a_death_is_counted_once(desk: Desk, tap: Tap, redis_url: str) -> None:
    """What a worker counted as dead when it parked it is not counted again when it is dropped; anything else is."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    bury(tap, message("acme", campaign="spring"), "crash_loop", history={"x-referral-takeovers": 5})
    bury(tap, message("acme", campaign="summer"), "crash_loop", history={"x-referral-readings": 3})
    assert desk.run("dead", "drop", "--all", "--yes").returncode == 0
    campaigns = json.loads(desk.run("status", "--json").stdout)["campaigns"]
    assert {row["campaign"]: row["dead"] for row in campaigns} == {"spring": 0, "summer": 1}


def test_another_shop_is_told_and_stands_in_no_sum(desk: Desk, tap: Tap, redis_url: str) -> None:
    """A letter of one shop's queue with a job of another is the former's, is not replayed, and counts as nobody's."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    foreign = bury(tap, message("bolt", campaign="theirs"), "bad_schema")
    own = bury(tap, message("acme", campaign="ours"), "bad_job_id")
    assert listed(desk, "--shop", "bolt") == []
    assert listed(desk, "--shop", "acme") == [foreign, own]
    ended = desk.run("dead", "replay", "--all", "--expires", "2h")
    assert ended.returncode == 1
    assert f"{foreign} can't be replayed: its job belongs to another shop than acme" in ended.stderr
    assert listed(desk) == [foreign]
    tap.put("", "referrals.dead", message("acme", campaign="elsewhere"))
    ended = desk.run("dead", "replay", "--all")
    assert "RabbitMQ does not report which shop's queue it came from" in ended.stderr
    assert desk.run("dead", "drop", "--all", "--yes").returncode == 0
    campaigns = json.loads(desk.run("status", "--json").stdout)["campaigns"]
    assert {row["campaign"] for row in campaigns} == {"ours"}


def result(**changed: Any) -> bytes:
    """A result as a worker publishes it."""
    fields = {
        "schema": 1,
        "job_id": job_id(["acme", *IDENTITY[1:]]),
        "campaign": "spring",
        "shop": "acme",
        "run": 0,
        "customer": {"shopid": "c1"},
        "channel": "email",
        "destination": ADDRESS,
        "outcome": "sent",
        "message": "half a pair: \ud800",
        "attempts": 1,
        "finished_at": "2026-01-02T03:04:05Z",
        **changed,
    }
    return json.dumps(fields).encode()


def reject_result(tap: Tap, body: bytes, key: str = "acme.sent.ok.plain") -> None:
    """Have RabbitMQ move a result to the dead queue, as for an older `collect`."""
    tap.put("referrals.results", key, body)
    before = tap.depth("referrals.dead")
    method, _, _ = tap.channel.basic_get("referrals.results")
    tap.channel.basic_reject(method.delivery_tag, requeue=False)
    wait_until(lambda: tap.depth("referrals.dead") > before, 30, "it to be moved")


def test_what_collect_can_not_read_is_moved(desk: Desk, tap: Tap) -> None:
    """A result of a newer schema is parked by `collect`, and stays there until a version that reads it replays it."""
    tap.put("referrals.results", "acme.sent.ok.plain", result(schema=99))
    collect = desk.start("collect", "--out", "results.csv")
    wait_until(lambda: tap.depth("referrals.dead") == 1, 30, "it to be rejected")
    collect.kill()
    (letter,) = json.loads(desk.run("dead", "list", "--json").stdout)["letters"]
    assert letter["reason"] == "unreadable_result"
    ended = desk.run("dead", "replay", "--reason", "unreadable_result")
    assert ended.returncode == 1
    assert "no result that this version reads: schema" in ended.stderr
    assert listed(desk) == [letter["id"]]


def test_results_go_back_to_the_results(desk: Desk, tap: Tap) -> None:
    """A result that RabbitMQ dropped from the results goes back unchanged; one that isn't valid stays, with a line."""
    reject_result(tap, result())
    broken = {
        "attempts: Field required": result(attempts=None).replace(b'"attempts": null, ', b""),
        "another job id": result(destination="someone@example.com"),
        "another shop": result(shop="bolt", job_id=job_id(["bolt", *IDENTITY[1:]])),
        "not JSON": b"\xff",
    }
    for body in broken.values():
        reject_result(tap, body)
    ended = desk.run("dead", "replay", "--all")
    assert ended.returncode == 1
    back = tap.take("referrals.results", 1, 10)[0]
    assert (back.body, back.routing_key) == (result(), "acme.sent.ok.plain")
    assert tap.peek("referrals.results") is None
    for problem, body in broken.items():
        (line,) = [line for line in ended.stderr.splitlines() if hashlib.sha256(body).hexdigest()[:12] in line]
        assert problem in line
    assert len(listed(desk)) == len(broken)
    assert "@" not in ended.stderr


def test_a_producer_makes_no_results(desk: Desk, tap: Tap) -> None:
    """A whole result of a producer's, with headers as of one that RabbitMQ moved, never comes out of a replay."""
    # Only what is first in its queue expires.
    tap.take("referrals.shop.acme", 1, 10)
    forgeries = {
        "acme": Forged(entry("x-death", [RESULT_DEATH]), expiration="1"),
        "acme.sent.ok.plain": Forged(entry("x-death", [RESULT_DEATH]), entry("CC", ["acme"]), expiration="1"),
        b"\xff": Forged(entry("x-death", [RESULT_DEATH]) * 2, entry("CC", ["acme"]), expiration="1"),
    }
    for number, (key, properties) in enumerate(forgeries.items()):
        tap.channel.basic_publish("referrals", key, result(attempts=number), properties, mandatory=True)
    tap.put("referrals", "acme", result(attempts=9), headers={"x-death": [RESULT_DEATH]})
    wait_until(lambda: tap.depth("referrals.dead") == len(forgeries), 30, "the dead letters")
    worker = desk.start("work")
    wait_until(lambda: tap.depth("referrals.dead") == len(forgeries) + 1, 30, "the one that a worker buries")
    worker.kill()
    bury(tap, message("acme"), "crash_loop")
    ended = desk.run("dead", "replay", "--all", "--json")
    assert (ended.returncode, json.loads(ended.stdout)["replayed"]) == (1, 1)
    assert len(listed(desk)) == len(forgeries) + 1
    assert tap.peek("referrals.results") is None


def test_one_bad_letter_ends_nothing(desk: Desk, tap: Tap) -> None:
    """Whatever a letter holds, it stays with a line, and those after it are replayed."""
    last_run = message("acme").replace(b'"run": 0', b'"run": ' + b"9" * 4300)
    odd = {
        "no next run": last_run,
        "half a pair": message("acme", note="\ud800", campaign="\udfff"),
        "too deep": message("acme").replace(b'"gold"', b"[" * 5000 + b"]" * 5000),
        "a day that never was": message("acme", not_after="0000-00-00T00:00:00Z"),
        "nothing": b"",
        "a number": b"1" * 5000,
    }
    for body in odd.values():
        bury(tap, body, "crash_loop", at="0001-01-01T00:00:00+14:00")
    tap.channel.basic_publish("referrals.dead", b"\xff\xfe", b"odd key", Forged(entry("x-referral-reason", 7)))
    tap.channel.basic_publish("referrals.dead", "", b"odd time", Forged(b"\x07x-death" + b"T" + b"\xff" * 8))
    good = bury(tap, message("acme"), "crash_loop")
    assert len(listed(desk)) == len(odd) + 3
    assert desk.run("dead", "show", "--limit", "100").returncode == 0
    ended = desk.run("dead", "replay", "--all", "--json")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["replayed"]) == (1, 1)
    assert good not in listed(desk)
    assert {letter["id"] for letter in told["left"]} == set(listed(desk))
    assert len(told["left"]) == len(odd) + 2


def test_drop(desk: Desk, tap: Tap) -> None:
    """Letters are dropped by selection, and without a terminal only with --yes."""
    bury(tap, b"a", "undecodable", at="2020-01-01T00:00:00+00:00")
    kept = bury(tap, b"b", "undecodable")
    for arguments, complaint in (
        (("--all",), "--yes"),
        (("--yes", "--all", "--campaign", " "), "--campaign"),
        (("--yes", "--reason", "undecodable", "--campaign", ""), "--campaign"),
        (("--yes",), "--all"),
        (("--yes", "--all", "--reason", "x"), "--all"),
    ):
        ended = desk.run("dead", "drop", *arguments)
        assert (ended.returncode, complaint in ended.stderr) == (2, True)
    ended = desk.run("dead", "drop", "--older-than", "2021-01-01T00:00:00Z", "--yes", "--json")
    assert json.loads(ended.stdout) == {"dropped": 1}
    assert listed(desk) == [kept]


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 0), (b"\n", 2, 2)], ids=["yes", "no"])
def test_drop_asks_a_person(desk: Desk, tap: Tap, answer: bytes, code: int, left: int) -> None:
    """On a terminal the number is shown and a yes is awaited; anything else drops nothing."""
    bury(tap, b"a", "undecodable")
    bury(tap, b"b", "undecodable")
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "dead", "drop", "--all"],
        cwd=desk.folder,
        env=desk.env,
        stdin=terminal,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    seen = b""
    while b"y/N" not in seen:
        seen += os.read(controller, 1000)
    assert b"Drop 2 dead letters" in seen
    os.write(controller, answer)
    assert process.wait(30) == code
    os.close(controller)
    assert len(listed(desk)) == left


def test_no_broker(desk: Desk) -> None:
    """A broker out of reach is one line and exit code 1."""
    ended = desk.run("dead", "list", REFERRALS_AMQP_URL="amqp://guest:guest@127.0.0.1:9/%2f")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "127.0.0.1:9" in line
