"""`referrals suppress`: nobody calls who has opted out, whatever is queued, and whatever becomes of the store."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import redis

from tests.integration.rabbitmq.tap import tapping
from tests.services import Vhost, wait_until
from tests.system.commands import Desk, Sandbox

KEY = "canary of sixteen characters"


@pytest.fixture
def desk(desk: Desk, redis_url: str) -> Desk:
    """Two shops, a shared store, and a key."""
    desk.env |= {"REFERRALS_REDIS_URL": redis_url, "REFERRALS_SUPPRESSION_KEY": KEY}
    desk.write_shops("http://127.0.0.1:9", ["acme", "bolt"])
    return desk


@pytest.fixture
def sandbox(desk: Desk) -> Sandbox:
    """The emulator, and the shops at it."""
    made = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(made.url, ["acme", "bolt"])
    return made


def succeed(desk: Desk, *arguments: str) -> str:
    """Run a command that has to succeed; what it prints."""
    ended = desk.run(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def asked(desk: Desk, *arguments: str) -> dict[str, object]:
    """The same, as JSON."""
    found: dict[str, object] = json.loads(succeed(desk, *arguments, "--json"))
    return found


def refused(ended: subprocess.CompletedProcess[str], code: int, text: str) -> None:
    """The command failed in one line, which says this."""
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    assert text in ended.stderr
    assert "@" not in ended.stderr


def test_nobody_calls_who_has_opted_out(desk: Desk, sandbox: Sandbox) -> None:
    """By the customer's or the friend's address, in one shop or in all, however it is spelled; others are called."""
    rows = [
        {"shop": shop, "customer_email": f"{name}@example.com", "channel": "sms"}
        for shop in ("acme", "bolt")
        for name in ("ann", "ben", "cat")
    ]
    friend = {"shop": "bolt", "customer_email": "dan@example.com", "channel": "email", "destination": "ann@example.com"}
    desk.write_export("export.csv", [*({**row, "destination": ""} for row in rows), friend])
    succeed(desk, "publish", "export.csv", "--campaign", "spring")
    (desk.folder / "list.txt").write_text("ANN@Example.com\n")
    added = asked(desk, "suppress", "add", "list.txt", "--all", "--reason", "opted out", "--as", "kim")
    assert (added["list"], added["changed"], added["on_list"]) == ("*", 1, 1)
    succeed(desk, "suppress", "add", "ben@example.com", "--shop", "acme")
    desk.start("collect", "--out", "results.csv")
    worker = desk.start("work")
    wait_until(lambda: len(desk.results()) == 7 or not worker.running(), 60, "all results")
    ended = {(row["shop"], row["customer_email"]): (row["outcome"], row["code"]) for row in desk.results()}
    nobody, sent = ("cancelled", "suppressed"), ("sent", "")
    assert ended == {
        ("acme", "ann@example.com"): nobody,
        ("acme", "ben@example.com"): nobody,
        ("acme", "cat@example.com"): sent,
        ("bolt", "ann@example.com"): nobody,
        ("bolt", "ben@example.com"): sent,
        ("bolt", "cat@example.com"): sent,
        ("bolt", "dan@example.com"): nobody,
    }
    assert len(sandbox.calls()) == 3
    assert desk.metrics()["referral_suppressed_jobs_total",] == 4
    assert "also: 2 cancelled (2 of them suppressed)" in succeed(desk, "status", "--shop", "acme")
    orders = json.loads(succeed(desk, "log", "--json"))["orders"]
    assert [(order["action"], order["shop"], order["detail"]) for order in orders] == [
        ("suppress add", "*", "1 address"),
        ("suppress add", "acme", "1 address"),
    ]
    assert (orders[0]["by"], orders[0]["reason"]) == ("kim", "opted out")
    # Once taken off the list, a copy that is published again is called.
    succeed(desk, "suppress", "remove", "ann@example.com", "--all")
    succeed(desk, "publish", "export.csv", "--campaign", "spring", "--yes")
    wait_until(lambda: len(sandbox.calls()) == 6, 60, "the calls to ann")


def test_shows_lists_without_their_addresses(desk: Desk, redis_url: str) -> None:
    """`list` has sizes, `check` answers for addresses that are given, and nothing that is kept names anybody."""
    (desk.folder / "many.txt").write_text("".join(f"c{number}@example.com\n" for number in range(12_000)))
    assert desk.run("suppress", "list").stderr == "referrals: nobody is suppressed\n"
    assert asked(desk, "suppress", "add", "many.txt", "--shop", "acme")["changed"] == 12_000
    again = asked(desk, "suppress", "add", "many.txt", "new@example.com", "--shop", "acme")
    assert (again["changed"], again["unchanged"], again["on_list"]) == (1, 12_000, 12_001)
    succeed(desk, "suppress", "add", "c1@example.com", "--all")
    listed = asked(desk, "suppress", "list")
    assert (listed["changes"], listed["journal"], listed["problem"]) == (5, 5, None)
    assert "12,001" in succeed(desk, "suppress", "list")
    checked = asked(desk, "suppress", "check", "c1@example.com", "nobody@example.com", "C2@example.com")
    assert checked["named"] == {"c1@example.com": ["*", "acme"], "nobody@example.com": [], "C2@example.com": ["acme"]}
    assert "every shop" in succeed(desk, "suppress", "check", "c1@example.com", "--shop", "bolt")
    assert asked(desk, "suppress", "check", "many.txt")["suppressed"] == 12_000
    assert asked(desk, "suppress", "remove", "c1@example.com", "c2@example.com", "--shop", "acme")["on_list"] == 11_999
    # A doubtful row is named, and keeps nobody else from being looked up, added or taken off.
    (desk.folder / "doubtful.txt").write_text("c3@example.com\nnobody\nfresh@example.com\n")
    for command, found in (
        (["check"], {"addresses": 2, "suppressed": 1}),
        (["add", "--shop", "acme"], {"changed": 1, "on_list": 12_000}),
        (["remove", "--shop", "acme"], {"changed": 2, "on_list": 11_998}),
    ):
        ended = desk.run("suppress", *command, "doubtful.txt", "--json")
        data = json.loads(ended.stdout)
        assert (ended.returncode, data | found) == (1, data), ended.stderr
        doubt = {"file": "doubtful.txt", "line": 2, "because": "is no e-mail address"}
        assert (data["doubtful"], data["doubtful_rows"]) == (1, [doubt])
        assert "doubtful.txt: line 2 is no e-mail address\n" in ended.stderr
    with redis.Redis.from_url(redis_url) as client:
        kept = b"".join(key + (client.dump(key) or b"") for key in client.scan_iter())
    assert b"example" not in kept


def test_brings_back_what_the_store_has_lost(desk: Desk, redis_url: str) -> None:
    """From RabbitMQ's journal, by `restore` or with the next change; `list` says what is missing until then."""
    first = desk.run("suppress", "add", "ann@example.com", "--all")
    then = desk.run("suppress", "add", "ben@example.com", "cat@example.com", "--shop", "acme")
    # Whoever had no use for the key until now has workers that stand still from now on.
    hint = "referrals: these are the first: from now on a worker without this REFERRALS_SUPPRESSION_KEY calls nobody"
    assert [each.stderr.startswith(hint) for each in (first, then)] == [True, False]
    succeed(desk, "suppress", "remove", "cat@example.com", "--shop", "acme")
    before = asked(desk, "suppress", "list")
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    ended = desk.run("suppress", "list")
    assert (ended.returncode, "the store has 0 of 3 changes" in ended.stderr) == (1, True)
    assert asked(desk, "suppress", "restore") == {"restored": 3, "rewritten": False, "addresses": 2}
    assert asked(desk, "suppress", "list") == before
    assert asked(desk, "suppress", "restore") == {"restored": 0, "rewritten": False, "addresses": 2}
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    ended = desk.run("suppress", "add", "dan@example.com", "--shop", "bolt")
    assert (ended.returncode, "all 3 are back" in ended.stderr) == (0, True)
    found = asked(desk, "suppress", "check", "ann@example.com", "ben@example.com", "cat@example.com", "dan@example.com")
    assert list(found["named"].values()) == [["*"], ["acme"], [], ["bolt"]]  # type: ignore[attr-defined]  # an object


