"""`referrals collect` is killed, continues, and meets results twice: one row per job id in every case."""

import hashlib
import json
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rabbitmq.tap import Tap, tapping
from tests.services import RabbitMQ, Vhost, wait_until
from tests.services.forwarder import slow_way
from tests.system.commands import Desk
from tests.system.terminal import Terminal

RESULTS = "referrals.results"
KEY = "acme.sent.ok.share"
ENOUGH = 8_000
"""Results that take `collect` some seconds on a slow network, so that it is killed amid them."""


def job_id(number: int, campaign: str = "spring") -> str:
    """The id that the fields of the job of this number make, as docs/messages.md says."""
    identity = ["acme", campaign, 0, None, f"c{number}", None, "whatsapp", None]
    return hashlib.sha256(json.dumps(identity, separators=(",", ":")).encode()).hexdigest()[:32]


def result(number: int, outcome: str = "sent", campaign: str = "spring") -> bytes:
    """A result as a worker publishes it, with characters that are awkward in a row."""
    link = f"https://example.com/r/{number}"
    body: dict[str, Any] = {
        "schema": 1,
        "job_id": job_id(number, campaign),
        "campaign": campaign,
        "shop": "acme",
        "run": 0,
        "line": number,
        "reference": f'row {number}, "quoted"\nover two lines',
        "customer": {"shopid": f"c{number}"},
        "channel": "whatsapp",
        "outcome": outcome,
        "code": None,
        "status": 200,
        "referral": {"link": link},
        "share_action": {"url": link, "text": "für Dich 🎁"},
        "attempts": 1,
        "finished_at": "2026-01-02T03:04:05Z",
    }
    return json.dumps(body).encode()


def rehearsed(number: int) -> bytes:
    """The same of a shop that a worker has called at the sandbox."""
    return result(number).replace(b"https://example.com/", b"https://sandbox.invalid/")


def publish(tap: Tap, numbers: range) -> None:
    """These results onto the exchange, confirmed all together by a transaction: one by one would take minutes."""
    fast: Any = tap.channel.connection.channel()
    fast.tx_select()
    for number in numbers:
        fast.basic_publish("referrals.results", KEY, result(number))
    fast.tx_commit()
    fast.close()


def declare(desk: Desk) -> None:
    """Let a collect that finds nothing declare the queue."""
    assert desk.run("collect", "--out", "unused.csv", "--until-idle", "0.1").returncode == 0


def job_ids(desk: Desk, name: str) -> list[str]:
    """The job id of each whole row of a file."""
    if name.endswith("csv"):
        return [row["job_id"] for row in desk.results(name)]
    return [json.loads(line)["job_id"] for line in (desk.folder / name).read_text().splitlines()]


def size(path: Path) -> int:
    """Bytes of a file that may not be there yet."""
    return path.stat().st_size if path.exists() else 0


