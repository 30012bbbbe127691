"""Deadlines, `shops pause` and `resume`, `cancel`: how an operator stops what has been published."""

import json
import signal
import time
from collections import Counter

import pytest
import redis

from tests.services import wait_until
from tests.system.commands import Desk, Process, Sandbox

HALF_AN_HOUR = "30m"


def rows_of(shop: str, count: int = 6) -> list[dict[str, str]]:
    """Rows of as many customers."""
    return [{"shop": shop, "customer_email": f"c{n}@example.com", "channel": "sms"} for n in range(count)]


@pytest.fixture
def sandbox(desk: Desk, redis_url: str) -> Sandbox:
    """A sandbox, a shared store, and the shops acme and bolt."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    desk.write_shops("http://127.0.0.1:9", ["acme", "bolt"])
    made = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(made.url, ["acme", "bolt"])
    desk.write_export("export.csv", [*rows_of("acme"), *rows_of("bolt")])
    return made


def publish(desk: Desk, campaign: str, *options: str) -> None:
    """Publish the export."""
    ended = desk.run("publish", "export.csv", "--campaign", campaign, *options)
    assert ended.returncode == 0, ended.stderr


def succeed(desk: Desk, *arguments: str) -> str:
    """Run a command that has to succeed; what it prints."""
    ended = desk.run(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def outcomes(desk: Desk) -> Counter[tuple[str, str]]:
    """The collected results by shop and outcome."""
    return Counter((row["shop"], row["outcome"]) for row in desk.results())


def await_outcomes(desk: Desk, worker: Process, expected: dict[tuple[str, str], int], seconds: float = 40) -> None:
    """Wait until these have been collected, and nothing else."""
    wait_until(lambda: outcomes(desk) == expected or not worker.running(), seconds, f"{expected}")
    assert outcomes(desk) == expected, worker.stderr


def test_a_paused_shop_is_called_by_nobody_until_it_is_resumed(desk: Desk, sandbox: Sandbox) -> None:
    """A pause holds for workers that start later, is listed with its reason, and ends at `resume`."""
    listed = json.loads(succeed(desk, "shops", "pause", "acme", "--reason", "wrong texts, ask Kim", "--json"))
    assert listed["pauses"]["acme"]["reason"] == "wrong texts, ask Kim"
    publish(desk, "spring")
    desk.start("collect", "--out", "results.csv")
    worker = desk.start("work")
    await_outcomes(desk, worker, {("bolt", "sent"): 6})
    rows = {row["shop"]: row for row in json.loads(succeed(desk, "shops", "list", "--json"))}
    assert (rows["acme"]["gate"], rows["acme"]["reason"]) == ("paused", "wrong texts, ask Kim")
    assert rows["acme"]["since"] == listed["pauses"]["acme"]["since"]
    assert rows["bolt"]["gate"] == "open"
    assert "(wrong texts, ask Kim)" in succeed(desk, "shops", "list")
    assert {call["shop"] for call in sandbox.calls()} == {"bolt"}
    assert "shop acme resumed" in succeed(desk, "shops", "resume", "acme")
    await_outcomes(desk, worker, {("bolt", "sent"): 6, ("acme", "sent"): 6})


def test_a_campaign_is_known_by_its_name_however_it_is_written(desk: Desk, sandbox: Sandbox) -> None:
    """Cancelled is what has the same job ids: blanks around it and the form of its letters make no other campaign."""
    desk.start("collect", "--out", "results.csv")
    publish(desk, " fru\u0308hling ")
    ended = desk.run("cancel", "fr\u00fchling")
    assert (ended.returncode, ended.stderr) == (0, "")
    worker = desk.start("work")
    await_outcomes(desk, worker, {("bolt", "cancelled"): 6, ("acme", "cancelled"): 6})
    assert sandbox.calls() == []
    refused = desk.run("publish", "export.csv", "--campaign", "fr\u00fchling ")
    assert refused.returncode == 2
    assert "is cancelled in every shop" in refused.stderr


def test_a_name_that_nobody_knows_is_not_cancelled(desk: Desk, sandbox: Sandbox) -> None:
    """It is refused with the name that may be meant, unless --yes is given; so is its --undo."""
    del sandbox
    publish(desk, "spring")
    remedies = {("sprign",): "did you mean spring? --yes", ("zz", "--shop", "acme"): "known campaigns: spring. --yes"}
    for command, remedy in remedies.items():
        misspelt = desk.run("cancel", *command)
        (line,) = misspelt.stderr.splitlines()
        assert (misspelt.returncode, misspelt.stdout) == (2, "")
        assert f"no job of a campaign {command[0]} has been counted" in line
        assert remedy in line
        assert "--yes" in line
    for _ in range(2):
        # Once it is cancelled, the name is known.
        succeed(desk, "cancel", "sprign", "--yes")
        assert "was already cancelled" in succeed(desk, "cancel", "sprign")
    undone = desk.run("cancel", "sprign", "--undo")
    assert (undone.returncode, "no longer cancelled" in undone.stdout) == (0, True)
    assert "called only if they are published again" in undone.stderr
    succeed(desk, "cancel", "spring")
    again = desk.run("cancel", "sprign", "--undo")
    assert (again.returncode, again.stdout) == (2, "")
    assert "sprign was cancelled in no shop, so nothing was undone; did you mean spring?" in again.stderr


def test_stopping_needs_no_good_shops_file(desk: Desk, sandbox: Sandbox) -> None:
    """A campaign is cancelled and a shop paused even while the file is broken; a line says what can't be checked."""
    del sandbox
    publish(desk, "spring")
    shops = desk.folder / "shops.toml"
    good = shops.read_text()
    for broken in (good + "[shops.core", good.replace("[shops.bolt]", "[shops.bolt]\nweigth = 3")):
        shops.write_text(broken)
        paused = desk.run("shops", "pause", "acme", "--reason", "wrong texts")
        assert (paused.returncode, "shops.toml" in paused.stderr) == (0, "core" in broken), paused.stderr
        succeed(desk, "shops", "pause", "--all", "--reason", "wrong texts")
        succeed(desk, "cancel", "spring")
        succeed(desk, "cancel", "spring", "--undo")
        succeed(desk, "shops", "resume", "--all")
        assert "shop acme resumed" in succeed(desk, "shops", "resume", "acme")
        assert "shop acme was not paused" in succeed(desk, "shops", "resume", "acme")
    misspelt = desk.run("shops", "pause", "acmee", "--reason", "wrong texts")
    assert (misspelt.returncode, "could not check whether there is a shop acmee" in misspelt.stderr) == (0, True)
    resumed = desk.run("shops", "resume", "bolt")
    assert (resumed.returncode, resumed.stderr) == (0, ""), "its table alone is wrong"
    shops.write_text(good)
    resumed = desk.run("shops", "resume", "nobody", "--json")
    assert (resumed.returncode, "has no shop 'nobody'" in resumed.stderr) == (0, True)
    misspelt = desk.run("shops", "pause", "acmee", "--reason", "wrong texts")
    assert (misspelt.returncode, "did you mean acme?" in misspelt.stderr) == (2, True)


