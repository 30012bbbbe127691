"""A plan as a person reads it."""

from collections import Counter
from dataclasses import replace
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from tests.unit.making import NOON, make_shop
from worker.cli.plan.text import lines_of, span
from worker.instants import DAY, SECOND
from worker.model.campaign_orders import CampaignOrder, Hold
from worker.planning.circumstances import Shop, Workers
from worker.planning.plan import ExportRead, Forecast, Plan, ShopForecast

VIENNA = ZoneInfo("Europe/Vienna")
LIMITS = make_shop(per_second=100.0, per_day=1000, customer_per_day=200).limits


def forecast(seconds: int, days: int = 1) -> Forecast:
    return Forecast(NOON, {"acme": ShopForecast(1200, NOON + seconds * SECOND, days)})


def plan(**changed: object) -> Plan:
    usual = Plan(
        exports=[ExportRead("spring.csv", "klaviyo", "csv", "utf-8", ";", 1250)],
        rows=1250,
        jobs=1210,
        rejected=Counter({"unsubscribed": 30, "bad_id": 10}),
        examples={
            "unsubscribed": [f"line {line} (a…@e….org)" for line in (2, 30, 400)],
            "bad_id": ["line 3 (7.2…+12)"],
        },
        done_already=10,
        under_way=0,
        to_call=Counter({("acme", "whatsapp"): 1200}),
        over_quota={},
        predicted=None,
        shops={"acme": Shop(LIMITS)},
        workers=Workers(),
        forecast=forecast(12),
        more=forecast(12),
        more_by="one more worker",
    )
    return replace(usual, **changed)  # type: ignore[arg-type] # each test gives what the class takes


def test_a_usual_plan() -> None:
    """What is read, what becomes of it, when it is done, and what a worker would change."""
    assert lines_of(plan(), 80, VIENNA) == [
        "spring.csv: 1,250 rows (klaviyo, utf-8, semicolon)",
        "rows read       1,250",
        "jobs            1,210  acme whatsapp 1,200",
        "done already       10  not called again",
        "left out           40",
        "  unsubscribed     30  line 2 (a…@e….org), line 30 (a…@e….org)",
        "  bad_id           10  line 3 (7.2…+12)",
        "acme: 1,200 jobs, done in 12 s, at 2026-11-02 13:00 CET (12:00 UTC)",
        "one more worker changes nothing: acme's limit is 100 calls a second",
    ]


def test_a_narrow_terminal() -> None:
    """What stands beside a number goes on below itself, and below the number where that would be a narrow strip."""
    channels = Counter({("acme", "whatsapp"): 1190, ("acme", "sms"): 10, ("bravo", "sms"): 7})
    wide, narrow = (lines_of(plan(to_call=channels, under_way=10), width, VIENNA) for width in (50, 36))
    assert wide[2:6] == [
        "jobs            1,210  acme whatsapp 1,190, acme",
        "                       sms 10, bravo sms 7",
        "done already       10  not called again",
        "under way          10  published before and not",
    ]
    at = narrow.index("jobs            1,210")
    assert narrow[at : at + 4] == [
        "jobs            1,210",
        "    acme whatsapp 1,190, acme sms",
        "      10, bravo sms 7",
        "done already       10",
    ]


@pytest.mark.parametrize(
    ("read", "shown"),
    [
        (ExportRead("a.xlsx", None, "xlsx", "utf-8", "", 1), "a.xlsx: 1 row (no preset, xlsx)"),
        (ExportRead("a.json", None, "json", "utf-8", "", 2), "a.json: 2 rows (no preset, json, utf-8)"),
        (ExportRead("a.txt", "brevo", "csv", "utf-16", "\t", 2), "a.txt: 2 rows (brevo, utf-16, tab)"),
    ],
)
def test_how_an_export_was_read(read: ExportRead, shown: str) -> None:
    """Its preset, and what its format leaves open: a workbook's encoding is nobody's choice."""
    assert lines_of(plan(exports=[read]), None)[0] == shown