def tear(path: Path) -> None:
    """Cut the file in the middle of its last row, as a machine that lost power may."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 30)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_killed_collect_goes_on(desk: Desk, rabbitmq: RabbitMQ, vhost: Vhost, form: str) -> None:
    """After SIGKILL amid 8,000 results, a torn last row and repeated results the file has one whole row per job."""
    name = f"results.{form}"
    out = ("--out", name, "--format", form)
    declare(desk)
    with tapping(vhost) as tap:
        publish(tap, range(ENOUGH))
        with slow_way(vhost.url, ENOUGH * 100) as (_, url):
            killed = desk.start("collect", *out, REFERRALS_AMQP_URL=url)
            wait_until(lambda: size(desk.folder / name) > 100_000, 20, "the first rows on disk")
            killed.kill()
        rows = len(job_ids(desk, name)) if form == "csv" else (desk.folder / name).read_bytes().count(b"\n")
        assert 0 < rows < ENOUGH
        tear(desk.folder / name)
        # What lay on the disk unacknowledged comes again by itself; these are repeated on top, the torn row's too.
        publish(tap, range(rows + 10))

        again = desk.run("collect", *out, "--until-idle", "2", "--json")

    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert told["results_rows"] == ENOUGH
    assert told["repeated"] >= rows
    assert Counter(job_ids(desk, name)) == {job_id(number): 1 for number in range(ENOUGH)}
    wait_until(lambda: rabbitmq.depths(vhost).get(RESULTS) == 0, 10, "an empty queue")
    if form == "csv":
        row = next(row for row in desk.results(name) if row["line"] == "7")
        assert row["reference"] == r'row 7, "quoted"\nover two lines', "a line break is written as an escape"
        assert json.loads(row["share_action"])["text"] == "für Dich 🎁"
        assert row["link"] == "https://example.com/r/7"


def test_the_summary_tells_codes(desk: Desk, vhost: Vhost) -> None:
    """Why jobs were not sent is seen without opening the file, as a run tells it."""
    declare(desk)
    refused = json.dumps(json.loads(result(3, "rejected")) | {"code": "friend_too_close", "referral": None}).encode()
    with tapping(vhost) as tap:
        publish(tap, range(3))
        tap.channel.basic_publish("referrals.results", KEY, refused)
        told = desk.run("collect", "--out", "results.csv", "--until-idle", "0.5")
    assert told.stdout.splitlines()[:3] == [
        "sent                3",
        "rejected            1",
        "  friend_too_close  1  the shop's own rule",
    ]


def test_collecting_again_appends(desk: Desk, vhost: Vhost) -> None:
    """A second collect keeps the rows that are there, in place, and adds only what is new."""
    declare(desk)
    with tapping(vhost) as tap:
        publish(tap, range(100))
        desk.run("collect", "--out", "results.csv", "--until-idle", "0.5")
        before = (desk.folder / "results.csv").read_bytes()
        publish(tap, range(50, 149))
        tap.channel.basic_publish("referrals.results", KEY, rehearsed(149))
        again = desk.run("collect", "--out", "results.csv", "--until-idle", "0.5", "--json")
    assert json.loads(again.stdout) == {
        "outcomes": {"sent": 50},
        "codes": {},
        "repeated": 50,
        "superseding": 0,
        "unreadable": 0,
        "sandbox": 1,
        "results": "results.csv",
        "results_rows": 150,
    }
    assert (desk.folder / "results.csv").read_bytes().startswith(before)
    assert len(desk.results()) == 150


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_job_that_is_called_after_all(desk: Desk, vhost: Vhost, form: str) -> None:
    """A final result is added to a file that holds its job as expired; an expired one never to a file with a final."""
    out = ("--out", f"results.{form}", "--format", form, "--until-idle", "0.5", "--json")
    declare(desk)

    def collected(*outcomes: str) -> tuple[int, int, list[str]]:
        for outcome in outcomes:
            tap.channel.basic_publish("referrals.results", KEY, result(1, outcome))
        told = json.loads(desk.run("collect", *out).stdout)
        lines = (desk.folder / out[1]).read_text().splitlines()
        held = (
            [row["outcome"] for row in desk.results(out[1])]
            if form == "csv"
            else [json.loads(line)["outcome"] for line in lines]
        )
        return told["superseding"], told["repeated"], held

    with tapping(vhost) as tap:
        assert collected("expired", "expired") == (0, 1, ["expired"])
        assert collected("cancelled", "sent", "expired") == (1, 2, ["expired", "sent"])
        assert collected("expired", "failed") == (0, 2, ["expired", "sent"])


def test_what_is_no_result_is_parked(desk: Desk, vhost: Vhost) -> None:
    """What is no result, is another job's or of a newer schema goes to `referrals.dead` untouched; others get a row."""
    declare(desk)
    newer = result(99).replace(b'"schema": 1', b'"schema": 2')
    # Were it taken, the true result of job 5, which comes later, would count as repeated.
    another_s = result(98).replace(job_id(98).encode(), job_id(5).encode())
    strangers = [another_s, b"", b"\xff", b"[]", b'{"job_id":"1","outcome":"sent"}', b"[" * 50_000, newer]
    with tapping(vhost) as tap:
        for number, body in enumerate(strangers):
            publish(tap, range(number, number + 1))
            tap.put(RESULTS, KEY, body)
        ended = desk.run("collect", "--out", "results.csv", "--until-idle", "1", "--json")
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["unreadable"] == len(strangers)
        parked = tap.take("referrals.dead", len(strangers), 10)
    assert sorted(letter.body for letter in parked) == sorted(strangers)
    assert {row["job_id"] for row in desk.results()} == {job_id(number) for number in range(len(strangers))}
    assert {row["link"] for row in desk.results()} == {f"https://example.com/r/{n}" for n in range(len(strangers))}


