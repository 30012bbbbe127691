"""`referrals campaigns`: orders about one campaign, through the store."""

import json

import pytest
import redis

from tests.system.commands import Desk

DOUBT = "no job of any campaign has been counted. The order stands for jobs that are still to come."


@pytest.fixture
def desk(desk: Desk, redis_url: str) -> Desk:
    """Two shops, and a shared store."""
    desk.env["REFERRALS_REDIS_URL"] = redis_url
    desk.write_shops("http://127.0.0.1:9", ["acme", "bolt"])
    return desk


def said(desk: Desk, *command: str) -> tuple[str, str]:
    """What the command prints, and on stderr; it succeeds."""
    ended = desk.run("campaigns", *command)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.rstrip("\n"), ended.stderr


def listed(desk: Desk, *options: str) -> list[tuple[str, str, str | None, float | None, int | None]]:
    """What is in force."""
    found = json.loads(said(desk, "list", "--json", *options)[0])["campaigns"]
    return [
        (
            each["campaign"],
            each["shop"],
            each["held"] and each["held"]["reason"],
            each["calls_per_second"],
            each["calls_per_day"],
        )
        for each in found
    ]


def test_orders(desk: Desk) -> None:
    """One line for each that says what will happen; a name that nobody has counted is obeyed, and doubted in a line."""
    out, err = said(desk, "list")
    assert (out, err) == ("", "referrals: nothing is ordered about any campaign\n")
    out, err = said(desk, "pause", " spring ", "--reason", "wrong texts", "--as", "kim")
    assert (
        out
        == "campaign spring paused in every shop: its jobs wait; `referrals campaigns resume spring` lets them go on"
    )
    assert err == f"referrals: no job of a campaign spring has been counted in any shop; {DOUBT}\n"
    desk.write_export("export.csv", [{"shop": "acme", "customer_email": "a@example.org", "channel": "sms"}])
    assert desk.run("publish", "export.csv", "--campaign", "spring").returncode == 0
    assert said(desk, "pause", "spring", "--reason", "ask Kim", "--shop", "acme")[1] == ""
    _, err = said(desk, "pace", "sprng", "--per-second", "5")
    assert "no job of a campaign sprng has been counted in any shop; did you mean spring?" in err
    assert said(desk, "pace", "spring", "--per-second", "10", "--per-day", "5000", "--shop", "acme")[0] == (
        "campaign spring gets at most 10 calls/s, 5,000 calls a day at shop acme"
    )
    assert listed(desk) == [
        ("spring", "*", "wrong texts", None, None),
        ("spring", "acme", "ask Kim", 10.0, 5000),
        ("sprng", "*", None, 5.0, None),
    ]
    assert [shop for _, shop, *_ in listed(desk, "--shop", "bolt")] == ["*", "*"]
    table = said(desk, "list")[0].splitlines()
    assert table[0].split() == ["campaign", "shop", "state", "pace", "brake"]
    assert [line.split()[0] for line in table[1:] if line[0] != " "] == ["spring", "spring", "sprng"]
    shown, err = said(desk, "show", "spring")
    assert (err, "shop acme: 1 published, 0 ended, 1 left" in shown, "kim" in shown) == ("", True, True)
    out, err = said(desk, "resume", "spring", "--shop", "acme")
    assert out == "campaign spring resumed in shop acme: its jobs go on, those that waited first"
    assert err == "referrals: it stays held in every shop; use `campaigns resume` without --shop\n"
    assert said(desk, "resume", "spring")[0].startswith("campaign spring resumed in every shop")
    assert said(desk, "pace", "spring", "--clear")[0] == "campaign spring goes as fast as the shop allows at each shop"
    assert listed(desk) == [("sprng", "*", None, 5.0, None)]
    logged = json.loads(desk.run("log", "--campaign", "spring", "--json").stdout)["orders"]
    assert [(order["action"], order["shop"]) for order in logged] == [
        ("campaigns pause", "*"),
        ("campaigns pause", "acme"),
        ("campaigns pace", "acme"),
        ("campaigns resume", "acme"),
        ("campaigns resume", "*"),
        ("campaigns pace", "*"),
    ]


def test_held_in_two_ways(desk: Desk) -> None:
    """Who lifts one of a pause and a rest that is held back is told of the other."""
    rows = [{"shop": "acme", "customer_email": f"{name}@example.org", "channel": "sms"} for name in "ab"]
    desk.write_export("export.csv", rows)
    first = ("--campaign", "spring", "--shop", "acme", "--first", "1")
    assert desk.run("publish", "export.csv", *first).returncode == 0
    said(desk, "pause", "spring", "--reason", "x")
    rest = "referrals: its rest stays held back; `referrals campaigns release spring --shop acme` lets it go\n"
    assert said(desk, "resume", "spring")[1] == rest
    said(desk, "pause", "spring", "--reason", "x")
    held = "referrals: it is held all the same; `referrals campaigns resume spring` lets it go on\n"
    assert said(desk, "release", "spring", "--shop", "acme")[1] == held
    assert said(desk, "resume", "spring")[1] == ""


