"""The figures of a campaign: what became of its jobs, counted once for the page and for ``--json`` alike. Pure.

Every figure is about results, each job once, by the run of it that counts. The outcomes of every breakdown (by code,
shop, channel, time) add up to the number of jobs; only those by run count a job in each of its runs. Jobs without a
result are none of these.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from worker.model.codes import explain
from worker.model.explanation import Explanation
from worker.model.outcomes import OUTCOMES, Outcome
from worker.model.rehearsal import is_rehearsed
from worker.reporting.groups import OTHER, Groups
from worker.reporting.latency import Latency
from worker.reporting.messages import Messages
from worker.reporting.timeline import Timeline

MOST_CODES: Final = 1000
MOST_SHOPS: Final = 10_000
MOST_CHANNELS: Final = 1000
MOST_RUNS: Final = 1000
"""Names of each kind that are told apart. More can only come from a file that somebody made up."""

TOO_MANY: Final = 10
"""Attempts from which on jobs are counted together."""


class Figures:
    """Counts results. Memory is bounded whatever the results hold, by some 30 MB."""

    def __init__(self, now: datetime) -> None:
        """``now`` is the time of the report: no result can have ended long after it."""
        self.outcomes: Counter[Outcome] = Counter()
        self.rehearsed = 0
        self.codes = Groups(MOST_CODES)
        self.shops = Groups(MOST_SHOPS)
        self.channels = Groups(MOST_CHANNELS)
        self.runs = Groups(MOST_RUNS)
        self.timeline = Timeline(now)
        self.latency = Latency()
        self.attempts: Counter[int] = Counter()
        self.calls = 0
        self.share_actions = 0
        self.messages = Messages()

    @property
    def jobs(self) -> int:
        """How many results were counted: one for each job that has ended."""
        return self.outcomes.total()

    def add(self, result: Mapping[str, Any], *, superseded: bool = False) -> None:
        """Count a result, given as its parsed JSON.

        ``superseded``: another run of its job counts. Then it counts among its own run's only, and its calls were made.
        """
        outcome: Outcome = result["outcome"]
        code: str | None = result.get("code")
        self.runs.add(str(result.get("run") or 0), outcome)
        attempts = result["attempts"]
        self.calls += attempts
        if superseded:
            return
        self.outcomes[outcome] += 1
        self.rehearsed += is_rehearsed(result)
        if code is not None:
            self.codes.add(code, outcome)
        self.shops.add(result["shop"], outcome)
        self.channels.add(result["channel"], outcome)
        self.timeline.add(datetime.fromisoformat(result["finished_at"]), outcome)
        latency = result.get("latency_seconds")
        if latency is not None:
            self.latency.add(latency)
        self.attempts[min(attempts, TOO_MANY)] += 1
        self.share_actions += result.get("share_action") is not None
        message = result.get("message")
        if message:
            self.messages.add(message, outcome, code)

    def by_code(self, most: int) -> list[tuple[Outcome, str, int, Explanation]]:
        """Outcome, code, results and what they mean, the most common first; codes beyond ``most`` come together."""
        rows = [
            (outcome, code, number, _told(outcome, code))
            for code, counts in self.codes.largest(most)
            for outcome, number in counts.items()
            if number
        ]
        return sorted(rows, key=lambda row: (row[1] == OTHER, -row[2], row[1], OUTCOMES.index(row[0])))


def _told(outcome: Outcome, code: str) -> Explanation:
    return explain(outcome, code if code != OTHER else None)
