"""A campaign that goes wrong stops itself: the brake of `referrals publish`, `replay` and `run`, by its processes."""

import json
from typing import Any

import pytest

from tests.services import wait_until
from tests.system.commands import Desk

CODE = "no_customers_match_customer_identity"
ROWS = 2_500
"""More than the usual brake needs: 1,000 jobs, and 200 results."""


@pytest.fixture
def desk(desk: Desk, redis_url: str) -> Desk:
    """A shop of the sandbox, and a shared store."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    limits = {"per_second": 100, "burst": 5, "max_in_flight": 12}
    shops = ["acme", "bolt"]
    desk.write_shops("http://127.0.0.1:9", shops, **limits)
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, shops, **limits)
    return desk


def held(desk: Desk) -> dict[str, Any] | None:
    """Why the campaign is held at the shop."""
    found = json.loads(desk.run("campaigns", "list", "--json").stdout)["campaigns"]
    return next((each["held"] for each in found if each["campaign"] == "spring" and each["held"]), None)


def counted(desk: Desk, campaign: str = "spring") -> dict[str, Any]:
    """How the campaign stands, by the store's counts."""
    ended = desk.run("status", campaign, "--json")
    assert ended.returncode == 0, ended.stderr
    (row,) = json.loads(ended.stdout)["campaigns"]
    found: dict[str, Any] = row
    return found


def test_another_shop_s_list(desk: Desk) -> None:
    """After 200 rejections it stops within moments, and says why; others go on; resumed, it stops after 200 more."""
    for _ in range(2):
        desk.start("work", "--threads", "8")
    rows = [
        {"shop": "acme", "customer_email": f"stranger+{number}@x.example", "channel": "sms"} for number in range(ROWS)
    ]
    desk.write_export("wrong.csv", rows)
    published = desk.run("publish", "wrong.csv", "--campaign", "spring")
    assert published.returncode == 0, published.stderr
    stops = "50%/200 (the campaign stops there once more than 50% of a shop's last 200 results are rejected or failed)"
    assert f"brake      {stops}" in published.stdout
    wait_until(lambda: held(desk), 60, "the brake")
    hold = held(desk)
    assert hold is not None
    assert hold["kind"] == "brake"
    assert hold["reason"].endswith(f"of the last 200 results are rejected or failed, 200 of them {CODE}")
    desk.write_export("other.csv", [{"shop": "acme", "customer_email": "ann@x.example", "channel": "sms"}])
    assert desk.run("publish", "other.csv", "--campaign", "autumn").returncode == 0
    wait_until(lambda: counted(desk, "autumn")["sent"] == 1, 30, "the shop's other campaign")
    stopped = counted(desk)["rejected"]
    # 200 results, what was in flight, and what was granted within the moments in which all workers hear of it.
    assert 200 <= stopped <= 300
    status = desk.run("status")
    assert "stopped by its brake since" in status.stdout
    ways = "`referrals campaigns resume spring --shop acme` or `referrals cancel spring --shop acme`"
    assert ways in " ".join(status.stdout.split())
    (braked,) = [each for each in json.loads(desk.run("log", "--json").stdout)["orders"] if each["action"] == "brake"]
    assert (braked["by"].partition("@")[0], braked["shop"], braked["detail"]) == ("worker", "acme", "50%/200")
    resumed = desk.run("campaigns", "resume", "spring", "--shop", "acme")
    assert (resumed.returncode, "; its brake (50%/200) counts from nothing" in resumed.stdout) == (0, True)
    wait_until(lambda: counted(desk)["rejected"] >= stopped + 200 and held(desk), 60, "the brake once more")
    assert counted(desk)["rejected"] <= stopped + 300


