"""The jobs that have ended, by the day of their end: the memory store's share of the ledger that lasts.

Nothing here locks or reads a clock; the store does both.
"""

from typing import Literal

from worker.model.outcomes import OUTCOMES, Outcome

# One is held for each finished job: CPython keeps a single object of each small number.
_CODES = {outcome: code for code, outcome in enumerate(OUTCOMES)}
_UNCALLED: dict[int, Literal["expired", "cancelled"]] = {
    _CODES["expired"]: "expired",
    _CODES["cancelled"]: "cancelled",
}


class FinishedJobs:
    """How each job ended, for ``retention_days`` after the day of its end; with 0 nothing is remembered.

    Jobs are named by the 16 bytes of their id. A job can be here twice: it ended without a call, and another copy of it
    was called later.
    """

    def __init__(self, retention_days: int) -> None:
        self._retention_days = retention_days
        self._days: dict[int, dict[bytes, int]] = {}

    def is_done(self, job: bytes) -> bool:
        """Whether the job has a final result of a call. Such a job is never called again."""
        for ended in self._days.values():
            code = ended.get(job)
            if code is not None and code not in _UNCALLED:
                return True
        return False

    def uncalled_as(self, job: bytes) -> Literal["expired", "cancelled"] | None:
        """How the job ended without a call; None if it did not."""
        found: Literal["expired", "cancelled"] | None = None
        for ended in self._days.values():
            code = ended.get(job)
            if code is not None:
                found = _UNCALLED.get(code, found)
        return found

    def remember(self, job: bytes, outcome: Outcome, today: int) -> None:
        """Add a job that ended ``today``, a number of days since the epoch. The first of a day forgets old days."""
        if not self._retention_days:
            return
        ended = self._days.get(today)
        if ended is None:
            ended = self._days[today] = {}
            for day in [day for day in self._days if day < today - self._retention_days]:
                del self._days[day]
        ended[job] = _CODES[outcome]
