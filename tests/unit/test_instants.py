"""Times of any zone in UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from worker.instants import in_utc, to_datetime

LATEST, EARLIEST = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-27T10:00:00+02:00", datetime(2026, 11, 27, 8, tzinfo=UTC)),
        ("9999-12-31T23:59:59-12:00", LATEST),
        ("0001-01-01T00:00:00+05:00", EARLIEST),
    ],
)
def test_a_time_beyond_what_utc_has_is_the_last_that_it_has(text: str, expected: datetime) -> None:
    """A result of somebody else's may hold one, and it must not end a report."""
    assert in_utc(datetime.fromisoformat(text)) == expected


def test_a_zone_of_seconds() -> None:
    """Zones may differ from UTC by any time below a day."""
    zone = timezone(timedelta(seconds=1))
    assert in_utc(datetime(2026, 1, 1, tzinfo=zone)) == datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(("instant", "expected"), [(1 << 62, LATEST), (-(1 << 62), EARLIEST), (0, EPOCH)])
def test_an_instant_beyond_all_years(instant: int, expected: datetime) -> None:
    """The store may hold one, and what shows it shows the rest too."""
    assert to_datetime(instant) == expected
