"""Shops with windows on virtual time: no call outside, whatever the zone's clock does, and the hours used."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.making import PATIENT
from worker.instants import DAY, SECOND, from_datetime, to_datetime
from worker.shops.config import ShopTable
from worker.simulator.fleet import Fleet
from worker.simulator.report import Report, ShopReport
from worker.simulator.scenario import Load, Scenario

MINUTE = 60 * SECOND
ZONE = ZoneInfo("Europe/Vienna")
HOURS = "Mon-Fri 09:00-12:00, 13:00-18:00, Sat 22:00-04:00, Sun 14:00-15:00 Europe/Vienna"
"""With pauses, over a midnight, and through the nights in which the clock is changed."""

WEEKS_OF_A_CHANGE = {
    "spring": from_datetime(datetime(2026, 3, 22, tzinfo=UTC)),
    "autumn": from_datetime(datetime(2026, 10, 18, tzinfo=UTC)),
}
"""Fourteen days from there have the change of the clock in their middle."""


def is_open(instant: int) -> bool:
    """What :data:`HOURS` say, read from the zone's clock."""
    local = to_datetime(instant).astimezone(ZONE)
    day, hour = local.weekday(), local.hour
    if day < 5:
        return 9 <= hour < 12 or 13 <= hour < 18
    return hour >= 22 if day == 5 else hour < 4 or hour == 14


def open_minutes(begin: int, end: int) -> int:
    return sum(is_open(at) for at in range(begin, end, MINUTE))


def fourteen_days(begin: int, channel_of: Callable[[int], str] | None, **table: object) -> ShopReport:
    """A shop that is called once a minute, with as many jobs as its open minutes in fourteen days."""
    shop = ShopTable(per_second=1 / 60, burst=1, customer_per_second=1.0, window=HOURS, **table)  # type: ignore[arg-type]
    jobs = open_minutes(begin, begin + 14 * DAY)
    load = Load(jobs, shop, lambda number: f"c{number}", channel_of=channel_of)
    return Fleet(Scenario([load], processes=2, threads=4, prefetch=4, begin=begin)).run().shops["s0"]


@pytest.mark.parametrize("begin", WEEKS_OF_A_CHANGE.values(), ids=WEEKS_OF_A_CHANGE.keys())
def test_fourteen_days_over_a_change_of_the_clock(begin: int) -> None:
    """No call lies outside, and 99 % of what the limits allow within the hours is used."""
    report = fourteen_days(begin, None, window_channels=["*"])
    assert len(report.begun) == report.jobs
    assert not [to_datetime(at) for at in report.begun if not is_open(at)]
    assert report.over() == 0
    # A minute more or less at each of some thirty openings: what was not called in time is called in the week after.
    assert sum(at < begin + 14 * DAY for at in report.begun) >= 0.99 * report.jobs


@pytest.mark.parametrize("begin", WEEKS_OF_A_CHANGE.values(), ids=WEEKS_OF_A_CHANGE.keys())
def test_other_channels_go_on_while_emails_wait(begin: int) -> None:
    """Every second job is an e-mail. The others are called around the clock; of the e-mails none is outside."""
    report = fourteen_days(begin, lambda number: ("email", "sms")[number % 2])
    emails: list[int] = []
    others: list[int] = []
    for at, customer in zip(report.begun, report.customers, strict=True):
        (others if int(customer[1:]) % 2 else emails).append(at)
    assert len(emails) + len(others) == report.jobs
    assert not [to_datetime(at) for at in emails if not is_open(at)]
    assert report.over() == 0
    # As if there were no window: one a minute, beside the e-mails that the first open hours let through.
    assert max(others) - begin <= (len(others) + open_minutes(begin, max(others))) * MINUTE


instants = st.sampled_from(list(WEEKS_OF_A_CHANGE.values())).flatmap(
    lambda begin: st.integers(begin + 5 * DAY, begin + 8 * DAY)
)


@settings(PATIENT, max_examples=25)
@given(
    begin=instants,
    processes=st.sampled_from([1, 3]),
    per_second=st.sampled_from([0.01, 0.5, 50.0]),
    channels=st.lists(st.sampled_from(["email", "sms"]), min_size=1, max_size=30),
    every=st.booleans(),
    call=st.sampled_from([1000, 5 * SECOND]),
)
def test_no_call_starts_outside(
    begin: int, processes: int, per_second: float, channels: list[str], every: bool, call: int
) -> None:
    """Whatever the pace, the channels and the hour at which it begins; every job is called in the end."""
    shop = ShopTable(per_second=per_second, burst=2, window=HOURS, window_channels=["*"] if every else ["email"])
    load = Load(len(channels), shop, lambda number: f"c{number}", channel_of=channels.__getitem__)
    report: Report = Fleet(Scenario([load], processes=processes, begin=begin, call=call)).run()
    found = report.shops["s0"]
    assert len(found.begun) == len(channels)
    for at, customer in zip(found.begun, found.customers, strict=True):
        if every or channels[int(customer[1:])] == "email":
            assert is_open(at), to_datetime(at)