def test_in_one_process(desk: Desk) -> None:
    """A run ends there with the rows of that shop left, and calls the other shop's; the same command goes on."""
    strangers = [{"shop": "acme", "customer_email": f"stranger+{number}@x.example"} for number in range(ROWS)]
    friends = [{"shop": "bolt", "customer_email": f"c{number}@x.example"} for number in range(30)]
    desk.write_export("wrong.csv", strangers + friends)
    options = ("--campaign", "Spring ", "--channel", "sms", "--threads", "8", "--out", "results.csv", "--wait")

    def run(*more: str) -> dict[str, Any]:
        ended = desk.run("run", "wrong.csv", *options, "--json", *more)
        assert ended.returncode == 1, ended.stderr
        told: dict[str, Any] = json.loads(ended.stdout)
        reason = f"200 of the last 200 results are rejected or failed, 200 of them {CODE}"
        (line,) = (line for line in ended.stderr.splitlines() if "brake" in line)
        assert line == (
            f"referrals: shop acme: stopped by the campaign's brake, since {reason}; look at the results, then run the "
            f"same command again for the {told['left_for_later']['acme']:,} rows left, with --no-brake if they are as "
            "expected"
        )
        assert told["braked"] == {"acme": reason}
        return told

    told = run()
    first = told["outcomes"]["rejected"]
    # What was under way, and what was granted already.
    assert 200 <= first <= 220
    assert told["outcomes"]["sent"] == 30
    assert told["left_for_later"] == {"acme": ROWS - first}
    told = run()
    assert 200 <= told["outcomes"]["rejected"] <= 220
    assert (told["finished_before"], told["outcomes"].get("sent", 0)) == (first + 30, 0)
    assert len({row["job_id"] for row in desk.results()}) == len(desk.results()) == told["results_rows"]
    assert desk.run("run", "wrong.csv", *options, "--no-brake", "--limit", "300").returncode == 0


def test_a_replay(desk: Desk) -> None:
    """It has the brake of its many jobs, which counts from nothing, and holds the campaign with all its runs."""
    strangers = [{"shop": "acme", "customer_email": f"stranger+{number}@x.example"} for number in range(200)]
    desk.write_export("wrong.csv", strangers)
    options = ("--campaign", "spring", "--channel", "sms")
    assert desk.run("publish", "wrong.csv", *options, "--brake", "20%/50", "--limit", "40").returncode == 0
    desk.start("work", "--threads", "8")
    desk.start("collect", "--out", "results.csv")
    wait_until(lambda: len(desk.results()) == 40, 40, "too few results for its brake")
    again = ("replay", "--campaign", "spring", "--from", "results.csv", "--code", CODE, "--yes")
    assert desk.run(*again, "--brake", "20%/50").returncode == 0
    wait_until(lambda: counted(desk)["rejected"] == 80, 40, "fewer than the window since it was armed anew")
    assert held(desk) is None
    # The campaign's own jobs, of their first run.
    assert desk.run("publish", "wrong.csv", *options, "--brake", "20%/50").returncode == 0
    wait_until(lambda: held(desk), 40, "the brake")
    assert counted(desk)["rejected"] < 240


@pytest.mark.parametrize(
    "command",
    [
        ("publish", "export.csv"),
        ("run", "export.csv", "--out", "results.csv"),
        ("replay", "--from", "results.csv", "--outcome", "failed", "--yes"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--brake", "20"), "--brake 20: is not a share and a number of results such as 50%/200"),
        (("--brake", "0%/200"), "the share must be from 1% to 99%"),
        (("--brake", "20%/5"), "the results from 10 to 1,000"),
        (("--brake", "20%/200", "--no-brake"), "--no-brake: can't be combined with --brake"),
    ],
)
def test_what_can_not_be_meant(desk: Desk, command: tuple[str, ...], options: tuple[str, ...], complaint: str) -> None:
    """One line, exit code 2, and nothing is sent."""
    desk.write_export("export.csv", [{"shop": "acme", "customer_email": "ann@x.example", "channel": "sms"}])
    ended = desk.run(*command, "--campaign", "spring", *options)
    assert (ended.returncode, complaint in ended.stderr, len(ended.stderr.splitlines())) == (2, True, 1), ended.stderr


def test_which_brake(desk: Desk) -> None:
    """A small campaign has one only if it is asked for, and then the workers' store is needed."""
    desk.write_export("export.csv", [{"shop": "acme", "customer_email": "ann@x.example", "channel": "sms"}])

    def brakes(*options: str, store: str = desk.env["REFERRALS_REDIS_URL"]) -> list[str]:
        ended = desk.run("publish", "export.csv", "--campaign", "spring", *options, REFERRALS_REDIS_URL=store)
        if ended.returncode:
            return [ended.stderr]
        return [each["brake"] for each in json.loads(desk.run("campaigns", "list", "--json").stdout)["campaigns"]]

    assert brakes() == []
    (refused,) = brakes("--brake", "20%/100", store="")
    assert "set REFERRALS_REDIS_URL to theirs" in refused
    assert brakes("--no-brake") == []
    assert brakes("--brake", "20%/100") == ["20%/100"]
    assert brakes() == ["20%/100"]
    assert brakes("--no-brake") == ["none"]
