"""`referrals replay`: jobs are sent again, chosen by how they ended; nobody is called twice for it."""

import hashlib
import json
import re
import shutil
import signal
from collections import Counter
from typing import Any

import pytest

from tests.services import RabbitMQ, Vhost, wait_until
from tests.services.forwarder import slow_way
from tests.system.commands import Desk, Sandbox
from tests.system.terminal import Terminal

MANY = 3_000
"""Jobs: enough that publishing them slowly can be stopped in the middle."""


def job_id(shop: str, campaign: str, run: int, email: str) -> str:
    """By the documented rule."""
    identity = [shop, campaign, run, None, None, email, "whatsapp", None]
    return hashlib.sha256(json.dumps(identity, separators=(",", ":")).encode()).hexdigest()[:32]


def result(number: int, outcome: str, *, shop: str = "acme", code: str | None = None, run: int = 0) -> dict[str, Any]:
    """A result as a line of JSON holds it."""
    email = f"c{number}@mail.example.org"
    return {
        "schema": 1,
        "job_id": job_id(shop, "spring", run, email),
        "campaign": "spring",
        "shop": shop,
        "run": run,
        "line": number + 2,
        "reference": f"r{number}",
        "customer": {"email": email},
        "channel": "whatsapp",
        "outcome": outcome,
        "code": code,
        "attempts": 1,
        "finished_at": "2026-11-02T12:00:00Z",
    }


def write(desk: Desk, results: list[dict[str, Any]], name: str = "old.jsonl") -> None:
    """A results file."""
    (desk.folder / name).write_text("".join(f"{json.dumps(each)}\n" for each in results))


@pytest.fixture
def sandbox(desk: Desk, redis_url: str) -> Sandbox:
    """A sandbox, a shared store, and the shop acme with its queue."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    fast = {"per_second": 5000, "burst": 5000, "customer_per_second": 1000, "on_unknown": "report"}
    desk.write_shops("http://127.0.0.1:9", ["acme"], **fast)
    made = desk.start_sandbox("--shops", "shops.toml", "--per-second", "5000")
    desk.write_shops(made.url, ["acme"], **fast)
    desk.write_export("other.csv", [{"shop": "acme", "customer_shopid": "other", "channel": "sms"}])
    assert desk.run("publish", "other.csv", "--campaign", "other").returncode == 0
    return made


def replayed(desk: Desk, *options: str, campaign: str = "spring") -> dict[str, Any]:
    """What a replay without a question printed."""
    ended = desk.run("replay", "--campaign", campaign, "--yes", "--json", *options)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def calls(sandbox: Sandbox) -> Counter[str]:
    """The calls by the customer's address; those of the other campaign have none."""
    customers = [call["body"]["customer"] for call in sandbox.calls()]
    return Counter(customer["email"] for customer in customers if "email" in customer)


def ended_results(desk: Desk, count: int) -> list[dict[str, str]]:
    """The collected results of the campaign, once there are so many."""
    rows: list[dict[str, str]] = []

    def are_there() -> bool:
        rows[:] = [row for row in desk.results() if row["campaign"] == "spring"]
        return len(rows) >= count

    wait_until(are_there, 60, f"{count} results")
    assert len(rows) == count
    return rows


