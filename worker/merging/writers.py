"""What the writers of merged exports share: what they are given, and what they count."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, Protocol

from worker.errors import InputError
from worker.merging.merged_rows import MergedRow

AsItWas = Literal["open quotes", "surplus cells", "unreadable"]
"""Why nothing is appended to a row: its quotes are open, it has more cells than the header, or it is no object."""


@dataclass
class Remarks:
    """What a person should know of the merged exports.

    ``as_it_was`` counts the rows that nothing was appended to by why, and ``first`` has a name and line of each.
    ``substituted`` counts the rows with a letter that the export's encoding doesn't have.
    """

    as_it_was: Counter[AsItWas] = field(default_factory=Counter)
    first: dict[AsItWas, str] = field(default_factory=dict)
    substituted: int = 0

    def leave(self, why: AsItWas, row: MergedRow) -> None:
        """Count a row that nothing is appended to."""
        self.as_it_was[why] += 1
        self.first.setdefault(why, f"{row.export.file.name}, line {row.record.line}")


class Writer(Protocol):
    """Writes one export with its appended columns."""

    def write(self, rows: Iterator[MergedRow], out: BinaryIO) -> None:
        """Write the export's rows, all of them and in their order, with everything that stands between them.

        Raises:
          UsageError: the export has one of the appended columns already.
          InputError: the export can't be read, or nothing can be put into its text.
          OSError: the disk is full or broken.
        """
        ...


def not_in_step(name: str) -> InputError:
    """The bytes of an export and its rows don't fit together, so a result could come into another's row."""
    return InputError(
        f"{name}: changed while it was read, or its lines can't be told apart by their bytes; run the same command "
        "again, or export it in UTF-8"
    )
