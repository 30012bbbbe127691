"""Windows against a clock that is read minute by minute, and the lines on what can't be read."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.instants import DAY, SECOND, from_datetime, to_datetime
from worker.model.windows import LOOK_AHEAD, MARGIN, Window, both, window_of

MINUTE = 60 * SECOND
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

ZONES = (
    "Europe/Vienna",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Antarctica/Troll",  # two hours
    "Asia/Kathmandu",  # 5:45 ahead
    "Africa/Casablanca",  # back for a month each year
    "Pacific/Apia",
    "UTC",
)

CHANGES = (
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    datetime(2026, 2, 15, 2, tzinfo=UTC),
    datetime(2011, 12, 30, 10, tzinfo=UTC),  # Samoa left out a Friday
    datetime(2026, 6, 14, 22, tzinfo=UTC),
)

Range = tuple[list[int], int, int]
"""Days, and begin and end in minutes; an end before the begin lies on the next day."""

times = st.integers(0, 24 * 60)
ranges = st.tuples(st.lists(st.integers(0, 6), min_size=1, max_size=3, unique=True), times, times).filter(
    lambda each: each[1] != each[2] and each[1] != 24 * 60
)
instants = st.builds(
    lambda change, minutes, rest: from_datetime(change + timedelta(minutes=minutes)) + rest,
    st.sampled_from(CHANGES),
    st.integers(-3 * 24 * 60, 3 * 24 * 60),
    st.sampled_from((0, 1, 30 * SECOND, MINUTE - 1)),
)


def spelled(several: list[Range], zone: str) -> str:
    def clock(minutes: int) -> str:
        return f"{minutes // 60:02}:{minutes % 60:02}"

    return ", ".join(f"{', '.join(DAYS[day] for day in days)} {clock(a)}-{clock(b)}" for days, a, b in several) + (
        f" {zone}"
    )


def shown(several: list[Range], zone: str, instant: int) -> bool:
    """The oracle: read the zone's clock, and compare."""
    local = to_datetime(instant).astimezone(ZoneInfo(zone))
    day, minute = local.weekday(), local.hour * 60 + local.minute
    for days, begin, end in several:
        if begin < end:
            if day in days and begin <= minute < end:
                return True
        elif (day in days and minute >= begin) or ((day - 1) % 7 in days and minute < end):
            return True
    return False


def may_start(several: list[Range], zone: str, instant: int) -> bool:
    return shown(several, zone, instant - MARGIN) and shown(several, zone, instant + MARGIN)


@given(st.lists(ranges, min_size=1, max_size=2), st.sampled_from(ZONES), instants)
def test_is_open_while_the_zones_clock_shows_a_time_within_a_range(
    several: list[Range], zone: str, instant: int
) -> None:
    window = window_of(spelled(several, zone))
    assert window.is_open(instant) == may_start(several, zone, instant)


@given(st.lists(ranges, min_size=1, max_size=2), st.sampled_from(ZONES), instants)
def test_finds_the_next_change_as_reading_the_clock_minute_by_minute_does(
    several: list[Range], zone: str, instant: int
) -> None:
    window = Window(window_of(spelled(several, zone))._weeks)
    opened = window.is_open(instant)
    change = window.closes_at(instant) if opened else window.opens_at(instant)
    assert (window.opens_at(instant) if opened else window.closes_at(instant)) == instant
    if change < instant + LOOK_AHEAD:
        assert may_start(several, zone, change) != opened
        assert may_start(several, zone, change - 1) == opened
    # No minute between was otherwise. A week is enough: what is closed for longer is closed all the week.
    until = min(change, instant + 8 * DAY)
    for at in range(instant, until, MINUTE):
        assert may_start(several, zone, at) == opened, to_datetime(at)


@given(
    st.lists(ranges, min_size=1, max_size=2),
    st.sampled_from(ZONES),
    st.lists(ranges, min_size=1, max_size=1),
    st.sampled_from(ZONES),
    instants,
)
def test_both_is_open_where_each_of_them_is(
    several: list[Range], zone: str, others: list[Range], other_zone: str, instant: int
) -> None:
    found = both(spelled(several, zone), spelled(others, other_zone))
    assert found is not None
    # A new one: what it has looked for before ends sooner than five weeks from this instant.
    window = Window(found._weeks)

    def together(at: int) -> bool:
        return all(
            shown(several, zone, edge) and shown(others, other_zone, edge) for edge in (at - MARGIN, at + MARGIN)
        )

    assert window.is_open(instant) == together(instant)
    opening = window.opens_at(instant)
    assert opening >= instant
    if opening < instant + LOOK_AHEAD:
        assert together(opening)
        assert opening == instant or not together(opening - 1)
        for at in range(instant, min(opening, instant + 8 * DAY), MINUTE):
            assert not together(at), to_datetime(at)