def test_two_collects_don_t_share_a_file(desk: Desk, vhost: Vhost) -> None:
    """A second collect into the same file is refused while the first runs, which SIGTERM ends cleanly."""
    declare(desk)
    first = desk.start("collect", "--out", "results.csv")
    wait_until(lambda: size(desk.folder / "results.csv"), 20, "the header")
    second = desk.run("collect", "--out", "results.csv", "--until-idle", "0.1")
    assert second.returncode == 2
    assert second.stderr.startswith("referrals: results.csv: another command writes to it")
    with tapping(vhost) as tap:
        publish(tap, range(10))
    wait_until(lambda: len(desk.results()) == 10 or not first.running(), 20, "the rows")
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    assert "results.csv (10 rows)" in first.stdout


def test_nothing_came(desk: Desk, vhost: Vhost) -> None:
    """Where no result came at all it says so, and what may be the reason: another that takes them, if there is one."""
    declare(desk)
    alone = desk.run("collect", "--out", "results.csv", "--until-idle", "0.5")
    assert (alone.returncode, len(alone.stderr.splitlines())) == (0, 1)
    assert alone.stderr.startswith("referrals: no result came within 0.5 s; `referrals status` shows whether jobs are")
    other = desk.start("collect", "--out", "others.csv")
    wait_until(lambda: (desk.folder / "others.csv").exists(), 20, "the other to begin")
    with tapping(vhost) as tap:
        wait_until(lambda: consumers(tap) == 1, 20, "the other to subscribe")
        beside = desk.run("collect", "--out", "results.csv", "--until-idle", "0.5")
        assert beside.stderr == (
            "referrals: no result came within 0.5 s; other consumers are taking results from referrals.results: 1\n"
        )
        other.signal(signal.SIGTERM)
        assert other.wait() == 0
        publish(tap, range(3))
    some = desk.run("collect", "--out", "results.csv", "--until-idle", "0.5")
    assert (some.returncode, some.stderr) == (0, "")


def consumers(tap: Tap) -> int:
    """How many take results."""
    return int(tap.channel.queue_declare(RESULTS, passive=True).method.consumer_count)


@pytest.mark.parametrize(("columns", "env"), [(40, {"NO_COLOR": "1"}), (200, {"TERM": "dumb"})])
def test_on_a_terminal(desk: Desk, vhost: Vhost, columns: int, env: dict[str, str]) -> None:
    """What was collected, also of another campaign, and what was merged is whole on a narrow and on a wide terminal."""
    declare(desk)
    with tapping(vhost) as tap:
        publish(tap, range(2))
        tap.channel.basic_publish(RESULTS, KEY, result(2, campaign="summer"))
    (desk.folder / "spring.csv").write_text("customer_shopid\nc0\nc1\nc2\n")
    merge = ("--merge", "spring.csv", "--campaign", "spring", "--channel", "whatsapp", "--out", "merged.csv")
    with Terminal(desk, "collect", *merge, "--until-idle", "0.5", columns=columns, env=env) as terminal:
        raw = terminal.raw()
        assert terminal.process.returncode == 0, raw
    assert not re.search(r"\x1b\[[\d;]*m", raw), "coloured"
    told = " ".join(raw.split())
    assert ": 1 (summer 1); `referrals merge EXPORT --campaign summer --from merged.csv.results.csv" in told, raw
    for part in ("are in merged.csv.results.csv", "rows read 3", "sent 2", "pending 1", "merged into merged.csv"):
        assert part in told, raw


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_amid_the_merge_leaves_no_draft(desk: Desk, vhost: Vhost, number: signal.Signals, code: int) -> None:
    """The results stay, and no half of a merged export, which holds addresses, is left beside them."""
    declare(desk)
    with tapping(vhost) as tap:
        publish(tap, range(3))
    (desk.folder / "spring.csv").write_text("customer_shopid\n" + "".join(f"c{number}\n" for number in range(300_000)))
    collect = desk.start("collect", "--merge", "spring.csv", "--out", "merged.csv", "--until-idle", "0.5")
    wait_until(lambda: any(desk.folder.glob("merged.csv.*.part")) or not collect.running(), 30, "the draft")
    collect.signal(number)
    assert collect.wait() == code
    assert sorted(path.name for path in desk.folder.glob("merged*")) == ["merged.csv.results.csv"]