@pytest.mark.parametrize("command", [("restore",), ("add", "dan@example.com", "--shop", "bolt")])
def test_writes_a_lost_journal_anew(desk: Desk, vhost: Vhost, redis_url: str, command: tuple[str, ...]) -> None:
    """RabbitMQ lost it: what the store has is written down again, and a store that is lost then gets it back."""
    (desk.folder / "many.txt").write_text("".join(f"c{number}@example.com\n" for number in range(12_000)))
    succeed(desk, "suppress", "add", "ann@example.com", "--all")
    succeed(desk, "suppress", "add", "many.txt", "--shop", "acme")
    succeed(desk, "suppress", "remove", "ann@example.com", "--all")
    succeed(desk, "suppress", "add", "ben@example.com", "--all")
    before = asked(desk, "suppress", "list")
    with tapping(vhost) as tap:
        tap.channel.queue_purge("referrals.suppression")
    ended = desk.run("suppress", "list")
    assert (ended.returncode, "RabbitMQ has lost 6 of 6" in ended.stderr) == (1, True)
    ended = desk.run("suppress", *command)
    assert (ended.returncode, "written anew" in ended.stderr) == (0, True), ended.stderr
    if command == ("restore",):
        assert asked(desk, "suppress", "list") == before
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    assert asked(desk, "suppress", "restore")["restored"] == (6 if command == ("restore",) else 7)
    found = asked(desk, "suppress", "list")
    lists = found["lists"]
    assert isinstance(lists, dict)
    assert {of: lists[of] for of in ("*", "acme")} == before["lists"]
    assert (found["journal"], found["problem"]) == (found["changes"], None)
    checked = asked(desk, "suppress", "check", "many.txt", "ann@example.com", "ben@example.com")
    assert (checked["suppressed"], checked["named"]) == (12_001, {"ann@example.com": [], "ben@example.com": ["*"]})


