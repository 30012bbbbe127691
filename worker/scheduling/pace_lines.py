"""Jobs of campaigns that have a pace of their own: a few of each ask for a call, and the others wait where they are.

A job that is turned away has a place in its campaign's line. Only those few have one in a process, so that no place is
given to a job that has to be moved away.

Pure: no I/O, no thread, no clock. Runs on the consumer's thread.
"""

from worker.instants import SECOND
from worker.scheduling.set_aside import LONGEST_ASIDE

MOST_IN_LINE = 4
"""Jobs of a campaign that ask or wait for their places in a process. At 40 calls a second they reach 100 ms ahead."""

FORGOTTEN_AFTER = SECOND
"""How long after its place a job is still counted that has left by another way, such as a lost connection."""

Key = tuple[str, str]
"""A shop, and a campaign of it."""


class PaceLines:
    """Who is in which line, by job id, and until when a campaign may not go at all, since its day is used up."""

    def __init__(self) -> None:
        self._lines: dict[Key, dict[str, int]] = {}
        self._closed: dict[Key, int] = {}

    def closed_until(self, key: Key) -> int:
        """Until when no job of the campaign may go; a time that has passed if they may."""
        return self._closed.get(key, 0)

    def opened(self, now: int) -> int:
        """When the last campaign that was closed could go on again; 0 for none so far."""
        return max((until for until in self._closed.values() if until <= now), default=0)

    def opens_at(self, now: int) -> int | None:
        """When the next campaign that is closed may go on; None for none."""
        return min((until for until in self._closed.values() if until > now), default=None)

    def enters(self, key: Key, job_id: str, now: int) -> bool:
        """Whether the job may ask: it has a place already, or there is room in the line."""
        line = self._lines.setdefault(key, {})
        if job_id not in line and len(line) >= MOST_IN_LINE:
            for other in [other for other, until in line.items() if until <= now]:
                del line[other]
            if len(line) >= MOST_IN_LINE:
                return False
        line[job_id] = now + FORGOTTEN_AFTER
        return True

    def waits(self, key: Key, job_id: str, now: int, until: int) -> bool:
        """The job has a place, for which it asks at ``until``; False if that is too long to wait for in memory."""
        if until > now + LONGEST_ASIDE:
            self._closed[key] = max(until, self.closed_until(key))
            self.leaves(key, job_id)
            return False
        self._lines.setdefault(key, {})[job_id] = until + FORGOTTEN_AFTER
        return True

    def leaves(self, key: Key, job_id: str) -> None:
        """The job has its call, or has gone elsewhere."""
        line = self._lines.get(key)
        if line is not None:
            line.pop(job_id, None)
            if not line:
                del self._lines[key]
