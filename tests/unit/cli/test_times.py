"""Moments as options name them."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.unit.making import NOON
from worker.cli.times import after, ago, instant_of, moment
from worker.errors import UsageError
from worker.instants import DAY, SECOND, rfc3339, to_datetime, utc_text

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
VIENNA = ZoneInfo("Europe/Vienna")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", NOW + timedelta(minutes=90)),
        ("1d12h", NOW + timedelta(hours=36)),
        ("2027-12-01T18:00:00Z", datetime(2027, 12, 1, 18, tzinfo=UTC)),
        ("2027-12-01 18:00+02:00", datetime(2027, 12, 1, 16, tzinfo=UTC)),
    ],
)
def test_a_moment(text: str, moment: datetime) -> None:
    """A duration counts from now, a time has its zone."""
    assert after(text, "--expires", NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        "2027-12-01",
        "20271201",
        "2027-W48-3",
        "2027-12-01T18:00",
        "2027-12-01 18:00:30",
        "2027-12-01T18",
        "20271201T1800",
        "2027-12-01T18:00:00.5",
        "tomorrow",
        "2h later",
        "1.12.2027",
    ],
)
def test_its_advice_is_taken(text: str) -> None:
    """If a text names no time, each form that the error proposes does."""
    with pytest.raises(UsageError) as refused:
        after(text, "--expires", NOW)
    told = str(refused.value).removeprefix(f"--expires {text}: ")
    proposed = re.findall(r"\d{4}-\S+|\b\d+[smhdw]\b", told)
    assert proposed
    for each in proposed:
        after(each, "--expires", NOW)
    for zone in re.findall(r"\+\d\d:\d\d", told):
        after(f"{text}{zone}", "--expires", NOW)


def test_a_day_is_no_moment() -> None:
    """Its beginning or its end may be meant; the line says which form means which."""
    with pytest.raises(UsageError, match="2027-12-01: has no time of day; write 2027-12-01T00:00:00Z for the start"):
        after("2027-12-01", "--expires", NOW)
    with pytest.raises(UsageError, match="has no time of day"):
        ago("2026-11-01", "--older-than", NOW)


def test_what_has_passed() -> None:
    """A deadline lies ahead."""
    with pytest.raises(UsageError, match="has already passed"):
        after("2026-11-26T11:59:00Z", "--expires", NOW)


def test_a_moment_is_in_local_time_and_in_utc() -> None:
    """With the date of both where they differ, and once where the zone is UTC."""
    assert moment(NOON, VIENNA) == "2026-11-02 13:00 CET (12:00 UTC)"
    assert moment(NOON + 5 * SECOND, VIENNA, seconds=True) == "2026-11-02 13:00:05 CET (12:00:05 UTC)"
    assert moment(NOON + DAY // 2 - 1800 * SECOND, VIENNA) == "2026-11-03 00:30 CET (2026-11-02 23:30 UTC)"
    assert moment(NOON, ZoneInfo("UTC")) == "2026-11-02 12:00 UTC"
    assert utc_text(NOON + 5 * SECOND) == "2026-11-02 12:00:05 UTC"


def test_a_moment_for_programs_is_one_that_options_take() -> None:
    """To the second, whatever lies below it."""
    text = rfc3339(NOON + 5 * SECOND + 999_999)
    assert text == "2026-11-02T12:00:05Z"
    assert ago(text, "--since", NOW) == to_datetime(instant_of(text)) == to_datetime(NOON + 5 * SECOND)


@pytest.mark.parametrize("at", [-(1 << 62), 1 << 62])
def test_a_moment_beyond_the_calendar_is_its_edge(at: int) -> None:
    """A damaged store may name one, and what shows it must show the rest all the same."""
    for zone in (VIENNA, ZoneInfo("America/New_York")):
        assert moment(at, zone, seconds=True).endswith("UTC") or "(" in moment(at, zone)
    assert rfc3339(at) == rfc3339(instant_of(rfc3339(at)))
