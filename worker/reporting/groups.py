"""Results by a name that comes from outside, such as their shop, and by outcome. Pure."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from worker.model.outcomes import OUTCOMES, Outcome

OTHER: Final = "(other)"
"""Stands for all names beyond the most that are kept; no shop, channel or code looks like it."""


class Groups:
    """Counts results by name, in bounded memory: the first ``most`` names each by itself, all others together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: dict[str, Counter[Outcome]] = {}

    def add(self, name: str, outcome: Outcome) -> None:
        """Count a result."""
        counts = self._counts.get(name)
        if counts is None:
            if len(self._counts) >= self._most:
                name = OTHER
            counts = self._counts.setdefault(name, Counter())
        counts[outcome] += 1

    def largest(self, most: int) -> Iterator[tuple[str, dict[Outcome, int]]]:
        """The ``most`` names with the most results, those first, and what all others come to as the last.

        Names with as many results are in the order of the alphabet.
        """
        rest: Counter[Outcome] = Counter()
        for number, (name, counts) in enumerate(
            sorted(self._counts.items(), key=lambda item: (item[0] == OTHER, -item[1].total(), item[0]))
        ):
            if number < most and name != OTHER:
                yield name, {outcome: counts[outcome] for outcome in OUTCOMES}
            else:
                rest += counts
        if rest:
            yield OTHER, {outcome: rest[outcome] for outcome in OUTCOMES}
