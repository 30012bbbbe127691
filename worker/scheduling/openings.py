"""When windows open for jobs that wait in the held lane, by shop, as far as a process has met them.

Pure: no I/O, no thread, no clock. All instants are of the wall clock, by which windows go. Runs on the consumer's
thread.
"""

from bisect import bisect_left

MOST_COMING = 1_000
"""Openings of a shop that are known; producers choose their jobs' windows. Its lane is looked through at each."""


class Openings:
    """What is to come, and when the last one was."""

    def __init__(self) -> None:
        self._coming: dict[str, list[int]] = {}
        self._last: dict[str, int] = {}

    def expect(self, shop: str, opens_at: int) -> None:
        """Jobs of the shop wait until then."""
        coming = self._coming.setdefault(shop, [])
        place = bisect_left(coming, opens_at)
        if place == len(coming) or coming[place] != opens_at:
            coming.insert(place, opens_at)
            del coming[MOST_COMING:]

    def last(self, shop: str, now: int) -> int:
        """When the last one was; 0 for none. A job that was looked at since then says that none behind it may go."""
        self._pass(shop, now)
        last = self._last.get(shop, 0)
        # One that is still to come was passed by a clock that has been set back.
        return last if last <= now else 0

    def next(self, shop: str) -> int | None:
        """When the next one is; None for none."""
        return next(iter(self._coming.get(shop, ())), None)

    def pass_due(self, now: int) -> bool:
        """Whether there was one, at any shop, since this or :meth:`last` was asked."""
        passed = [self._pass(shop, now) for shop in self._coming]
        return any(passed)

    def _pass(self, shop: str, now: int) -> bool:
        coming = self._coming.get(shop) or []
        passed = bisect_left(coming, now + 1)
        if passed:
            self._last[shop] = coming[passed - 1]
            del coming[:passed]
        return passed > 0
