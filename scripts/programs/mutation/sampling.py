"""Which mutants of some files are tried."""

import random
from collections.abc import Mapping
from typing import Protocol

from scripts.programs.mutation.mutant import Mutant


class Source(Protocol):
    """A file that can be changed."""

    @property
    def lines(self) -> list[int]:
        """The lines that can be changed."""

    def mutant(self, line: int, chance: random.Random) -> Mutant:
        """One of the changes that can be made there."""


def sample(sources: Mapping[str, Source], count: int, chance: random.Random) -> list[Mutant]:
    """As many mutants of different lines, or all lines where there are fewer; by the same chance the same."""
    places = [(path, line) for path, source in sources.items() for line in source.lines]
    return [sources[path].mutant(line, chance) for path, line in chance.sample(places, min(count, len(places)))]