def test_a_campaign_that_is_sent_again(desk: Desk, sandbox: Sandbox) -> None:
    """The jobs that a shop's rule rejected get their next run and a second call; those that may have been sent get one
    only by name; run again over the same results, nobody is called."""
    names = [f"c{number}" for number in range(20)] + [f"rulex1+{number}" for number in range(40)]
    names += [f"resetx1+{number}" for number in range(5)]
    rows = [{"customer_email": f"{name}@mail.example.org", "reference": name} for name in names]
    desk.write_export("spring.csv", rows)
    options = ("--shop", "acme", "--campaign", "spring", "--channel", "whatsapp")
    assert desk.run("publish", "spring.csv", *options).returncode == 0
    worker = desk.start("work")
    desk.start("collect", "--out", "results.csv")
    ended_results(desk, 65)
    shutil.copy(desk.folder / "results.csv", desk.folder / "before.csv")

    told = replayed(desk, "--from", "before.csv", "--code", "sandbox_shop_rule", "--code", "connection_lost")
    assert (told["jobs"], told["published"], told["left_out"]) == (40, 40, {"unknown": 5})
    assert told["chosen"][0]["code"] == "sandbox_shop_rule"
    again = [row for row in ended_results(desk, 105) if row["run"] == "1"]
    assert {row["outcome"] for row in again} == {"sent"}
    assert {row["job_id"] for row in again} == {
        job_id("acme", "spring", 1, f"rulex1+{number}@mail.example.org") for number in range(40)
    }
    assert calls(sandbox) == {f"{name}@mail.example.org": 1 + name.startswith("rule") for name in names}

    told = replayed(desk, "--from", "before.csv", "--outcome", "rejected")
    assert (told["published"], told["known_before"]["answered"]) == (40, 40)
    told = replayed(desk, "--from", "before.csv", "--from", "results.csv", "--outcome", "rejected")
    assert (told["jobs"], told["published"]) == (0, 0)
    told = replayed(desk, "--from", "results.csv", "--outcome", "unknown", "--limit", "2")
    assert told["published"] == 2
    ended_results(desk, 107)
    assert sum(calls(sandbox).values()) == 107, worker.stderr
    status = json.loads(desk.run("status", "--json").stdout)
    (spring,) = (campaign for campaign in status["campaigns"] if campaign["campaign"] == "spring")
    assert spring["published"] == 65 + 40 + 40 + 2


