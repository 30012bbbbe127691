"""`publish --first` and `--not-before`: what is held back until somebody releases it, or until its time."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from tests.services import RabbitMQ, Vhost, wait_until
from tests.system.commands import Desk


@pytest.fixture
def desk(desk: Desk, redis_url: str) -> Desk:
    """Two shops of the sandbox, and a shared store."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    desk.write_shops("http://127.0.0.1:9", ["acme", "bolt"])
    sandbox = desk.start_sandbox("--shops", "shops.toml")
    desk.write_shops(sandbox.url, ["acme", "bolt"])
    rows = [
        {"shop": shop, "customer_email": f"c{number}@x.example", "channel": "sms"}
        for number in range(20)
        for shop in ("acme", "bolt")
    ]
    desk.write_export("export.csv", rows)
    return desk


def sent(desk: Desk, campaign: str) -> int:
    """How many jobs of the campaign were sent."""
    return sum(row["sent"] for row in json.loads(desk.run("status", campaign, "--json").stdout)["campaigns"])


def test_the_first_ones(desk: Desk) -> None:
    """Only these are called, by workers that were there before and by one that comes later, until the release."""
    desk.start("work", "--threads", "4")
    published = desk.run("publish", "export.csv", "--campaign", "spring", "--first", "5", "--json", "--as", "kim")
    assert published.returncode == 0, published.stderr
    assert (json.loads(published.stdout)["published"], json.loads(published.stdout)["held_back"]) == (40, 35)
    wait_until(lambda: sent(desk, "spring") == 5, 30, "the first five")
    desk.start("work", "--threads", "4")
    assert desk.run("publish", "export.csv", "--campaign", "autumn").returncode == 0
    wait_until(lambda: sent(desk, "autumn") == 40, 30, "another campaign")
    assert sent(desk, "spring") == 5
    (order,) = json.loads(desk.run("campaigns", "list", "--json").stdout)["campaigns"]
    assert (order["campaign"], order["held"], order["rest"]["kind"]) == ("spring", None, "first")
    assert desk.run("campaigns", "release", "spring", "--shop", "acme").returncode == 2
    released = desk.run("campaigns", "release", "spring")
    assert released.stdout == "campaign spring released in every shop: the rest of its jobs goes on\n"
    wait_until(lambda: sent(desk, "spring") == 40, 30, "the rest")
    (again,) = [each for each in json.loads(desk.run("log", "--json").stdout)["orders"] if each["action"] == "publish"]
    assert (again["by"], again["detail"]) == ("kim", "first 5")


def test_a_start(desk: Desk) -> None:
    """All of it waits, and goes by itself then."""
    desk.start("work", "--threads", "4")
    starts = datetime.now(UTC) + timedelta(seconds=12)
    published = desk.run("publish", "export.csv", "--campaign", "spring", "--not-before", starts.isoformat())
    assert f"held back  40 (until {starts:%Y-%m-%d %H:%M:%S} UTC)" in published.stdout, published.stdout
    wait_until(lambda: sent(desk, "spring") == 40, 40, "the start")
    assert desk.run("collect", "--out", "results.csv", "--until-idle", "2").returncode == 0
    called = [datetime.fromisoformat(row["called_at"]) for row in desk.results()]
    assert len(called) == 40
    assert min(called) >= starts


def test_the_shop_alone(desk: Desk) -> None:
    """What one shop's export holds back says nothing about another shop's campaign of the same name."""
    published = desk.run("publish", "export.csv", "--shop", "acme", "--campaign", "spring", "--first", "5")
    assert "(until `referrals campaigns release spring --shop acme`)" in published.stdout, published.stdout
    (order,) = json.loads(desk.run("campaigns", "list", "--json").stdout)["campaigns"]
    assert (order["campaign"], order["shop"], order["rest"]["kind"]) == ("spring", "acme", "first")


def test_nothing_is_held_back(desk: Desk) -> None:
    """An export that ends before leaves no order that waits for a release; its hours are told."""
    desk.write_shops("http://127.0.0.1:9", ["acme", "bolt"], window_channels=["*"])
    opens = datetime.now(UTC).replace(hour=9, minute=0) + timedelta(days=3)
    hours = f"{opens:%a} 09:00-18:00 UTC"
    published = desk.run("publish", "export.csv", "--campaign", "spring", "--first", "500", "--window", hours)
    assert published.returncode == 0, published.stderr
    assert f"outside of their hours  40 (which begin next at {opens:%Y-%m-%d %H:%M} UTC)" in published.stdout
    assert not json.loads(desk.run("campaigns", "list", "--json").stdout)["campaigns"]


def test_who_may_not_declare_the_lane(desk: Desk, rabbitmq: RabbitMQ, vhost: Vhost) -> None:
    """Such a user is refused before anything is ordered or published."""
    desk.run("publish", "export.csv", "--campaign", "autumn", "--limit", "1")
    rabbitmq.api("PUT", f"/api/users/{vhost.name}-producer", {"password": "publishes", "tags": ""})
    permissions = {"configure": "^$", "write": "^referrals$", "read": "^$"}
    rabbitmq.api("PUT", f"/api/permissions/{vhost.name}/{vhost.name}-producer", permissions)
    server = urlsplit(vhost.url)
    url = f"amqp://{vhost.name}-producer:publishes@{server.hostname}:{server.port}{server.path}"
    arguments = ("publish", "export.csv", "--shop", "acme", "--campaign", "spring", "--first", "5")
    refused = desk.run(*arguments, REFERRALS_AMQP_URL=url)
    assert refused.returncode != 0
    assert "referrals.held.acme" in refused.stderr
    assert not json.loads(desk.run("campaigns", "list", "--json").stdout)["campaigns"]
    assert rabbitmq.ready(vhost, "referrals.shop.acme") == 1


@pytest.mark.parametrize(
    ("options", "env", "complaint"),
    [
        (("--first", "5", "--not-before", "2h"), {}, "--first: can't be combined with --not-before"),
        (("--first", "0"), {}, "--first"),
        (("--not-before", "2020-01-01T00:00:00Z"), {}, "has already passed"),
        (("--not-before", "9999-12-31T23:59:59-12:00"), {}, "--not-before 9999-12-31: is more than 366 days away"),
        (("--not-before", "3h", "--expires", "2h"), {}, "--expires: lies before the start that --not-before names"),
        (("--first", "5"), {"REFERRALS_REDIS_URL": ""}, "set REFERRALS_REDIS_URL to theirs"),
        (("--first", "5"), {"REFERRALS_PRODUCER": "crm"}, "or give --limit in its place"),
        (("--not-before", "2h"), {"REFERRALS_PRODUCER": "crm"}, "or give `referrals campaigns pause` before"),
    ],
)
def test_what_can_not_be_meant(desk: Desk, options: tuple[str, ...], env: dict[str, str], complaint: str) -> None:
    """One line, exit code 2, and nothing is published."""
    desk.env.update(env)
    ended = desk.run("publish", "export.csv", "--campaign", "spring", *options)
    assert (ended.returncode, complaint in ended.stderr) == (2, True), ended.stderr
