"""Instants and durations: integer microseconds since the Unix epoch, so that arithmetic on them is exact. Pure."""

from datetime import UTC, datetime, timedelta

SECOND = 1_000_000
"""Microseconds in a second, the unit of every instant and duration here."""

DAY = 86_400 * SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_datetime(instant: int) -> datetime:
    """The UTC datetime of an instant in microseconds."""
    return _EPOCH + timedelta(microseconds=instant)


def from_datetime(moment: datetime) -> int:
    """The instant in microseconds of an aware datetime, whatever its time zone."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds
