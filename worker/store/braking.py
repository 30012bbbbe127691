"""What trips a campaign's brake, for both stores. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.model.campaign_orders import Brake
from worker.model.outcomes import Outcome

LONGEST_WINDOW = 1_000
"""Results that a brake may look back at: each takes a byte in the store, which is read and written with each result."""

GOOD: frozenset[Outcome] = frozenset({"sent", "unknown"})
BAD: frozenset[Outcome] = frozenset({"rejected", "failed"})
"""The outcomes of calls. Those that ended without one say nothing about the campaign. An outage's throttles and repeats
are no results, and the breaker closes the shop before its jobs would fail."""


@dataclass(frozen=True, slots=True)
class Braking:
    """A brake for which a job's result counts. ``held`` is called, on any thread, once the campaign is held by it."""

    brake: Brake
    held: Callable[[], None]


def is_over(bad: int, brake: Brake) -> bool:
    """Whether so many bad results of a full window are more than the brake allows."""
    return bad * 100 > brake.share * brake.window


def braked_reason(bad: int, window: int, code: str, of_code: int) -> str:
    """What the order says that holds the campaign."""
    return f"{bad} of the last {window} results are rejected or failed, {of_code} of them {code}"
