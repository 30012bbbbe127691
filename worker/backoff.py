"""Pauses between attempts that failed: each twice as long as the one before, up to a bound."""

import random
from typing import TypeVar

Duration = TypeVar("Duration", int, float)

# 2 to the power of 40 seconds is 35,000 years: beyond it a pause only grows towards an overflow.
_MOST_DOUBLINGS = 40


def doubling_pause(failures: int, first: Duration, longest: Duration) -> Duration:
    """The pause after so many failures in a row (from 1): ``first``, doubled by each further one up to ``longest``.

    Pure, in whatever unit the bounds have. Without jitter: a caller whose pauses many processes start at the same
    moment uses :class:`Backoff`, or spreads them itself.
    """
    return min(first * (1 << min(failures - 1, _MOST_DOUBLINGS)), longest)


class Backoff:
    """Seconds to wait before the next attempt to reach a server: from ``first``, doubled up to ``longest``.

    Each pause is shortened at random by up to half, so that a fleet that lost its broker in one instant does not return
    in one. Never sleeps itself; belongs to one thread.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def next(self) -> float:
        """Count one more failure and return the pause after it."""
        self._failures += 1
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        return doubling_pause(self._failures, self._first, self._longest) * jitter

    def reset(self) -> None:
        """An attempt succeeded: the next failure counts as the first."""
        self._failures = 0
