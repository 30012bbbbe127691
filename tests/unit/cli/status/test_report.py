"""What `referrals status` reports from the store, RabbitMQ and the shops file, or from those that answer."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.making import NOON, make_shop
from worker.campaigns.progress import Progress
from worker.cli.status.report import Look, report
from worker.cli.status.text import Frame, lines_of, remarks
from worker.errors import BrokerError, ConfigurationError, StoreError
from worker.instants import SECOND
from worker.model.campaign_orders import CampaignOrder, Hold
from worker.model.controls import Controls, Pause
from worker.model.suppression import Suppression
from worker.rabbitmq.queue_depths import Depth, Depths
from worker.shops.config import ListedShop
from worker.store.shop_state import Closure, ShopState

ROOT = Path(__file__).parents[4]

SENT = {"published": 100, "sent": 40}
STATE = ShopState(at=NOON, interval=SECOND // 10, blocked_until=0, calls_today=40, closure=None)


def look_at(
    counters: Mapping[tuple[str, str], Mapping[str, int]],
    *,
    waiting: Mapping[str, int] | None = None,
    at: float = 2.0,
    **changed: Any,
) -> Look:
    """Counters by campaign and shop, and how many jobs wait at each shop; every shop of these is in the file."""
    slugs = list(dict.fromkeys(shop for _, shop in counters))
    shops: dict[str, ListedShop | None] = {slug: make_shop(slug, per_second=10.0) for slug in slugs}
    queues = {f"referrals.shop.{slug}": Depth(jobs, 0) for slug, jobs in (waiting or {}).items()}
    usual = {
        "shops": shops,
        "campaigns": [Progress.of(campaign, shop, counted) for (campaign, shop), counted in counters.items()],
        "states": dict.fromkeys(slugs, STATE),
        "depths": Depths(queues, "RabbitMQ's metrics", complete=True),
    }
    return Look(at=at, **{**usual, **changed})


def told(look: Look, campaign: str | None = None, shop: str | None = None) -> dict[str, Any]:
    """The report, after a first look at which all was as it is now."""
    return report(Look(0.0, look.shops, look.campaigns), look, campaign, shop)


def test_jobs_that_nobody_counted() -> None:
    """Of a producer that doesn't count, as many were published as have ended, at least; what is left nobody claims to
    know, unless the queues are empty; and it is explained once, however many campaigns there are.
    """
    counters = {("a", "acme"): {"sent": 20}, ("b", "acme"): {"sent": 5, "published": 4}, ("c", "acme"): SENT}
    found = told(look_at(counters, waiting={"acme": 70}))
    assert [(row["published"], row["uncounted"], row["left"]) for row in found["campaigns"]] == [
        (0, 20, None),
        (4, 1, None),
        (100, 0, 60),
    ]
    # 70 wait, of which 60 were counted.
    assert found["shops"][0]["seconds_to_go"] == 7
    lines = lines_of(found, Frame(80))
    assert [line.split()[2:] for line in lines[1:4]] == [
        ["20+", "20", "0", "?"],
        ["5+", "5", "0", "?"],
        ["100", "40", "0", "60"],
    ]
    (remark,) = remarks(found)
    assert remark.startswith("+: ")
    assert "doesn't count" in remark
    assert "(?)" in remark
    assert "-" not in "".join(cell for line in lines[1:4] for cell in line.split()[2:])
    over = told(look_at({("a", "acme"): {"sent": 20}}, waiting={}))
    assert over["campaigns"][0]["left"] == 0
    (remark,) = remarks(over)
    assert "?" not in remark
    # None of the campaigns has more than were counted: no sign stands in the table.
    (remark,) = remarks(told(look_at({("a", "acme"): SENT}, waiting={"acme": 61})))
    assert remark.startswith("1 more job than were counted as published")


def test_lanes_are_shown_where_something_waits_in_them() -> None:
    """They are among the shop's jobs that wait, so each is named."""
    depths = {
        "referrals.shop.acme": Depth(5, 0),
        "referrals.urgent.acme": Depth(2, 1),
        "referrals.held.acme": Depth(1_200, 16),
        "referrals.paced.acme": Depth(3, 4),
        "referrals.paced.2.acme": Depth(5, 0),
        "referrals.shop.bolt": Depth(5, 0),
    }
    found = told(
        look_at({("a", "acme"): SENT, ("a", "bolt"): SENT}, depths=Depths(depths, "RabbitMQ's metrics", complete=True))
    )
    assert [(row["urgent"], row["paced"], row["held"]) for row in found["shops"]] == [(3, 12, 1_216), (0, 0, 0)]
    notes = [line.strip() for line in lines_of(found, Frame()) if "of its jobs" in line]
    assert notes == ["of its jobs: 3 urgent, 12 over their campaigns' pace, 1,216 held or outside of their hours"]


