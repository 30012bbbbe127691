"""When jobs may be called: ranges of a week by the clock of a time zone, such as ``Mon-Fri 09:00-18:00 Europe/Vienna``.

The zone's clock decides, whatever it does: a minute that it skips in spring is never in a window, and one that it shows
twice in autumn is in it twice. Pure, but for the zone's table, which is read from the disk once.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from worker.instants import DAY, SECOND, to_datetime

MARGIN = SECOND
"""How far from both ends of a window the first and the last call keep: a wall clock is known to 10 ms here
(:data:`worker.clock.SLIGHT`), those of two machines differ by more, and a call takes a moment to arrive."""

LOOK_AHEAD = 35 * DAY
"""How far an opening is looked for. Windows that are never open together would otherwise be searched for ever."""

LONGEST_TEXT = 200

EXAMPLE = "Mon-Fri 09:00-18:00 Europe/Vienna"

_MINUTE = 60 * SECOND
_WEEK = 7 * DAY
_MONDAY = 3 * DAY
"""The epoch was a Thursday: so much later in its week than a Monday."""

_DAYS = {name: number for number, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
_RANGE = re.compile(
    r"(?:(?P<first>[a-z]+)(?:\s*-\s*(?P<last>[a-z]+))?)?"
    r"(?:\s*(?P<begin>\d\d:\d\d)\s*-\s*(?P<end>\d\d:\d\d))?",
    re.IGNORECASE,
)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


class Window:
    """Ranges of several weeks' clocks, which must all be open; see :func:`window_of` and :func:`both`.

    Instants are microseconds by the wall clock, UTC. May be used from any thread.
    """

    def __init__(self, weeks: tuple["_Week", ...]) -> None:
        self._weeks = weeks
        # Since when and until when it is known to be open or closed: mostly the same answer as the last time.
        self._known = (0, 0, False)

    def is_open(self, instant: int) -> bool:
        """Whether a call may start at the instant."""
        return self._at(instant)[2]

    def opens_at(self, instant: int) -> int:
        """The instant itself if it is in the window, else the next opening; :data:`LOOK_AHEAD` later at the latest."""
        _, until, opened = self._at(instant)
        return instant if opened else until

    def closes_at(self, instant: int) -> int:
        """The instant itself if it is outside of the window, else the end of the window, found as far ahead."""
        _, until, opened = self._at(instant)
        return until if opened else instant

    @property
    def always_open(self) -> bool:
        """Whether it is a window without an end."""
        return all(week.covers_all for week in self._weeks)

    def _at(self, instant: int) -> tuple[int, int, bool]:
        known = self._known
        if not known[0] <= instant < known[1]:
            known = self._known = (instant, *self._look(instant))
        return known

    def _look(self, instant: int) -> tuple[int, bool]:
        # Ranges and the pauses between them are whole minutes, so the margins of two never meet.
        if self.always_open:
            return instant + LOOK_AHEAD, True
        edge = instant - MARGIN
        if self._shown(edge):
            if self._shown(instant + MARGIN):
                return self._change_after(instant + MARGIN) - MARGIN, True
            edge = self._change_after(edge)
        return min(self._change_after(edge) + MARGIN, instant + LOOK_AHEAD), False

    def _shown(self, instant: int) -> bool:
        return all(week.shows(instant) for week in self._weeks)

    def _change_after(self, instant: int) -> int:
        before, at = self._shown(instant), instant
        while self._shown(at) == before:
            at = min(week.edge_after(at) for week in self._weeks)
            if at > instant + LOOK_AHEAD:
                break
        return at


@lru_cache(maxsize=4096)
def window_of(text: str) -> Window:
    """The window that a text describes.

    ``Mon-Fri 09:00-12:00, 13:00-18:00, Sat 09:00-12:00 Europe/Vienna``: ranges between commas, then the time zone. A
    range without days takes those before it, or every day if it is the first. One whose end is before its begin goes
    on after midnight, and 24:00 is the end of a day.

    Raises:
      ValueError: it can't be read so. The text says why, and how a window looks.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"is longer than {LONGEST_TEXT} characters")
    ranges, _, zone = text.strip().rpartition(" ")
    if not ranges or not _ZONE.fullmatch(zone):
        raise ValueError(f'needs ranges and a time zone, like "{EXAMPLE}"')
    try:
        clock = ZoneInfo(zone)
    except (KeyError, OSError, ValueError):
        # ZoneInfoNotFoundError is a KeyError; a folder such as Europe is an OSError.
        # Not quoted: a secret may have been pasted in its place.
        raise ValueError(f'its time zone is unknown; give one like Europe/Vienna, as in "{EXAMPLE}"') from None
    return Window((_Week(_merged(_ranges(ranges)), clock),))