def test_all_shops_at_once(desk: Desk, sandbox: Sandbox) -> None:
    """`pause --all` stops a running worker; `resume --all` leaves a shop paused that has a pause of its own."""
    desk.start("collect", "--out", "results.csv")
    worker = desk.start("work")
    publish(desk, "first")
    await_outcomes(desk, worker, {("bolt", "sent"): 6, ("acme", "sent"): 6})
    succeed(desk, "shops", "pause", "--all", "--reason", "incident")
    succeed(desk, "shops", "pause", "bolt", "--reason", "legal")
    wait_until(lambda: worker.stderr.count("shop_paused") == 2, 10, "both shops' pause")
    publish(desk, "second")
    ended = desk.run("shops", "resume", "--all")
    assert (ended.returncode, "still paused" in ended.stderr, "bolt" in ended.stderr) == (0, True, True)
    await_outcomes(desk, worker, {("bolt", "sent"): 6, ("acme", "sent"): 12})
    assert len(sandbox.calls()) == 18
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_cancelled_campaign_ends_without_calls(desk: Desk, sandbox: Sandbox) -> None:
    """Its jobs end as cancelled, in a paused shop too; more of them are refused, one line telling the remedy."""
    succeed(desk, "shops", "pause", "acme", "--reason", "checking")
    publish(desk, "spring")
    succeed(desk, "cancel", "spring")
    refused = desk.run("publish", "export.csv", "--campaign", "spring")
    assert (refused.returncode, "cancel spring --undo" in refused.stderr) == (2, True)
    desk.start("collect", "--out", "results.csv")
    worker = desk.start("work")
    ended = {("acme", "cancelled"): 6, ("bolt", "cancelled"): 6}
    await_outcomes(desk, worker, ended)
    assert sandbox.calls() == []
    succeed(desk, "cancel", "spring", "--undo")
    succeed(desk, "shops", "resume", "acme")
    again = json.loads(succeed(desk, "publish", "export.csv", "--campaign", "spring", "--json"))
    assert again["known_before"] == {"answered": 0, "under_way": 0, "expired": 0, "cancelled": 12}
    await_outcomes(desk, worker, {**ended, ("acme", "sent"): 6, ("bolt", "sent"): 6})
    assert len(sandbox.calls()) == 12