def test_a_reserve_is_shown() -> None:
    """Under the shop and for programs; nothing for a shop that keeps none, or of which nothing is known."""
    shops = {"acme": make_shop("acme", per_second=10.0, reserve_per_day=200), "bolt": make_shop("bolt")}
    look = look_at({("a", "acme"): SENT, ("a", "bolt"): SENT}, shops=shops)
    found = told(look)
    assert [row["reserve"] and row["reserve"]["per_day"] for row in found["shops"]] == [200, None]
    notes = [line.strip() for line in lines_of(found, Frame()) if "for urgent jobs" in line]
    assert notes == ["acme keeps 100 of today's calls (of 200 a day) for urgent jobs, which had 0 calls today"]
    assert told(replace(look, states={}))["shops"][0]["reserve"] is None


def test_signs_in_rows_that_are_cut_off() -> None:
    """A watched screen that has no room for the row with a sign doesn't explain it."""
    counters: dict[tuple[str, str], dict[str, int]] = {(f"c{n:02}", "acme"): SENT for n in range(19)}
    look = look_at(counters | {("z", "acme"): {"sent": 5}}, waiting={"acme": 60 * 19})
    assert remarks(told(look))[0].startswith("+: ")
    assert "+:" in "".join(lines_of(told(look), Frame(80, 60)))
    assert "+:" not in "".join(lines_of(told(look), Frame(80, 16)))


def test_missing_jobs() -> None:
    """The number of missing jobs is reported, with the page that says what to do."""
    (remark,) = remarks(told(look_at({("a", "acme"): SENT}, waiting={"acme": 57})))
    assert remark.startswith("3 jobs are missing: counted as published")
    page, section = remark.split("docs/")[1].split("#")
    assert f"## {section.replace('-', ' ').capitalize()}\n" in (ROOT / "docs" / page).read_text()


def test_a_shop_that_the_earlier_look_did_not_know() -> None:
    """Its pace is not known, rather than that of its whole life; nor does it excuse jobs that are missing."""
    look = look_at({("a", "acme"): {"published": 9000, "sent": 4384}}, waiting={"acme": 4600})
    found = report(Look(0.0, {}, []), look, None, None)
    assert (found["shops"][0]["jobs_per_second"], found["unaccounted"]) == (None, 16)
    assert " ?     10 " in " ".join(lines_of(found, Frame(80)))


def test_a_store_that_lost_its_data_between_two_looks() -> None:
    """Nobody knows the pace then; it is not below 0."""
    counters = {("a", "acme"): SENT}
    earlier, look = look_at(counters, at=0.0), look_at({("a", "acme"): {"sent": 1}})
    assert report(earlier, look, None, None)["shops"][0]["jobs_per_second"] is None


def test_no_worker() -> None:
    """If no worker takes a shop's jobs, a line says so with a remedy, and no time left is claimed."""
    counters = {("a", "acme"): SENT, ("a", "bolt"): SENT}
    look = look_at(counters, waiting={"acme": 60, "bolt": 60}, consumers={"acme": 0, "bolt": 0})
    found = told(look)
    assert [row["seconds_to_go"] for row in found["shops"]] == [None, None]
    assert remarks(found) == ["no worker takes jobs from acme, bolt; start `referrals work`"]
    assert "no worker takes jobs from acme, bolt" in lines_of(found, Frame(80, 24))[0]
    found = told(replace(look, consumers={"acme": 3, "bolt": 0}))
    assert [row["seconds_to_go"] for row in found["shops"]] == [6, None]
    assert remarks(found) == ["no worker takes jobs from bolt; check that the workers' shops file has it"]
    assert remarks(told(replace(look, consumers={"acme": 3, "bolt": 2}))) == []
    assert remarks(told(replace(look, consumers=None))) == []