def test_an_hour_that_comes_twice_is_in_the_window_twice() -> None:
    window = window_of("Sun 02:30-02:45 Europe/Vienna")
    first = from_datetime(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    assert window.opens_at(first - DAY) == first + MARGIN
    assert window.closes_at(first + MARGIN) == first + 15 * MINUTE - MARGIN
    assert window.opens_at(first + 20 * MINUTE) == first + 60 * MINUTE + MARGIN


def test_a_time_that_does_not_exist_opens_nothing() -> None:
    window = window_of("Sun 02:15-02:45 Europe/Vienna")
    before = from_datetime(datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert to_datetime(window.opens_at(before)) == datetime(2026, 4, 5, 0, 15, 1, tzinfo=UTC)


def test_a_range_that_begins_in_the_missing_hour_opens_after_it() -> None:
    window = window_of("Sun 02:30-04:00 Europe/Vienna")
    before = from_datetime(datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert to_datetime(window.opens_at(before)) == datetime(2026, 3, 29, 1, 0, 1, tzinfo=UTC)


def test_a_range_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    window = window_of("Fri 22:00-02:00 UTC")
    friday = from_datetime(datetime(2026, 11, 27, tzinfo=UTC))
    assert not window.is_open(friday + 60 * MINUTE)
    assert window.opens_at(friday) == friday + 22 * 60 * MINUTE + MARGIN
    assert window.closes_at(friday + 23 * 60 * MINUTE) == friday + 26 * 60 * MINUTE - MARGIN


def test_a_range_without_days_takes_those_before_it_or_every_day() -> None:
    text = "Mon-Fri 09:00-12:00, 13:00-18:00, Sat 10:00-12:00 UTC"
    window = window_of(text)
    monday = from_datetime(datetime(2026, 11, 23, tzinfo=UTC))
    hours = {
        day: [hour for hour in range(24) if window.is_open(monday + day * DAY + (hour * 60 + 30) * MINUTE)]
        for day in range(7)
    }
    weekday = [9, 10, 11, 13, 14, 15, 16, 17]
    assert hours == {**dict.fromkeys(range(5), weekday), 5: [10, 11], 6: []}
    assert window_of("09:00-18:00 UTC").is_open(monday + 6 * DAY + 12 * 60 * MINUTE)


def test_days_may_go_over_the_end_of_the_week() -> None:
    window = window_of("Sat-Mon 00:00-24:00 UTC")
    saturday = from_datetime(datetime(2026, 11, 28, tzinfo=UTC))
    assert window.closes_at(saturday + MINUTE) == saturday + 3 * DAY - MARGIN


def test_a_window_of_all_the_week_never_closes() -> None:
    window = window_of("00:00-24:00 Europe/Vienna")
    assert window.always_open
    assert window.is_open(0)


def test_windows_that_are_never_open_together_are_looked_for_no_further_than_five_weeks() -> None:
    window = both("Mon 09:00-18:00 UTC", "Tue 09:00-18:00 UTC")
    assert window is not None
    now = from_datetime(datetime(2026, 11, 27, tzinfo=UTC))
    assert window.opens_at(now) == now + LOOK_AHEAD


def test_without_a_window_there_is_none() -> None:
    assert both(None, None) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "needs ranges and a time zone"),
        ("Mon-Fri 09:00-18:00", "needs ranges and a time zone"),
        ("Europe/Vienna", "needs ranges and a time zone"),
        ("Mon-Fri 09:00-18:00 Europe/Wien", "time zone is unknown"),
        ("Mon-Fri 09:00-18:00 Europe", "time zone is unknown"),
        ("Mon-Fri 09:00-18:00 ../../etc/passwd", "needs ranges and a time zone"),
        ("Mon-Fry 09:00-18:00 UTC", "a day that is none of"),
        ("Mon-Fri UTC", "days without times"),
        ("Mon-Fri 9-18 UTC", "a range that can't be read"),
        ("Mon-Fri 09:00-18:00, UTC", "a range that can't be read"),
        ("Mon-Fri 09:00-24:30 UTC", "not within 00:00 and 24:00"),
        ("Mon-Fri 09:60-18:00 UTC", "not within 00:00 and 24:00"),
        ("Mon-Fri 09:00-09:00 UTC", "without a length"),
        ("Mon-Fri 24:00-09:00 UTC", "without a length"),
        ("Mon " + " " * 200 + "09:00-18:00 UTC", "longer than 200 characters"),
    ],
)
def test_says_what_can_not_be_read(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("+", "\\+")):
        window_of(text)
