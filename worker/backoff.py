"""Pauses between attempts to reach RabbitMQ."""

import random


class Backoff:
    """Seconds to wait before the next attempt: from ``first``, doubling up to ``longest``.

    Each is shortened at random by up to half: a fleet that lost its broker in one instant doesn't return in one.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._whole = first

    def next(self) -> float:
        """The pause after one more failure."""
        pause = self._whole * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        self._whole = min(self._whole * 2, self._longest)
        return pause

    def reset(self) -> None:
        """It worked: the next failure is the first again."""
        self._whole = self._first
