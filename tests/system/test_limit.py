"""`referrals shops check` and `shops limit`, and how the counts of `status` add up after repairs."""

import json
from itertools import pairwise

import pytest

from tests.services import wait_until
from tests.system.commands import Desk


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "--per-second, --reason, --for: missing"),
        (("--per-second", "1", "--clear"), "--clear: lifts the limit; leave out"),
        (("--for", "1h", "--clear", "--reason", "x"), "--clear: lifts the limit; leave out"),
        (("--per-second", "1", "--reason", "x"), "referrals: --for: missing"),
        (("--per-second", "100", "--reason", "x", "--for", "1h"), "raise it there"),
        (("--per-second", "0", "--reason", "x", "--for", "1h"), "shops pause"),
        (("--per-second", "nan", "--reason", "x", "--for", "1h"), "shops pause"),
        (("--per-second", "1", "--reason", "x", "--for", "soon"), "is neither a duration"),
        (("--per-second", "1", "--reason", " ", "--for", "1h"), "--reason"),
    ],
)
def test_limits_that_cannot_be_meant(desk: Desk, options: tuple[str, ...], complaint: str) -> None:
    """Such a limit is one line and exit code 2."""
    desk.env["REFERRALS_REDIS_URL"] = "redis://127.0.0.1:9/0"
    desk.write_shops("http://127.0.0.1:9", ["acme"])
    ended = desk.run("shops", "limit", "acme", *options)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert complaint in line


def test_a_limit_slows_a_running_worker_until_it_is_cleared(desk: Desk, redis_url: str) -> None:
    """Once a worker has heard of it, no two calls of the shop are closer; cleared, the shop is at full pace at once."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    desk.write_shops("http://127.0.0.1:9", ["acme"], per_second=50, burst=1)
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"], per_second=50, burst=1)
    rows = [{"shop": "acme", "customer_email": f"c{n}@example.com", "channel": "sms"} for n in range(200)]
    desk.write_export("export.csv", rows)
    worker = desk.start("work")
    ended = desk.run("shops", "limit", "acme", "--per-second", "0.5", "--reason", "slow site", "--for", "2h")
    assert (ended.returncode, "limited to 0.5 calls/s until" in ended.stdout) == (0, True), ended.stderr
    wait_until(lambda: "shop_limited" in worker.stderr or not worker.running(), 20, "the worker to hear of it")
    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    wait_until(lambda: len(sandbox.calls()) >= 3 or not worker.running(), 30, "slow calls")
    (row,) = json.loads(desk.run("shops", "list", "--json").stdout)
    assert (row["effective_rate_calls_per_second"], row["limit"]["reason"]) == (0.5, "slow site")
    slow = [call["arrived_at"] / 1e6 for call in sandbox.calls()]
    assert all(later - earlier > 1.5 for earlier, later in pairwise(slow))
    assert desk.run("shops", "limit", "acme", "--clear").stdout == "the limit of shop acme is lifted\n"
    assert desk.run("shops", "limit", "acme", "--clear").stdout == "shop acme was not limited\n"
    wait_until(lambda: len(sandbox.calls()) == 200 or not worker.running(), 40, "the full pace")


def test_check_proves_a_credential(desk: Desk) -> None:
    """A good secret is 0 and shows the limits; a wrong one and a server out of reach are 1 and one line; no secret."""
    desk.write_shops("http://127.0.0.1:9", ["acme"], per_second=25)
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    nowhere = desk.run("shops", "check", "acme")
    assert nowhere.returncode == 1
    assert "is out of reach" in nowhere.stderr
    assert "unknown" in nowhere.stdout
    assert json.loads(desk.run("shops", "check", "acme", "--json").stdout)["valid"] is None
    desk.write_shops(sandbox.url, ["acme"], per_second=25)
    good = desk.run("shops", "check", "acme", "--json")
    assert good.returncode == 0, good.stderr
    told = json.loads(good.stdout)
    assert (told["valid"], told["calls_per_second"], told["problem"]) == (True, 25, None)
    secret = desk.folder / "secrets" / "acme.key"
    kept = secret.read_text()
    secret.write_text("not what the sandbox has read")
    bad = desk.run("shops", "check", "acme")
    assert bad.returncode == 1
    (line,) = bad.stderr.splitlines()
    assert "refused (invalid_token)" in line
    assert json.loads(desk.run("shops", "check", "acme", "--json").stdout)["valid"] is False
    assert told["credential"] == "key key-acme"
    shops = desk.folder / "shops.toml"
    shops.write_text(shops.read_text().replace('"key-acme"', f'"{kept.strip()}"'))
    pasted = desk.run("shops", "check", "acme")
    assert "key secret o…" in pasted.stdout
    for ended in (good, bad, nowhere, pasted):
        assert kept.strip() not in ended.stdout + ended.stderr