def test_without_campaigns() -> None:
    """There is no heading of a table that has no rows."""
    look = look_at({("a", "acme"): SENT}, campaigns=None, states={}, problems=[StoreError("away")])
    assert lines_of(told(look), Frame(80))[0].startswith("shop")


def test_what_needs_a_person_comes_first() -> None:
    """Such shops stand before the others, with what to do about one that is halted."""
    closure = Closure("halted", "invalid_token", NOON + SECOND)
    states = {"acme": STATE, "bolt": replace(STATE, closure=closure)}
    found = told(look_at({("a", "acme"): SENT, ("a", "bolt"): SENT}, states=states))
    lines = lines_of(found, Frame(200))
    assert [line.split()[0] for line in lines if line.startswith(("acme", "bolt"))] == ["bolt", "acme"]
    assert any(line.endswith("; `referrals shops check bolt` shows why") for line in lines)


@pytest.mark.parametrize(
    ("controls", "closure", "seconds"),
    [
        pytest.param(Controls(pauses={"acme": Pause("x", NOON)}), None, None, id="paused"),
        pytest.param(Controls(), Closure("halted", "invalid_token", NOON + SECOND), None, id="halted"),
        pytest.param(Controls(), Closure("breaker", "http_500", NOON + 10 * SECOND), 16, id="breaker"),
        pytest.param(Controls(), None, 6, id="open"),
    ],
)
def test_how_long_a_closed_shop_takes(controls: Controls, closure: Closure | None, seconds: int | None) -> None:
    """While a person decides when a shop opens, the time left is unknown."""
    state = ShopState(NOON, SECOND // 10, 0, 40, closure)
    look = look_at({("a", "acme"): SENT}, waiting={"acme": 60}, controls=controls, states={"acme": state})
    found = told(look)
    assert found["shops"][0]["seconds_to_go"] == seconds
    (line,) = [line for line in lines_of(found, Frame(80)) if line.startswith("acme")]
    assert line.split()[-1] == ("-" if seconds is None else f"0:00:{seconds:02}")


def test_what_the_time_left_leaves_out() -> None:
    """What is held is said, and so is why a time is not known: 0:00:00 was shown while three jobs waited."""
    rest = CampaignOrder(rest=Hold("first", "", NOON))
    counters = {("a", "acme"): SENT, ("b", "acme"): {"published": 3}}
    controls = Controls(campaigns={("a", "*"): rest})

    def shown(aside: int) -> str:
        queues = {"referrals.shop.acme": Depth(63 - aside, 0), "referrals.held.acme": Depth(aside, 0)}
        found = told(look_at(counters, controls=controls, depths=Depths(queues, "RabbitMQ's metrics", complete=True)))
        return " ".join(" ".join(lines_of(found, Frame())).split())

    assert "0:00:01 of its jobs: 60 held or outside of their hours time left leaves out the held jobs (60)" in shown(60)
    assert " - of its jobs: 63 held or outside of their hours time left is not known: all that is left" in shown(63)


@pytest.mark.parametrize(("published", "said"), [(100, True), (40, False)])
def test_a_cancelled_campaign(published: int, said: bool) -> None:
    """While it has jobs a line says that nobody is called, and none that its brake's trip can be answered."""
    brake = CampaignOrder(hold=Hold("brake", "", NOON))
    controls = Controls(cancelled={("a", "acme"): 2 * NOON}, campaigns={("a", "acme"): brake})
    found = told(look_at({("a", "acme"): {"published": published, "sent": 40}}, controls=controls))
    assert found["campaigns"][0]["orders"]["cancelled"]
    text = " ".join(" ".join(lines_of(found, Frame())).split())
    assert ("cancelled: nobody is called any more" in text) == said
    assert "campaigns resume" not in text


@pytest.mark.parametrize(
    ("queues", "seconds", "why"),
    [
        pytest.param({"referrals.delay.60": 20, "referrals.delay.3600": 40}, None, "delayed", id="all are delayed"),
        pytest.param({"referrals.delay.3600": 40}, 6, None, id="some are nowhere"),
        pytest.param({"referrals.delay.3600": 99, "referrals.shop.acme": 5}, 6, None, id="others are delayed too"),
    ],
)
def test_delayed_jobs_tell_no_time(queues: Mapping[str, int], seconds: int | None, why: str | None) -> None:
    """The queues of delays are all shops': what is left of a shop and not in its own queues is taken to be there."""
    depths = Depths({name: Depth(jobs, 0) for name, jobs in queues.items()}, "RabbitMQ's metrics", complete=True)
    found = told(look_at({("a", "acme"): SENT}, depths=depths))
    (shop,) = found["shops"]
    assert (shop["seconds_to_go"], shop["no_time_left_because"]) == (seconds, why)
    shown = " ".join(" ".join(lines_of(found, Frame())).split())
    assert ("time left is not known: all that could go is in the delay queues" in shown) == (why is not None)


def test_a_shop_whose_table_is_wrong() -> None:
    """What only the file knows is unknown; what the store and RabbitMQ know about the shop is shown."""
    problem = ConfigurationError("shops.toml: [shops.acme] weigth: unknown key")
    look = look_at({("a", "acme"): SENT}, waiting={"acme": 60}, shops={"acme": None}, problems=[problem])
    (row,) = told(look)["shops"]
    assert (row["gate"], row["waiting"]) == ("open", 60)
    assert (row["allowed_per_second"], row["left_today"], row["seconds_to_go"]) == (None, None, None)
    assert remarks(told(look)) == [str(problem)]


def test_without_the_store_or_rabbitmq() -> None:
    """The one's numbers are shown without the other's, and none is made up."""
    counters = {("a", "acme"): SENT}
    blind = told(look_at(counters, campaigns=None, states={}, waiting={"acme": 60}, problems=[StoreError("away")]))
    assert (blind["campaigns"], blind["shops"][0]["waiting"], blind["shops"][0]["gate"]) == ([], 60, "?")
    assert (blind["unaccounted"], blind["problems"]) == (None, ["away"])
    deaf = told(look_at(counters, depths=None, problems=[BrokerError("away")]))
    assert deaf["campaigns"][0]["left"] == 60
    assert (deaf["shops"][0]["waiting"], deaf["delayed"], deaf["unaccounted"]) == (None, None, None)
    for found in (blind, deaf):
        assert "?" in " ".join(lines_of(found, Frame(80)))
        assert remarks(found) == ["away"]


@pytest.mark.parametrize(("store", "journal", "lost"), [(3, 4, True), (4, 4, False), (5, 4, False), (0, None, False)])
def test_suppression_lists_that_the_store_has_lost(store: int, journal: int | None, lost: bool) -> None:
    """While RabbitMQ knows of more changes than the store, workers call nobody; a line says what brings them back."""
    queues = {"referrals.suppression": Depth(journal, 0)} if journal is not None else {}
    found = told(
        look_at(
            {("a", "acme"): SENT},
            depths=Depths(queues, "RabbitMQ's metrics", complete=True),
            controls=Controls(suppression=Suppression(store)),
        )
    )
    said = "the store has 3 of 4 changes of the suppression lists, so workers call nobody; "
    assert found["problems"] == ([f"{said}`referrals suppress restore` brings the others back"] if lost else [])


def test_workers_that_call_nobody() -> None:
    """Counted by why, with what to do; what the lists lack is said once."""
    closed = {"web-1:7": "no_key", "web-1:8": "no_key", "web-2:7": "no_key", "web-3:7": "other_key"}
    found = told(look_at({("a", "acme"): SENT}, closed_workers=closed))
    assert found["closed_workers"] == closed
    first, second, *_ = remarks(found)
    assert first.startswith("3 worker processes call nobody, on web-1, web-2: REFERRALS_SUPPRESSION_KEY is unset; set ")
    assert second.startswith("1 worker process calls nobody, on web-3: REFERRALS_SUPPRESSION_KEY is not the key ")
    depths = Depths({"referrals.suppression": Depth(1, 0)}, "RabbitMQ's metrics", complete=True)
    for reason, lines in (("lost", 1), ("no_key", 2), ("of a later version", 2)):
        look = look_at({("a", "acme"): SENT}, depths=depths, closed_workers={"web-1:7": reason})
        assert len(told(look)["problems"]) == lines
    (line,) = told(look_at({("a", "acme"): SENT}, closed_workers={"web-1:7": "lost"}))["problems"]
    for closed, unserved in (({}, ["acme"]), ({"web-1:7": "no_key"}, [])):
        assert (
            told(look_at({("a", "acme"): SENT}, consumers={"acme": 0}, closed_workers=closed))["unserved"] == unserved
        )
    assert "`referrals suppress restore`" in line


def test_one_shop_or_campaign() -> None:
    """Of a shop, or of a campaign however its name is written, nothing else is shown."""
    look = look_at({("fr\u00fchling", "acme"): SENT, ("autumn", "acme"): SENT, ("autumn", "bolt"): SENT})
    named = told(look, " fru\u0308hling ")
    assert [row["campaign"] for row in named["campaigns"]] == ["fr\u00fchling"]
    assert [row["shop"] for row in named["shops"]] == ["acme"]
    assert [(row["campaign"], row["shop"]) for row in told(look, shop="bolt")["campaigns"]] == [("autumn", "bolt")]


def thousands() -> Look:
    """3,000 shops with three campaigns each, two shops of which need a person."""
    slugs = [f"shop-{number:04}" for number in range(3000)]
    counters = {(f"c{number}", slug): SENT for slug in slugs for number in range(3)}
    closure = Closure("halted", "invalid_token", NOON + SECOND)
    states = {slug: ShopState(NOON, SECOND // 10, 0, 0, closure if slug == "shop-0007" else None) for slug in slugs}
    controls = Controls(pauses={"shop-2000": Pause("wrong texts", NOON)})
    return look_at(counters, waiting=dict.fromkeys(slugs, 180), states=states, controls=controls)


def test_thousands_of_shops() -> None:
    """The sums, and the shops that need a person, fit a screen; all are there where they are asked for."""
    look = thousands()
    lines = lines_of(told(look), Frame(80))
    assert len(lines) <= 24
    text = " ".join(" ".join(lines).split())
    assert "3,000 shops: 2,998 open, 1 halted, 1 paused; 540,000 jobs wait" in text
    assert "c0 3,000 shops 300,000 120,000 0 180,000" in text
    assert {line.split()[0] for line in lines if line.startswith("shop-")} == {"shop-0007", "shop-2000"}
    assert len(lines_of(told(look), Frame(80, every=True))) > 12_000
    (one,) = told(look, shop="shop-0001")["shops"]
    assert (one["shop"], one["waiting"]) == ("shop-0001", 180)


@pytest.mark.parametrize("campaigns", [1, 8, 40])
@pytest.mark.parametrize("shops", [1, 4, 19])
def test_a_watched_screen_does_not_scroll(campaigns: int, shops: int) -> None:
    """Both headings and the last line are on a terminal of 24 lines of 80, whatever there is to show."""
    codes = {"rejected:no_customers_match_customer_identity": 3, "rejected:customer_identity_does_not_match_token": 2}
    counters = {(f"campaign-{c}", f"shop-{s}"): {**SENT, **codes} for c in range(campaigns) for s in range(shops)}
    pause = Pause("wrong texts, ask Kim before anybody resumes any of these, and tell the shop about it", NOON)
    look = look_at(counters, controls=Controls(pauses={"*": pause}), problems=[BrokerError("away " * 20)])
    lines = lines_of(told(look), Frame(80, 24))
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line.endswith(("left", "time left"))] == ["campaign", "shop"]
    assert lines[-1].endswith("RabbitMQ's metrics)")