def test_killed_in_the_middle_and_run_again(desk: Desk, sandbox: Sandbox, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """Nothing is lost and nothing doubled: each job of the choice is called once, as its next run."""
    write(desk, [result(number, "failed" if number % 3 else "sent", code="http_503") for number in range(MANY)])
    arguments = ("replay", "--campaign", "spring", "--from", "old.jsonl", "--code", "http_503", "--yes")

    worker = desk.start("work")
    desk.start("collect", "--out", "results.csv")
    # The other campaign's job: the worker is ready.
    wait_until(sandbox.calls, 40, "a worker")
    with slow_way(vhost.url, MANY * 100) as (_, url):
        first = desk.start(*arguments, REFERRALS_AMQP_URL=url)
        wait_until(lambda: sandbox.log.stat().st_size > 10_000, 40, "the middle")
        first.kill()
        assert first.wait() == -signal.SIGKILL
    assert len(calls(sandbox)) < MANY * 2 // 3
    second = desk.run(*arguments)
    assert second.returncode == 0, second.stderr
    expected = {f"c{number}@mail.example.org" for number in range(MANY) if number % 3}
    rows = ended_results(desk, len(expected))
    assert {(row["outcome"], row["run"]) for row in rows} == {("sent", "1")}
    assert {row["job_id"] for row in rows} == {job_id("acme", "spring", 1, email) for email in expected}
    wait_until(lambda: not rabbitmq.depths(vhost)["referrals.shop.acme"], 40, "the end of the copies")
    assert calls(sandbox) == dict.fromkeys(expected, 1), worker.stderr


def test_twice_at_once_interrupted_and_cut_off(desk: Desk, sandbox: Sandbox, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """Two of them at once, one of which is stopped by Ctrl-C, and one whose broker goes away: each says how far it
    came, and together with one more run each job is called once, as its next run."""
    write(desk, [result(number, "failed", code="http_503") for number in range(MANY)])
    arguments = ("replay", "--campaign", "spring", "--from", "old.jsonl", "--outcome", "failed", "--yes")

    def waiting() -> int:
        return rabbitmq.depths(vhost).get("referrals.shop.acme") or 0

    # Each would take a minute. So none is done before the test has come to what it does in the middle of it.
    slow = MANY * 10
    with slow_way(vhost.url, slow) as (way, url):
        first = desk.start(*arguments, REFERRALS_AMQP_URL=url)
        wait_until(lambda: waiting() > 10, 60, "the first jobs")
        of_first = way.connections
        second = desk.start(*arguments, REFERRALS_AMQP_URL=url)
        wait_until(lambda: way.connections > of_first, 60, "a second one at the same time")
        first.signal(signal.SIGINT)
        assert first.wait(60) == 130, first.stderr
        told = re.fullmatch(r"referrals: stopped after ([\d,]+) jobs were published, which [^\n]+\n", first.stderr)
        assert told, first.stderr
        way.rate = None
        assert second.wait(60) == 0, second.stderr
        # What the first one had sent when it stopped is on its way until then.
        wait_until(lambda: not way.connections, 60, "the end of both")

        way.rate, before = slow, way.passed
        third = desk.start(*arguments, REFERRALS_AMQP_URL=url)
        wait_until(lambda: way.passed > before + slow, 60, "the third one's first jobs")
    assert third.wait(60) == 1, third.stderr
    *_, line = third.stderr.splitlines()
    found = re.search(r"confirmed nothing for 30 s .* (\d+) jobs are confirmed, publish again for the rest", line)
    assert found, line
    assert 0 < int(told[1].replace(",", "")) < MANY
    assert int(found[1]) < MANY

    desk.start("collect", "--out", "results.csv")
    worker = desk.start("work")
    rows = ended_results(desk, MANY)
    assert {(row["outcome"], row["run"]) for row in rows} == {("sent", "1")}
    wait_until(lambda: not waiting(), 60, "the end of the copies")
    assert calls(sandbox) == {f"c{number}@mail.example.org": 1 for number in range(MANY)}, worker.stderr


def test_a_rehearsal_s_results(desk: Desk, sandbox: Sandbox) -> None:
    """However they ended, they are known as a rehearsal's: by the question, by a note without one, and by `find`."""
    desk.write_shops(sandbox.url, ["acme"], max_attempts=2)
    names = ("c0", "c1", "html403+c2", "c3")
    desk.write_export("spring.csv", [{"customer_email": f"{name}@mail.example.org"} for name in names])
    options = ("--shop", "acme", "--campaign", "spring", "--channel", "whatsapp")
    assert desk.run("run", "spring.csv", *options, "--sandbox", "--out", "rehearsed.csv").returncode == 0
    asked = ("replay", "--campaign", "spring", "--from", "rehearsed.csv", "--outcome", "failed")
    with Terminal(desk, *asked) as terminal:
        terminal.answer("? [y/N] ", "n")
        assert "Send 1 job again, 1 of them after a rehearsal? [y/N]" in terminal.raw()
    sent = desk.run(*asked, "--yes", "--json")
    (note,) = sent.stderr.splitlines()
    assert note.startswith("note: 1 of these results come from a SANDBOX, which called nobody")
    assert json.loads(sent.stdout)["sandbox"] == 1
    assert "SANDBOX" in desk.run("find", "html403+c2@mail.example.org", "--from", "rehearsed.csv").stdout


def test_a_mistyped_code(desk: Desk, sandbox: Sandbox) -> None:
    """A line names the codes that are like it, or those there are; others are taken nevertheless."""
    del sandbox
    write(desk, [result(1, "failed", code="http_503"), result(2, "failed", code="unanswered")])
    shown = ("replay", "--campaign", "spring", "--from", "old.jsonl", "--dry-run", "--json", "--code")
    ended = desk.run(*shown, "htp_503", "--code", "unanswered")
    assert (ended.returncode, json.loads(ended.stdout)["jobs"]) == (0, 1)
    assert ended.stderr == "note: --code htp_503: no result of the campaign has it; there is http_503\n"
    ended = desk.run(*shown, "x")
    assert (ended.returncode, json.loads(ended.stdout)["jobs"]) == (0, 0)
    assert ended.stderr == "note: --code x: no result of the campaign has it; there is http_503 or unanswered\n"


def test_an_uncalled_job_stays_the_same_job(desk: Desk, sandbox: Sandbox) -> None:
    """It expired; sent again and then published again by its export, it is called once."""
    desk.write_export("spring.csv", [{"customer_email": "c1@mail.example.org", "reference": "r1"}])
    publish = ("publish", "spring.csv", "--shop", "acme", "--campaign", "spring", "--channel", "whatsapp")
    write(desk, [result(1, "expired")])
    assert replayed(desk, "--from", "old.jsonl", "--outcome", "expired")["published"] == 1
    assert desk.run(*publish).returncode == 0
    desk.start("work")
    desk.start("collect", "--out", "results.csv")
    (row,) = ended_results(desk, 1)
    assert (row["outcome"], row["job_id"]) == ("sent", job_id("acme", "spring", 0, "c1@mail.example.org"))
    assert desk.run(*publish, "--json").returncode == 0
    assert calls(sandbox) == {"c1@mail.example.org": 1}


def test_what_can_not_be_sent_again(desk: Desk, sandbox: Sandbox, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """One line says why, and nothing is published."""
    del sandbox
    write(desk, [result(1, "failed", code="http_503"), result(2, "failed", shop="bolt"), result(3, "sent")])
    usual = ("--campaign", "spring", "--from", "old.jsonl", "--yes")
    refused = {
        usual: "choose what is sent again",
        (*usual, "--outcome", "sent"): "what was sent is never sent again",
        (*usual, "--outcome", "fialed"): "--outcome fialed: is none; choose from rejected, failed, unknown",
        (*usual, "--outcome", "failed"): "no queue takes the jobs of bolt: start a worker",
        (*usual[:-1], "--outcome", "failed"): "without a terminal to ask, give --yes, or --dry-run",
        (*usual[:2], "--yes", "--outcome", "failed"): "nothing says where the results are",
        ("--campaign", "fall", *usual[2:], "--outcome", "failed"): "--campaign fall: has no result there",
        (*usual, "--outcome", "failed", "--shop", "core"): "has no result there in shop core",
        (*usual, "--outcome", "failed", "--expires", "2020-01-01T00:00:00Z"): "has already passed",
    }
    for arguments, line in refused.items():
        ended = desk.run("replay", *arguments)
        (problem,) = ended.stderr.splitlines()
        assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
        assert line in problem
    assert desk.run("cancel", "spring", "--shop", "acme", "--yes").returncode == 0
    ended = desk.run("replay", *usual, "--outcome", "failed", "--shop", "acme")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--campaign spring: is cancelled in shop acme" in ended.stderr
    assert rabbitmq.ready(vhost, "referrals.shop.acme") == 1


def test_only_shown(desk: Desk, sandbox: Sandbox) -> None:
    """`--dry-run` needs neither a terminal nor a queue: counts with what they mean, examples, and what is left out."""
    del sandbox
    write(desk, [result(number, "failed", code="http_503", shop="bolt") for number in range(5)])
    ended = desk.run("replay", "--campaign", "spring", "--from", "old.jsonl", "--outcome", "failed", "--dry-run")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        "5 jobs of campaign spring to send again:",
        "  5 failed http_503: Refer2 failed at every attempt",
        "      line 2 r0 (c…@m….org), line 3 r1 (c…@m….org), line 4 r2 (c…@m….org)",
    ]


@pytest.fixture
def doubtful(desk: Desk, sandbox: Sandbox) -> Desk:
    """A desk with results that failed and others that nobody knows about."""
    del sandbox
    failed = [result(number, "failed", code="http_503") for number in range(3)]
    write(desk, [*failed, *(result(number, "unknown", code="timeout") for number in (3, 4))])
    return desk


ASKED = ("replay", "--campaign", "spring", "--from", "old.jsonl", "--outcome", "failed", "--outcome", "unknown")


@pytest.mark.parametrize(
    ("columns", "env"), [(40, {}), (80, {}), (200, {}), (80, {"NO_COLOR": "1"}), (80, {"TERM": "dumb"})]
)
def test_it_asks_first(doubtful: Desk, rabbitmq: RabbitMQ, vhost: Vhost, columns: int, env: dict[str, str]) -> None:
    """However few jobs there are, in the terminal's width; that some may be sent twice is in the question."""
    with Terminal(doubtful, *ASKED, columns=columns, env=env) as terminal:
        terminal.answer("? [y/N] ", "n")
        raw = terminal.raw()
        assert terminal.process.returncode == 2, raw
    before, _, after = raw.partition("Send 5 jobs again, 2 of them perhaps for the second time? [y/N]")
    assert "nothing was done" in after
    lines = before.replace("\r\n", "\n").rpartition("\x1b[2K")[2].split("\n")
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    assert (
        "5 jobs of campaign spring to send again: 3 failed http_503: Refer2 failed at every attempt line 2 r0" in text
    )
    assert "2 of these may have been carried out already: nobody knows whether, and whoever was written to is" in text
    assert "mail.example.org" not in raw
    if env.get("TERM") == "dumb":
        assert "\x1b" not in raw
    assert rabbitmq.ready(vhost, "referrals.shop.acme") == 1


def test_a_yes_sends(doubtful: Desk, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """What was shown is published, and confirmed before it counts."""
    with Terminal(doubtful, *ASKED) as terminal:
        terminal.answer("? [y/N] ", "yes")
        raw = terminal.raw()
        assert terminal.process.returncode == 0, raw
    assert "published" in raw
    wait_until(lambda: rabbitmq.ready(vhost, "referrals.shop.acme") == 6, 20, "all jobs")


def test_ctrl_c_at_the_question(doubtful: Desk, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """It is a no: nothing is published."""
    with Terminal(doubtful, *ASKED) as terminal:
        terminal.answer("? [y/N] ", "\x03")
        raw = terminal.raw()
        assert terminal.process.returncode == 2, raw
    assert "referrals: nothing was done" in raw
    assert rabbitmq.ready(vhost, "referrals.shop.acme") == 1


def test_in_a_pipe(doubtful: Desk) -> None:
    """With --yes nothing is asked, and the summary has no control sequence."""
    ended = doubtful.run(*ASKED, "--yes", COLUMNS="40")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[:3] == [
        "published                5",
        "  after failed http_503  3",
        "  after unknown timeout  2",
    ]


def test_from_the_database(desk: Desk, sandbox: Sandbox, postgres_url: str) -> None:
    """Results in PostgreSQL are found and sent again as those in files are."""
    desk.env["REFERRALS_POSTGRES_URL"] = postgres_url
    emails = [f"rulex1+{number}@mail.example.org" for number in range(8)]
    desk.write_export("spring.csv", [{"customer_email": email, "reference": email[:8]} for email in emails])
    options = ("--shop", "acme", "--campaign", "spring", "--channel", "whatsapp")
    assert desk.run("publish", "spring.csv", *options).returncode == 0
    desk.start("work")
    desk.start("collect")

    def found() -> list[tuple[str, int]]:
        told = json.loads(desk.run("find", emails[3].upper(), "--json").stdout or '{"results": []}')
        return [(each["outcome"], each["run"]) for each in told["results"]]

    wait_until(lambda: found() == [("rejected", 0)], 40, "a result in the database")
    wait_until(lambda: len(calls(sandbox)) == len(emails), 40, "all calls")
    shown = ("replay", "--campaign", "spring", "--outcome", "rejected", "--dry-run", "--json")
    wait_until(lambda: json.loads(desk.run(*shown).stdout)["jobs"] == len(emails), 40, "all results")
    assert replayed(desk, "--outcome", "rejected")["published"] == len(emails)
    wait_until(lambda: found() == [("rejected", 0), ("sent", 1)], 40, "the next run")
    wait_until(lambda: replayed(desk, "--outcome", "rejected")["jobs"] == 0, 40, "all of the next run")
    assert calls(sandbox) == dict.fromkeys(emails, 2)