def test_a_change_that_arrives_twice(desk: Desk, vhost: Vhost) -> None:
    """A connection broke before its confirm: the journal is longer than the changes are many, and is written anew."""
    succeed(desk, "suppress", "add", "ann@example.com", "--all")
    with tapping(vhost) as tap:
        _, _, body = tap.channel.basic_get("referrals.suppression", auto_ack=True)
        for _ in range(2):
            tap.put("referrals.suppression", "*", body)
    assert desk.run("suppress", "list").returncode == 1
    assert asked(desk, "suppress", "restore") == {"restored": 2, "rewritten": True, "addresses": 1}
    succeed(desk, "suppress", "add", "ben@example.com", "--all")
    found = asked(desk, "suppress", "list")
    assert (found["changes"], found["journal"], found["problem"]) == (2, 2, None)


def test_refuses_what_makes_no_sense(desk: Desk) -> None:
    """In one line, which quotes no address."""
    refused(desk.run("suppress", "add", "ann@example.com"), 2, "--all for every shop")
    refused(desk.run("suppress", "add", "ann@example.com", "--all", "--shop", "acme"), 2, "say whose list")
    refused(desk.run("suppress", "add", "ann@example.com", "--shop", "acmee"), 2, "did you mean acme?")
    refused(desk.run("suppress", "add", "an n@@example.com", "--all"), 2, "neither a file nor an e-mail address")
    refused(desk.run("suppress", "add", "a" * 300 + "@example.com", "--all"), 2, "neither a file nor an e-mail address")
    refused(desk.run("suppress", "add", "missing.txt", "--all"), 1, "missing.txt")
    refused(desk.run("suppress", "add", "ann@example.com", "--all", REFERRALS_SUPPRESSION_KEY=""), 2, "openssl rand")
    succeed(desk, "suppress", "add", "ann@example.com", "--all")
    desk.env["REFERRALS_SUPPRESSION_KEY"] = "another of sixteen characters"
    for command in (["add", "ben@example.com", "--all"], ["check", "ann@example.com"], ["restore"]):
        refused(desk.run("suppress", *command), 2, "hashed by another key")


