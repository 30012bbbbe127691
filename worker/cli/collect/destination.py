"""Where collected results go to, and the counts of what came."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Protocol

from worker.errors import DeadLetterError
from worker.model.names import campaign_key
from worker.model.outcomes import Outcome
from worker.model.result import Result, check_result
from worker.text.bounds import RESULT, loads

Body = tuple[int, bytes]
"""A result as RabbitMQ delivered it: its delivery tag and its body."""

MOST_CODES = 1000
"""Codes, and campaigns, that are counted by themselves."""


@dataclass
class Tally:
    """What came since the command was started. ``codes`` counts results that have a code, by outcome and code;
    ``campaigns`` counts results by the :func:`~worker.model.names.campaign_key` of their campaign. Of both the first
    :data:`MOST_CODES` kinds are counted."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    codes: Counter[tuple[Outcome, str]] = field(default_factory=Counter)
    campaigns: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    superseding: int = 0
    unreadable: int = 0
    rehearsed: int = 0

    def count(self, outcome: Outcome, code: str | None, campaign: str, *, superseding: bool, rehearsed: bool) -> None:
        """Count a result that is kept."""
        self.outcomes[outcome] += 1
        # A code is data from outside: of more kinds than any shop has, the rest is in the results alone.
        if code is not None and ((outcome, code) in self.codes or len(self.codes) < MOST_CODES):
            self.codes[outcome, code] += 1
        campaign = campaign_key(campaign)
        if campaign in self.campaigns or len(self.campaigns) < MOST_CODES:
            self.campaigns[campaign] += 1
        self.superseding += superseding
        self.rehearsed += rehearsed


class Destination(Protocol):
    """Keeps results, each job once. Used by one thread, and every method may block."""

    tally: Tally

    def open(self) -> None:
        """See that results can be taken; called before RabbitMQ is asked for any, at the start and after each failure.

        Raises:
          ReferralError: they can't; :class:`~worker.errors.DatabaseError` if that may change by itself.
        """
        ...

    def take(self, bodies: list[Body]) -> list[int]:
        """Keep a batch for good; returns the tags of what is no result.

        What is acknowledged after this can't get lost.

        Raises:
          ReferralError: as :meth:`open`; whether any of it is kept is then unknown.
        """
        ...

    def close(self) -> None:
        """Let go of the file or the connection."""
        ...

    def summary(self) -> tuple[str, dict[str, Any]]:
        """Where the results are: as a person reads it, and as keys for the summary in JSON."""
        ...


def parsed(body: bytes) -> tuple[dict[str, Any], Result] | None:
    """The result in a body, as its parsed JSON and as a model; None if it is no valid result of this schema."""
    # A newer schema might use the same names for other things, so its results wait in the dead queue for a newer
    # collect. A result under another job's id is refused too: that job's own result would be dropped as repeated.
    try:
        document: dict[str, Any] = loads(body, RESULT)
        return document, check_result(document)
    except (ValueError, DeadLetterError):
        return None
