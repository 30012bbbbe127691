"""Jobs of campaigns that have a pace of their own: a few of each ask for a call, and the others wait where they are.

A job that is turned away has a place in its campaign's line. Only those few have one in a process, so that no place is
given to a job that has to be moved away.

Pure: no I/O, no thread, no clock. Runs on the consumer's thread.
"""

from typing import NamedTuple

from worker.instants import SECOND

MOST_IN_LINE = 4
"""Jobs of a campaign that ask or wait for their places in a process. At 40 calls a second they reach 100 ms ahead."""

FORGOTTEN_AFTER = SECOND
"""How long after its place a job is still counted that has left by another way, such as a lost connection."""


class Line(NamedTuple):
    """Of which shop and campaign, under which pace: under another one it begins anew."""

    shop: str
    campaign: str
    interval: int
    per_day: int


class PaceLines:
    """Who is in which line, by job id, and until when none of a campaign may ask.

    ``most`` bounds the jobs of one shop that are in lines and in the way of its others, and those of one line.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_in_line = min(MOST_IN_LINE, most)
        # Until when each counts, and whether it is in the way of others.
        self._lines: dict[Line, dict[str, tuple[int, bool]]] = {}
        self._closed: dict[Line, int] = {}
        self._resting: dict[Line, int] = {}

    def closed_until(self, line: Line) -> int:
        """Until when the campaign has had the calls of its day; a time that has passed if it has not."""
        return self._closed.get(line, 0)

    def opened(self, shop: str | None, now: int) -> int:
        """When the last campaign of the shop, None: of any, could go on with a new day; 0 for none so far."""
        closed = self._closed.items()
        return max((until for line, until in closed if until <= now and shop in {None, line.shop}), default=0)

    def opens_at(self, now: int) -> int | None:
        """When the next campaign may go on with a new day; None for none."""
        return min((until for until in self._closed.values() if until > now), default=None)

    def rests_until(self, line: Line) -> int:
        """Until when none of the campaign without a place may ask; a time that has passed if one may."""
        return self._resting.get(line, 0)

    def enters(self, line: Line, job_id: str, now: int, *, apart: bool) -> bool:
        """Whether the job may ask: it has a place already, or there is room in the line. ``apart``: it is in no other
        job's way.
        """
        jobs = self._lines.setdefault(line, {})
        if job_id not in jobs:
            for other in [other for other, (until, _) in jobs.items() if until <= now]:
                del jobs[other]
            if len(jobs) >= self._most_in_line or not (apart or self._has_room(line.shop, now)):
                return False
        jobs[job_id] = now + FORGOTTEN_AFTER, not apart
        return True

    def waits(self, line: Line, job_id: str, until: int) -> None:
        """The job has a place, for which it asks at ``until``."""
        jobs = self._lines.setdefault(line, {})
        _, in_the_way = jobs.get(job_id, (0, False))
        jobs[job_id] = until + FORGOTTEN_AFTER, in_the_way

    def rest(self, line: Line, job_id: str, until: int) -> None:
        """The job has no place, and no other would get one before ``until``."""
        self.leaves(line, job_id)
        self._resting[line] = until

    def close(self, line: Line, job_id: str, until: int) -> None:
        """The campaign has had the calls of its day, which ends then."""
        self.leaves(line, job_id)
        # Nobody asks by an earlier pace of it any more.
        for closed in (self._closed, self._resting):
            for other in [other for other in closed if other[:2] == line[:2]]:
                del closed[other]
        self._closed[line] = until

    def leaves(self, line: Line, job_id: str) -> None:
        """The job has its call, or has gone elsewhere."""
        jobs = self._lines.get(line)
        if jobs is not None:
            jobs.pop(job_id, None)
            if not jobs:
                del self._lines[line]

    def _has_room(self, shop: str, now: int) -> bool:
        in_lines = (jobs.values() for line, jobs in self._lines.items() if line.shop == shop)
        return sum(in_the_way and until > now for jobs in in_lines for until, in_the_way in jobs) < self._most
