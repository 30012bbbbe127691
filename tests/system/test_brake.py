"""A campaign that goes wrong stops itself: the brake of `referrals publish`, over workers as processes."""

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
    desk.write_shops("http://127.0.0.1:9", ["acme"], **limits)
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme"], **limits)
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
    (braked,) = [each for each in json.loads(desk.run("log", "--json").stdout)["orders"] if each["action"] == "brake"]
    assert (braked["by"].partition("@")[0], braked["shop"], braked["detail"]) == ("worker", "acme", "50%/200")
    assert desk.run("campaigns", "resume", "spring", "--shop", "acme").returncode == 0
    wait_until(lambda: counted(desk)["rejected"] >= stopped + 200 and held(desk), 60, "the brake once more")
    assert counted(desk)["rejected"] <= stopped + 300


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--brake", "20"), "--brake 20: is not a share and a number of results such as 50%/200"),
        (("--brake", "0%/200"), "the share must be from 1% to 99%"),
        (("--brake", "20%/5"), "the results from 10 to 1,000"),
        (("--brake", "20%/200", "--no-brake"), "--no-brake: can't be combined with --brake"),
    ],
)
def test_what_can_not_be_meant(desk: Desk, options: tuple[str, ...], complaint: str) -> None:
    """One line, exit code 2, and nothing is published."""
    desk.write_export("export.csv", [{"shop": "acme", "customer_email": "ann@x.example", "channel": "sms"}])
    ended = desk.run("publish", "export.csv", "--campaign", "spring", *options)
    assert (ended.returncode, complaint in ended.stderr) == (2, True), ended.stderr


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
