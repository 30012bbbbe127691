"""Results over time: how many ended in each second, minute, hour or day, by outcome. Pure."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.instants import in_utc
from worker.model.outcomes import OUTCOMES, Outcome

MINUTE, HOUR, DAY = 60, 3600, 86_400
WEEK: Final = 7 * DAY

MOST_SPANS: Final = 48
"""Spans of a timeline. As columns of a chart they are still apart on a screen of 400 pixels."""

_STEPS: Final = (1, 5, 15, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, DAY, WEEK)
"""Seconds of a span; each is a multiple of the one before it, so that spans can be put together."""

_MONDAY: Final = datetime(1, 1, 1, tzinfo=UTC)
"""The first day that there can be, and a Monday: weeks begin there, and days begin at midnight in UTC."""


_EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""Before this, no result can have ended: a machine without a clock starts in 1970."""

_AHEAD: Final = timedelta(days=1)
"""How far the clock of a worker may be ahead of ours."""


class Timeline:
    """Counts results by when they ended. Spans are as short as :data:`MOST_SPANS` of them allow, a second at least.

    ``step`` is the length of a span in seconds. The spans depend on the first and the last result alone, whatever the
    order in which they come. A time that can't be right is counted in ``outside`` and in no span: one result of the
    year 1970 would push all others into one column.
    """

    def __init__(self, now: datetime) -> None:
        self.step = _STEPS[0]
        self.outside: Counter[Outcome] = Counter()
        self._latest = in_utc(now) + _AHEAD
        self._counts: dict[int, Counter[Outcome]] = {}
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, at: datetime, outcome: Outcome) -> None:
        """Count a result that ended at this time, which has a zone."""
        at = in_utc(at)
        if not _EARLIEST <= at <= self._latest:
            self.outside[outcome] += 1
            return
        if self.first is None or self.last is None:
            self.first = self.last = at
        elif at < self.first:
            self.first = at
            self._coarsen(at, self.last)
        elif at > self.last:
            self.last = at
            self._coarsen(self.first, at)
        key = _seconds(at) // self.step
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = Counter()
        counts[outcome] += 1

    def spans(self) -> Iterator[tuple[datetime, dict[Outcome, int]]]:
        """The beginning of each span in UTC and its results by outcome, from the first to the last, empty ones too."""
        if not self._counts:
            return
        for key in range(min(self._counts), max(self._counts) + 1):
            counts = self._counts.get(key, Counter())
            yield _MONDAY + timedelta(seconds=key * self.step), {outcome: counts[outcome] for outcome in OUTCOMES}

    def _coarsen(self, first: datetime, last: datetime) -> None:
        begin, end = _seconds(first), _seconds(last)
        while end // self.step - begin // self.step >= MOST_SPANS:
            longer = next((step for step in _STEPS if step > self.step), 2 * self.step)
            merged: dict[int, Counter[Outcome]] = {}
            for key, counts in self._counts.items():
                merged.setdefault(key // (longer // self.step), Counter()).update(counts)
            self.step, self._counts = longer, merged


def _seconds(at: datetime) -> int:
    since = at - _MONDAY
    return since.days * DAY + since.seconds