def test_an_expired_row_is_called_when_it_is_published_again(desk: Desk, sandbox: Sandbox) -> None:
    """A deadline that was over doesn't end a row for good: without one it is called, once, and every job is accounted
    for. `publish` tells what was known of its rows.
    """
    publish(desk, "spring", "--expires", "1s")
    over = time.monotonic() + 1
    wait_until(lambda: time.monotonic() > over, 10, "the deadline")
    desk.start("collect", "--out", "results.csv")
    worker = desk.start("work")
    ended = {("acme", "expired"): 6, ("bolt", "expired"): 6}
    await_outcomes(desk, worker, ended)
    again = succeed(desk, "publish", "export.csv", "--campaign", "spring")
    assert "ended without a call" in again
    assert "12 (12 expired before; called this time if possible)" in " ".join(again.split())
    everything = {**ended, ("acme", "sent"): 6, ("bolt", "sent"): 6}
    await_outcomes(desk, worker, everything)
    for options in ([], ["--expires", "1s"]):
        told = json.loads(succeed(desk, "publish", "export.csv", "--campaign", "spring", "--json", *options))
        assert told["known_before"] == {"answered": 12, "under_way": 0, "expired": 0, "cancelled": 0}

    def standing() -> list[tuple[int, ...]]:
        rows = json.loads(succeed(desk, "status", "--json"))["campaigns"]
        return [(row["published"], row["expired"], row["sent"], row["duplicates"], row["left"]) for row in rows]

    wait_until(lambda: standing() == [(24, 6, 6, 12, 0)] * 2, 30, "every message to be accounted for")
    assert len(sandbox.calls()) == 12
    assert outcomes(desk) == everything


