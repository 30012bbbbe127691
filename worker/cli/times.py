"""Times as options have them, such as ``2h`` or ``2026-12-01T18:00:00Z``, and as people are shown them. Pure.

All commands show a time alike: in sentences by :func:`moment`; in columns, where the local time would take the room of
texts, by :func:`worker.instants.utc_text`; in ``--json`` by :func:`worker.instants.rfc3339`.
"""

import re
from datetime import date, datetime, timedelta, tzinfo

from worker.errors import UsageError
from worker.instants import from_datetime, in_utc, to_datetime, utc_text

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


def instant_of(text: str) -> int:
    """The instant of a time in RFC 3339, as ``--json`` has it."""
    return from_datetime(datetime.fromisoformat(text))


def moment(at: int, zone: tzinfo | None = None, *, seconds: bool = False) -> str:
    """An instant in local time and in UTC, once where they are the same: ``2026-12-01 19:00 CET (18:00 UTC)``.

    To the minute, or to the ``seconds`` for what has happened or may be near. ``zone`` is the local one.
    """
    in_words = utc_text(at, seconds=seconds)
    try:
        local = to_datetime(at).astimezone(zone)
    except OverflowError:
        # The local time would be beyond the years 1 to 9999; a store may say so.
        return in_words
    if not local.utcoffset():
        return in_words
    shown = local.replace(tzinfo=None).isoformat(" ", "seconds" if seconds else "minutes")
    same_day = shown[:10] == in_words[:10]
    return f"{shown} {local:%Z} ({in_words[11:] if same_day else in_words})"


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
