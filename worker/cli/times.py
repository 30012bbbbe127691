"""Times and durations in options, such as ``2h`` or ``2026-12-01T18:00:00Z``. Pure."""

import re
from datetime import date, datetime, timedelta

from worker.errors import UsageError
from worker.instants import in_utc

_DURATION = re.compile(r"(?:\d+[smhdw])+")
_PART = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def after(text: str, option: str, now: datetime) -> datetime:
    """The future time that ``text`` names; a duration counts from ``now``. ``option`` is named in errors.

    Raises:
      UsageError: it is neither a time nor a duration, or it has passed.
    """
    time = _time(text, option, now, 1)
    if time <= now:
        raise UsageError(f"{option} {text}: has already passed")
    return time


def ago(text: str, option: str, now: datetime) -> datetime:
    """The past time that ``text`` names; a duration counts backwards from ``now``.

    Raises:
      UsageError: it is neither a time nor a duration.
    """
    return _time(text, option, now, -1)


def _time(text: str, option: str, now: datetime, direction: int) -> datetime:
    try:
        if _DURATION.fullmatch(text):
            length = timedelta()
            for number, unit in _PART.findall(text):
                length += timedelta(**{_UNITS[unit]: int(number)})
            return now + direction * length
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option} {text}: is neither a duration such as 90m, 2h or 3d nor a time such as 2026-12-01T18:00:00Z"
        ) from None
    if time.tzinfo is None:
        # Without a zone the same text would mean another instant on another machine.
        meant = time.strftime("%Y-%m-%dT%H:%M:%SZ")
        if _is_day(text):
            raise UsageError(f"{option} {text}: has no time of day; write {meant} for the start of that day in UTC")
        raise UsageError(f"{option} {text}: has no time zone; write {meant} for UTC, or add an offset such as +02:00")
    return in_utc(time)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