def test_publish_goes_on_without_the_store(desk: Desk, sandbox: Sandbox) -> None:
    """A store that is out of reach holds back no job; one line says that its knowledge of them is missing."""
    del sandbox
    desk.env["REFERRALS_REDIS_URL"] = "redis://127.0.0.1:1/0"
    ended = desk.run("publish", "export.csv", "--campaign", "spring", "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["published"], told["known_before"]) == (12, None)
    assert ended.stderr.count("could not check how many of these jobs were answered before") == 1
    assert ended.stderr.count("this could not be counted in the store, so `referrals status` won't add up") == 1
    assert "tally_failed" not in ended.stderr


def test_cancelling_while_a_worker_runs(desk: Desk, sandbox: Sandbox) -> None:
    """One shop's jobs of the campaign end where they wait; what is undone is called like any other's."""
    desk.write_shops(sandbox.url, ["acme", "bolt"], per_second=0.01, burst=1)
    told = json.loads(succeed(desk, "cancel", "spring", "--shop", "bolt", "--yes", "--json"))
    assert (told["cancelled"], told["cancelled_for"]) == (True, ["bolt"])
    assert json.loads(succeed(desk, "cancel", "spring", "--undo", "--json"))["cancelled_for"] == []
    publish(desk, "spring")
    desk.start("collect", "--out", "results.csv")
    worker = desk.start("work")
    await_outcomes(desk, worker, {("acme", "sent"): 1, ("bolt", "sent"): 1})
    succeed(desk, "cancel", "spring", "--shop", "acme")
    await_outcomes(desk, worker, {("acme", "sent"): 1, ("bolt", "sent"): 1, ("acme", "cancelled"): 5})
    assert len(sandbox.calls()) == 2


def test_jobs_expire_in_a_paused_shop(desk: Desk, sandbox: Sandbox) -> None:
    """Past `--expires` a job's result is `expired` without a call, though its shop is paused; others stay queued."""
    succeed(desk, "shops", "pause", "--all", "--reason", "checking")
    publish(desk, "spring", "--expires", "1s")
    publish(desk, "autumn", "--expires", HALF_AN_HOUR)
    desk.start("collect", "--out", "results.csv")
    worker = desk.start("work")
    await_outcomes(desk, worker, {("acme", "expired"): 6, ("bolt", "expired"): 6})
    assert sandbox.calls() == []


@pytest.mark.parametrize(
    ("when", "complaint"),
    [
        ("soon", "is neither a duration"),
        ("2026-01-01", "has no time of day"),
        ("2020-01-01T00:00:00Z", "has already passed"),
        ("0h", "has already passed"),
        ("99999999w", "is neither a duration"),
    ],
)
def test_moments_that_cannot_be_meant(desk: Desk, when: str, complaint: str) -> None:
    """Such a deadline is one line and exit code 2, and nothing is published."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    desk.write_export("export.csv", rows_of("acme"))
    for command in (("publish",), ("run", "--out", "results.csv")):
        ended = desk.run(*command, "export.csv", "--campaign", "spring", "--expires", when)
        assert ended.returncode == 2
        (line,) = ended.stderr.splitlines()
        assert f"--expires {when}" in line
        assert complaint in line


def test_a_run_ends_at_its_deadline(desk: Desk) -> None:
    """`run --expires` calls until then and reports the rest as expired."""
    desk.write_shops("http://127.0.0.1:9", ["acme"], per_second=1, burst=1)
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"], per_second=1, burst=1)
    desk.write_export("export.csv", rows_of("acme", 40))
    succeed(desk, "run", "export.csv", "--campaign", "spring", "--out", "results.csv", "--expires", "4s")
    told = outcomes(desk)
    assert told["acme", "sent"] == len(sandbox.calls()) > 0
    assert told["acme", "expired"] == 40 - told["acme", "sent"]
    assert told["acme", "expired"] > 25


@pytest.mark.parametrize(
    "command",
    [("shops", "pause", "acme", "--reason", "x"), ("shops", "resume", "--all"), ("cancel", "spring")],
    ids=["pause", "resume", "cancel"],
)
def test_without_a_shared_store(desk: Desk, command: tuple[str, ...]) -> None:
    """Where workers share nothing, one line says so and names the remedy; exit code 2."""
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    ended = desk.run(*command)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "REFERRALS_REDIS_URL" in line


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("shops", "pause", "--reason", "x"), "--all"),
        (("shops", "pause", "acme", "--all", "--reason", "x"), "--all"),
        (("shops", "pause", "nobody", "--reason", "x"), "has no shop 'nobody'"),
        (("shops", "pause", "acme", "--reason", "a\nb"), "--reason"),
        (("shops", "resume", "*"), "is not a shop's slug"),
        (("cancel", " "), "is not a campaign's name"),
        (("cancel", "spring", "--shop", "nobody"), "has no shop 'nobody'"),
    ],
)
def test_what_cannot_be_meant(desk: Desk, command: tuple[str, ...], complaint: str) -> None:
    """A command that can't be right ends in one line and exit code 2."""
    desk.env["REFERRALS_REDIS_URL"] = "redis://127.0.0.1:9/0"
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    ended = desk.run(*command)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert complaint in line


def test_cancelled_campaigns_are_bounded(desk: Desk, sandbox: Sandbox, redis_url: str) -> None:
    """Every worker reads the list once a second, so it has an end; one that is on it can be taken off."""
    fill = """local list = {}
    for i = 1, 1000 do list[i] = { 'c' .. i, '*', 9007199254740991 } end
    redis.call('SET', 'rd:controls', cmsgpack.pack(1, {}, list, {}))"""
    with redis.Redis.from_url(redis_url) as client:
        client.eval(fill, 0)
    refused = desk.run("cancel", "spring", "--yes")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "1,000 campaigns are already cancelled" in refused.stderr
    succeed(desk, "cancel", "c7")
    succeed(desk, "cancel", "c7", "--undo")
    succeed(desk, "cancel", "spring", "--yes")
