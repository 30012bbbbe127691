"""Instants and durations: integer microseconds since the Unix epoch, so that arithmetic on them is exact. Pure."""

from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
"""Microseconds in a second, the unit of every instant and duration here."""

DAY = 86_400 * SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(instant: int) -> datetime:
    """The UTC datetime of an instant in microseconds; the nearest one of the years 1 to 9999.

    The store's word for a time may lie beyond them, and what shows it must show the rest all the same.
    """
    if not _FIRST <= instant <= _LAST:
        instant = _FIRST if instant < _FIRST else _LAST
    # By position it takes half the time, and every job is dated.
    return _EPOCH + timedelta(0, 0, instant)


def rfc3339(instant: int) -> str:
    """An instant for programs, as RFC 3339 in UTC to the second: ``2026-12-01T18:00:05Z``, which options take too."""
    return f"{to_datetime(instant).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def utc_text(instant: int, *, seconds: bool = True) -> str:
    """An instant for people in UTC, to the second or to the minute: ``2026-12-01 18:00:05 UTC``."""
    shown = to_datetime(instant).replace(tzinfo=None)
    return f"{shown.isoformat(' ', 'seconds' if seconds else 'minutes')} UTC"


def in_utc(moment: datetime) -> datetime:
    """An aware datetime in UTC; the earliest or the latest that there is, where UTC's would be beyond the years 1 to
    9999.

    Such a time can stand in a result of somebody else's, and Python raises OverflowError for it.
    """
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if moment.year == 1 else datetime.max.replace(tzinfo=UTC)


def from_datetime(moment: datetime) -> int:
    """The instant in microseconds of an aware datetime, whatever its time zone."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


_FIRST = from_datetime(datetime.min.replace(tzinfo=UTC))
_LAST = from_datetime(datetime.max.replace(tzinfo=UTC))
