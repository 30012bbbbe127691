"""Moments as options name them."""

import re
from datetime import UTC, date, datetime, timedelta

from worker.errors import UsageError

_DURATION = re.compile(r"(?:\d+[smhdw])+")
_PART = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def after(text: str, option: str, now: datetime) -> datetime:
    """The moment to come that an option names.

    Raises:
      UsageError: it names none, or one that has passed.
    """
    moment = _moment(text, option, now, 1)
    if moment <= now:
        raise UsageError(f"{option} {text}: has already passed")
    return moment


def ago(text: str, option: str, now: datetime) -> datetime:
    """The moment in the past that an option names, a duration counting backwards; raises as :func:`after`."""
    return _moment(text, option, now, -1)


def _moment(text: str, option: str, now: datetime, direction: int) -> datetime:
    try:
        if _DURATION.fullmatch(text):
            length = timedelta()
            for number, unit in _PART.findall(text):
                length += timedelta(**{_UNITS[unit]: int(number)})
            return now + direction * length
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option} {text}: is neither a duration such as 90m, 2h or 3d nor a time such as 2026-12-01T18:00:00Z"
        ) from None
    if moment.tzinfo is None:
        in_utc = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        if _is_day(text):
            raise UsageError(f"{option} {text}: has no time of day; write {in_utc} for the start of that day in UTC")
        raise UsageError(f"{option} {text}: has no time zone; write {in_utc} for UTC, or add an offset such as +02:00")
    return moment.astimezone(UTC)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