def test_one_more_is_shown() -> None:
    """A line that says "1 more" would take the place of what it stands for."""
    four = [ExportRead(f"{number}.csv", None, "csv", "utf-8", ",", 5) for number in range(4)]
    shops = {f"s{number}": ShopForecast(10, NOON + number * SECOND, 1) for number in range(4)}
    lines = lines_of(
        plan(exports=four, shops=dict.fromkeys(shops, Shop(LIMITS)), forecast=Forecast(NOON, shops), more=None), None
    )
    assert "3.csv: 5 rows (no preset, utf-8, comma)" in lines
    assert any(line.startswith("s0: 10 jobs") for line in lines)
    assert not any(line.startswith("and ") for line in lines)


def test_more_than_a_day() -> None:
    """The days are named with the quota that makes them."""
    lines = lines_of(plan(forecast=forecast(43_202, 2), more=forecast(43_202, 2)), None, VIENNA)
    assert lines[-2:] == [
        (
            "acme: 1,200 jobs, done in 12 h, at 2026-11-03 01:00 CET (00:00 UTC); over 2 days, since a day's quota is "
            "1,000 calls"
        ),
        "one more worker changes nothing: acme's limit is 1,000 calls a day",
    ]


def test_one_more_worker_that_helps() -> None:
    """By how much sooner it is done."""
    assert (
        lines_of(plan(forecast=forecast(7200), more=forecast(4800)), None)[-1] == "one more worker: done 40 min earlier"
    )


def test_customers_over_their_quota() -> None:
    """How many there are, and that their rest waits."""
    lines = lines_of(plan(over_quota={"acme": (3, 900)}, forecast=forecast(DAY // SECOND, 2), more=None), None)
    assert "customers with more jobs than their day's calls: 3 of acme (900 jobs); the rest waits a day" in lines
    assert lines[-1] == "one more worker changes nothing: a customer of acme may be called 200 times a day"


def test_a_paused_shop_has_no_end() -> None:
    """How long it takes is counted from its resumption."""
    paused = Shop(LIMITS, paused="paused since 2026-11-02 11:00:00 UTC (stocktaking)")
    assert lines_of(plan(shops={"acme": paused}), None)[-2] == (
        "acme: 1,200 jobs, 12 s once it is open again; it is paused since 2026-11-02 11:00:00 UTC (stocktaking)"
    )
    assert plan(shops={"acme": paused}).data()["shops"]["acme"]["done_at"] is None


def test_many_of_everything_still_fit_a_screen() -> None:
    """Twenty exports, reasons and shops are shown by the first of them and the number of the rest."""
    shops = {f"s{number}": ShopForecast(10, NOON + number * SECOND, 1) for number in range(20)}
    many = plan(
        exports=[ExportRead(f"{number}.csv", None, "csv", "utf-8", "\t", 100) for number in range(20)],
        rejected=Counter({f"reason_{number:02}": 100 - number for number in range(20)}),
        to_call=Counter({(slug, "sms"): 10 for slug in shops}),
        shops=dict.fromkeys(shops, Shop(LIMITS)),
        predicted=Counter({f"code_{number}": 5 for number in range(9)}),
        forecast=Forecast(NOON, shops),
        more=None,
    )
    lines = lines_of(many, 80, VIENNA)
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80
    assert "and 17 more exports: 1,700 rows" in lines
    assert "and 17 more shops, done before" in lines
    assert "predicted other codes: 30" in lines


def test_jobs_past_their_deadline() -> None:
    """How many of them end without a call, and how many more calls another worker would make in time."""
    late, sooner = (Forecast(NOON, {"acme": ShopForecast(1200, NOON + 9 * SECOND, 1, left)}) for left in (300, 100))
    assert lines_of(plan(forecast=late, more=sooner), None, ZoneInfo("UTC"))[-2:] == [
        (
            "acme: 1,200 jobs, done in 9 s, at 2026-11-02 12:00 UTC; about 300 of them end without a call then, by "
            "--expires"
        ),
        "one more worker: 200 more jobs are called in time",
    ]


def test_nothing_to_call() -> None:
    """All is done already."""
    assert lines_of(plan(forecast=Forecast(NOON, {})), None)[-1] == "nothing would be called"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (101, "1 min 41 s"),
        (3599, "59 min 59 s"),
        (7140, "1 h 59 min"),
        (86_400, "1 d"),
        (90_000 + 3600 * 24, "2 d 1 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: int, shown: str) -> None:
    """Seconds of a campaign of hours would only look exact."""
    assert span(seconds) == shown


def test_closed_hours_are_told() -> None:
    """When the window opens, how many jobs wait for it, and that more workers change nothing about it."""
    waits = Forecast(NOON, {"acme": ShopForecast(1200, NOON + 7 * 3600 * SECOND, 1, 0, 1200, NOON + 6 * 3600 * SECOND)})
    lines = lines_of(plan(forecast=waits, more=waits), None, VIENNA)
    opening = "2026-11-02 19:00 CET (18:00 UTC)"
    assert lines[-2].endswith(f"(19:00 UTC); they wait for their window, which opens at {opening}")
    assert lines[-1] == "one more worker changes nothing: acme has to wait for its window"
    some = Forecast(NOON, {"acme": replace(waits.shops["acme"], kept=200)})
    assert (
        f"; 200 of them wait for their window, which opens at {opening}"
        in lines_of(plan(forecast=some), None, VIENNA)[-2]
    )


def test_a_day_that_only_hours_cost_is_not_the_quotas() -> None:
    days = Forecast(NOON, {"acme": ShopForecast(900, NOON + DAY, 2, 0, 900)})
    lines = lines_of(plan(forecast=days, more=days), None, VIENNA)
    assert lines[-2].endswith("; over 2 days, since they are called at certain hours only")
    assert lines[-1] == "one more worker changes nothing: acme is called at certain hours only"


def test_a_paced_campaign() -> None:
    """Its pace, and what its days are bound by."""
    paced = Shop(LIMITS, order=CampaignOrder(interval=SECOND // 10, per_day=500))
    found = lines_of(plan(shops={"acme": paced}, forecast=forecast(90_000, 3), more=forecast(90_000, 3)), None, VIENNA)
    assert (
        "acme: 1,200 jobs, done in 1 d 1 h, at 2026-11-03 14:00 CET (13:00 UTC); the campaign has at most 10 calls/s, "
        "500 calls a day; over 3 days, since the campaign's day has 500 calls" in found
    )
    assert found[-1] == "one more worker changes nothing: the campaign's pace at acme is 10 calls/s, 500 calls a day"


def test_a_campaign_that_is_held() -> None:
    """Nobody knows when it is resumed."""
    held = plan(shops={"acme": Shop(LIMITS, order=CampaignOrder(hold=Hold("paused", "wrong texts", NOON)))})
    assert "acme: 1,200 jobs, 12 s once the campaign is resumed; it is paused (wrong texts)" in lines_of(held, None)
    data = held.data()["shops"]["acme"]
    assert (data["done_at"], data["starts_at"], data["seconds"]) == (None, None, 12)


def test_the_rest_waits_for_a_release() -> None:
    """When the first jobs are done, and how long the others take from then on."""
    first = Forecast(NOON, {"acme": ShopForecast(200, NOON + 2 * SECOND, 1)})
    found = plan(first=first)
    assert (
        "acme: 1,200 jobs, the first 200 done in 2 s, at 2026-11-02 12:00 UTC; the other 1,000 wait for `referrals "
        "campaigns release`, and take 10 s from then on" in lines_of(found, None, UTC)
    )
    data = found.data()["shops"]["acme"]
    assert (data["done_at"], data["held_back"]) == (None, 1000)
    assert data["first_done_at"] == "2026-11-02T12:00:02Z"
    elsewhere = plan(first=Forecast(NOON, {}))
    assert "acme: 1,200 jobs, which wait for `referrals campaigns release`, and take 12 s from then on" in lines_of(
        elsewhere, None
    )


def test_a_campaign_with_a_start_and_hours() -> None:
    """When its first call is, and how much of the time is closed."""
    day = ShopForecast(1200, NOON + DAY, 2, 0, 1200, 0, NOON + DAY - 12 * SECOND, [(NOON, NOON + DAY - 3600 * SECOND)])
    made = Forecast(NOON, {"acme": day})
    found = plan(forecast=made, more=made, starts_at=NOON + DAY - 12 * SECOND)
    assert (
        "acme: 1,200 jobs, done in 1 d, at 2026-11-03 12:00 UTC; the first call is at 2026-11-03 11:59 UTC; 23 h of "
        "that is outside of their hours" in lines_of(found, None, UTC)
    )
    data = found.data()["shops"]["acme"]
    assert data["starts_at"] == "2026-11-03T11:59:48Z"
    assert data["closed_hours"] == [{"from": "2026-11-02T12:00:00Z", "until": "2026-11-03T11:00:00Z"}]