@lru_cache(maxsize=4096)
def both(one: str | None, other: str | None) -> Window | None:
    """The window that is open while each of two is; None stands for one that always is.

    Raises:
      ValueError: as :func:`window_of`.
    """
    weeks = [week for text in (one, other) if text is not None for week in window_of(text)._weeks]
    return Window(tuple(weeks)) if weeks else None


def _ranges(text: str) -> Iterable[tuple[int, int]]:
    """Begin and end of each range in microseconds of a week, which may end in the next one."""
    days: list[int] = []
    found: list[int] = []
    for part in text.split(","):
        matched = _RANGE.fullmatch(part.strip())
        if matched is None or not part.strip():
            raise ValueError(f'has a range that can\'t be read; write it like "{EXAMPLE}"')
        if matched["first"] is not None:
            days += _days(matched["first"], matched["last"] or matched["first"])
        if matched["begin"] is None:
            continue
        begin, end = _time(matched["begin"]), _time(matched["end"])
        if begin in (end, DAY):
            raise ValueError("has a range without a length; write a whole day as 00:00-24:00")
        # As those before it: `Mon-Fri 09:00-12:00, 13:00-18:00`.
        found, days = days or found or list(_DAYS.values()), []
        for day in found:
            yield day * DAY + begin, day * DAY + end + (DAY if end < begin else 0)
    if days:
        raise ValueError(f'has days without times; write them like "{EXAMPLE}"')


def _days(first: str, last: str) -> list[int]:
    try:
        begin, end = _DAYS[first.lower()], _DAYS[last.lower()]
    except KeyError:
        raise ValueError("has a day that is none of Mon, Tue, Wed, Thu, Fri, Sat and Sun") from None
    return [day % 7 for day in range(begin, begin + (end - begin) % 7 + 1)]


def _time(text: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise ValueError("has a time of day that is not within 00:00 and 24:00")
    return (hours * 60 + minutes) * _MINUTE


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges in order, none touching the next, cut at the end of the week."""
    cut = []
    for begin, end in ranges:
        cut.append((begin, min(end, _WEEK)))
        if end > _WEEK:
            cut.append((0, end - _WEEK))
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(cut):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


class _Week:
    """Ranges of a week by one zone's clock; ``edges`` are where it opens and closes in turn, beginning with Monday."""

    def __init__(self, ranges: list[tuple[int, int]], zone: ZoneInfo) -> None:
        self._edges = [edge for each in ranges for edge in each]
        self._zone = zone
        self.covers_all = ranges == [(0, _WEEK)]

    def shows(self, instant: int) -> bool:
        """Whether the zone's clock shows a time within a range."""
        return bisect_right(self._edges, self._place(instant, self._offset(instant))) % 2 == 1

    def edge_after(self, instant: int) -> int:
        """The next instant at which a range may begin or end, a day later at the latest."""
        offset = self._offset(instant)
        place = self._place(instant, offset)
        edge = next((edge for edge in self._edges if edge > place), _WEEK)
        later = instant + min(edge - place, DAY)
        return self._turn_of_the_clock(instant, later) if self._offset(later) != offset else later

    def _turn_of_the_clock(self, before: int, after: int) -> int:
        # No zone's clock is put forward and back within a day.
        offset = self._offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after

    def _offset(self, instant: int) -> int:
        offset = to_datetime(instant).astimezone(self._zone).utcoffset()
        assert offset is not None
        return offset // timedelta(microseconds=1)

    @staticmethod
    def _place(instant: int, offset: int) -> int:
        return (instant + offset + _MONDAY) % _WEEK