def test_a_campaign_that_was_cancelled(desk: Desk) -> None:
    """Its brake stays, and the list says that it doesn't go on, as it does of one of which nothing else is ordered."""
    desk.write_export("export.csv", [{"shop": "acme", "customer_email": "a@example.org", "channel": "sms"}])
    assert (
        desk.run("publish", "export.csv", "--campaign", "spring", "--shop", "acme", "--brake", "20%/200").returncode
        == 0
    )
    assert "goes on" in said(desk, "list")[0]
    assert desk.run("cancel", "spring", "--shop", "acme").returncode == 0
    assert said(desk, "list")[0].splitlines()[1].split() == ["spring", "acme", "cancelled", "20%/200"]
    (order,) = json.loads(desk.run("campaigns", "list", "--json").stdout)["campaigns"]
    assert (order["cancelled"], order["brake"]) == (True, "20%/200")
    assert desk.run("cancel", "summer", "--yes").returncode == 0
    assert said(desk, "show", "summer")[0].splitlines()[1].split() == ["summer", "every", "shop", "cancelled"]
    assert "cancelled: nobody is called any more" in " ".join(desk.run("status").stdout.split())


def test_a_shop_s_row_beside_a_pause_of_every_shop(desk: Desk) -> None:
    """The campaign is held there too."""
    assert desk.run("campaigns", "pace", "spring", "--per-second", "4", "--shop", "acme").returncode == 0
    assert desk.run("campaigns", "pause", "spring", "--reason", "texts").returncode == 0
    shown = said(desk, "list")[0]
    assert [line.split()[:3] for line in shown.splitlines() if "4 calls/s" in line] == [["spring", "acme", "held"]]
    assert "goes on" not in shown


def test_a_pace_of_every_shop_beside_one_shop_s(desk: Desk) -> None:
    """What is said is what holds: a shop's own pace leaves open what every shop's bounds."""
    every = "referrals: what --shop leaves open is that of every shop: 10 calls/s\n"
    assert said(desk, "pace", "spring", "--per-second", "10")[0].endswith("at most 10 calls/s at each shop")
    ended = desk.run("campaigns", "pace", "spring", "--clear", "--shop", "acme")
    assert ended.returncode == 2
    assert "campaign spring has a pace in every shop, so nothing was done" in ended.stderr
    out, err = said(desk, "pace", "spring", "--per-day", "100", "--shop", "acme")
    assert (out, err.endswith(every)) == ("campaign spring gets at most 10 calls/s, 100 calls a day at shop acme", True)
    out, err = said(desk, "pace", "spring", "--clear", "--shop", "acme")
    assert (out, err.endswith(every)) == ("campaign spring gets at most 10 calls/s at shop acme", True)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("pause", " ", "--reason", "x"), "is not a campaign's name"),
        (("pause", "spring", "--reason", "x", "--shop", "amce"), "did you mean acme?"),
        (("resume", "spring"), "campaign spring is held in no shop, so nothing was done"),
        (("release", "spring", "--shop", "acme"), "campaign spring is not held back in shop acme, so nothing was done"),
        (("pace", "spring"), "give --per-second, --per-day or both, or --clear"),
        (("pace", "spring", "--clear", "--per-day", "5"), "give --per-second, --per-day or both, or --clear"),
        (("pace", "spring", "--per-second", "nan"), "must be from 0.001 to 1,000"),
        (("pace", "spring", "--per-day", "0"), "--per-day"),
    ],
)
def test_what_can_not_be_meant(desk: Desk, command: tuple[str, ...], complaint: str) -> None:
    """One line, exit code 2, and nothing is ordered."""
    ended = desk.run("campaigns", *command)
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert listed(desk) == []


def test_where_it_is_held(desk: Desk) -> None:
    """A pause of every shop is not lifted for one of them, and one of a shop not for another."""
    said(desk, "pause", "spring", "--reason", "x")
    ended = desk.run("campaigns", "resume", "spring", "--shop", "acme")
    assert ended.returncode == 2
    assert ended.stderr.endswith("held in every shop, so nothing was done; use `campaigns resume` without --shop\n")
    said(desk, "pause", "summer", "--reason", "x", "--shop", "bolt")
    ended = desk.run("campaigns", "resume", "summer", "--shop", "acme")
    assert ended.stderr.endswith("so nothing was done; it is held in shop bolt\n")


def test_a_broken_shops_file(desk: Desk) -> None:
    """It keeps nobody from stopping a campaign."""
    (desk.folder / "shops.toml").write_text("[shops")
    out, err = said(desk, "pause", "spring", "--reason", "x", "--shop", "acme")
    assert out.startswith("campaign spring paused in shop acme")
    assert "could not check whether there is a shop acme" in err


def test_orders_that_another_program_has_overwritten(desk: Desk, redis_url: str) -> None:
    """Each command says the way out in its line; the way out keeps what can be read, and orders are given again."""
    for command in (("campaigns", "pause", "spring", "--reason", "wrong texts"), ("shops", "pause", "bolt")):
        assert desk.run(*command, *(["--reason", "x"] if command[0] == "shops" else [])).returncode == 0
    with redis.Redis.from_url(redis_url) as client:
        client.set("rd:campaigns:{rd:controls}", "not ours")
    for order in (("campaigns", "list"), ("campaigns", "resume", "spring"), ("shops", "resume", "bolt")):
        refused = desk.run(*order)
        assert refused.returncode == 1
        assert "rd:campaigns:{rd:controls}" in refused.stderr
        assert "`referrals shops pause --all`" in refused.stderr
    paused = desk.run("shops", "pause", "--all", "--reason", "damaged orders")
    assert (paused.returncode, paused.stdout) == (0, "every shop paused\n")
    assert "begun anew: rd:campaigns:{rd:controls}" in paused.stderr
    assert listed(desk) == []
    assert "wrong texts" in desk.run("log").stdout
    assert said(desk, "pause", "spring", "--reason", "wrong texts")[0].startswith("campaign spring paused")
    resumed = desk.run("shops", "resume", "--all")
    assert (resumed.returncode, "bolt" in resumed.stderr) == (0, True)
