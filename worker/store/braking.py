"""What trips a campaign's brake, for both stores. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from worker.model.campaign_orders import Brake
from worker.model.outcomes import Outcome

LONGEST_WINDOW = 1_000
"""Results that a brake may look back at: each takes a byte in the store, which is read and written with each result."""

_PASSING = re.compile(
    r"http_(?:408|425|429|5\d\d)|connection(?:_lost)?|timeout|unreadable_answer|unanswered|unverified|interrupted"
)
"""The codes of jobs that failed since Refer2, or the way to it, did at each of their attempts."""


@dataclass(frozen=True, slots=True)
class Braking:
    """A brake for which a job's result counts. ``held`` is called, on any thread, once the campaign is held by it."""

    brake: Brake
    held: Callable[[], None]


def code_counted(outcome: Outcome, code: str | None) -> str | None:
    """What a result counts as: the code of a bad one, empty for a good one, None for one that doesn't count.

    A job that was not called, or of which nobody knows, says nothing about its campaign; nor does passing trouble of
    Refer2's, which is not the list's.
    """
    if outcome == "sent":
        return ""
    if outcome == "rejected" or (outcome == "failed" and not _PASSING.fullmatch(code or "")):
        return code or outcome
    return None


def is_over(bad: int, brake: Brake) -> bool:
    """Whether so many bad results of a full window are more than the brake allows."""
    return bad * 100 > brake.share * brake.window


def braked_reason(bad: int, window: int, code: str, of_code: int) -> str:
    """What the order says that holds the campaign."""
    return f"{bad} of the last {window} results are rejected or failed, {of_code} of them {code}"