def test_a_run_takes_a_list_of_its_own(desk: Desk) -> None:
    """Without RabbitMQ and without a store: those on the list end as cancelled, the others are called."""
    rows = [{"customer_email": f"{name}@example.com", "channel": "sms"} for name in ("ann", "ben")]
    desk.write_export("export.csv", rows)
    (desk.folder / "list.txt").write_text("email\nBEN@example.com\n")
    for env in ("REFERRALS_REDIS_URL", "REFERRALS_SUPPRESSION_KEY"):
        del desk.env[env]
    options = ("--sandbox", "--campaign", "spring", "--out", "out.csv", "--suppress", "list.txt")
    ended = desk.run("run", "export.csv", *options)
    assert ended.returncode == 0, ended.stderr
    found = {row["customer_email"]: (row["outcome"], row["code"]) for row in desk.results("out.csv")}
    assert found == {"ann@example.com": ("sent", ""), "ben@example.com": ("cancelled", "suppressed")}
    (desk.folder / "list.txt").write_text("id,link\n1,https://shop.example/r/1\n")
    refused(desk.run("run", "export.csv", *options), 2, "--suppress list.txt: no column for the customer")
    (desk.folder / "list.txt").write_text("ann@example.com\nnobody\n")
    refused(desk.run("run", "export.csv", *options), 1, "list.txt: line 2 is no e-mail address")


def test_a_running_worker_asks_the_journal_of_a_store_that_has_lost_everything(
    desk: Desk, sandbox: Sandbox, redis_url: str
) -> None:
    """It has never heard of a list: the store was lost in the second in which the first address was added."""
    desk.write_export("export.csv", [{"shop": "acme", "customer_email": "ann@example.com", "channel": "sms"}])
    succeed(desk, "shops", "pause", "acme", "--reason", "wrong texts")
    worker = desk.start("work")
    wait_until(lambda: "shop_paused" in worker.stderr, 60, "the worker to know")
    # Of another store, so that the worker's own says nothing of it.
    other = f"{redis_url.rsplit('/', 1)[0]}/15"
    ended = desk.run("suppress", "add", "ann@example.com", "--all", REFERRALS_REDIS_URL=other)
    with redis.Redis.from_url(redis_url) as client, redis.Redis.from_url(other) as emptied:
        emptied.flushdb()
        assert ended.returncode == 0, ended.stderr
        client.flushdb()
    wait_until(lambda: "suppression_unusable" in worker.stderr, 10, "the worker to ask")
    closed = "1 worker process calls nobody, on "
    wait_until(lambda: closed in desk.run("shops", "list").stderr, 10, "the worker to leave word")
    assert desk.readiness() == (503, "not ready: suppression (lost)\n")
    planned = desk.run("plan", "export.csv", "--campaign", "spring").stderr
    assert closed in planned
    assert "no worker takes" not in planned
    assert closed in desk.run("publish", "export.csv", "--campaign", "spring").stderr
    succeed(desk, "suppress", "restore")
    wait_until(lambda: desk.readiness()[0] == 200, 10, "the worker to be ready")
    desk.start("collect", "--out", "results.csv")
    wait_until(lambda: desk.results() != [], 60, "the result")
    assert [row["code"] for row in desk.results()] == ["suppressed"]
    assert not sandbox.calls()


def test_another_key(desk: Desk, vhost: Vhost, redis_url: str) -> None:
    """As docs/retention.md says: once the lists are taken away a new key is taken, and the store keeps the rest."""
    document = (Path(__file__).parents[2] / "docs" / "retention.md").read_text()
    known = re.search(r"valkey-cli del '(.*)'", document)
    pattern = re.search(r"valkey-cli --scan --pattern '(.*?)'", document)
    assert known
    assert pattern
    desk.write_export("export.csv", [{"shop": "acme", "customer_email": "ann@example.com", "channel": "sms"}])
    succeed(desk, "publish", "export.csv", "--campaign", "spring")
    (desk.folder / "many.txt").write_text("".join(f"c{number}@example.com\n" for number in range(12_000)))
    succeed(desk, "suppress", "add", "many.txt", "--shop", "acme")
    succeed(desk, "suppress", "add", "ann@example.com", "--all")
    with tapping(vhost) as tap:
        tap.channel.queue_purge("referrals.suppression")
    with redis.Redis.from_url(redis_url) as client:
        client.delete(known[1], *client.scan_iter(pattern[1]))
        left = list(client.scan_iter())
    assert left, "nothing but the lists was to go"
    desk.env["REFERRALS_SUPPRESSION_KEY"] = "another of sixteen characters"
    assert desk.run("suppress", "list").stderr == "referrals: nobody is suppressed\n"
    succeed(desk, "suppress", "add", "ann@example.com", "--all")
    assert asked(desk, "suppress", "check", "ann@example.com")["named"] == {"ann@example.com": ["*"]}
    found = asked(desk, "suppress", "list")
    assert (found["changes"], found["journal"], found["problem"]) == (1, 1, None)
