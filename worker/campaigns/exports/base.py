"""What every export format gives: its columns, and its rows one at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from worker.campaigns.rejects_file import RejectReason


class Values(NamedTuple):
    """The cells of a row that a job is made of, trimmed; empty where the row or the export has none."""

    customer_email: str
    customer_shopid: str
    customer_bhid: str
    channel: str
    destination: str
    sender: str
    reference: str
    shop: str
    consent: Sequence[str]


FIELDS: tuple[str, ...] = Values._fields[:-1]
"""The canonical columns; ``consent`` is no column of its own but those that ``--consent`` names, in that order."""


class Record(NamedTuple):
    """One row. ``line`` is the physical line it starts in, from 1; ``values`` is None where it can't be taken.

    ``cells`` is the row as the export has it, for the rejects file: in the order of ``Export.columns``. Of a row that
    can't be taken apart they are fewer, mostly one with the text of a line. ``flaw`` is then why.
    """

    line: int
    values: Values | None
    cells: Sequence[str]
    flaw: RejectReason = "unreadable_row"


class Export(Protocol):
    """A file whose header has been understood; its rows may be read more than once."""

    @property
    def path(self) -> Path: ...

    @property
    def columns(self) -> Sequence[str]:
        """The export's own columns as it spells them, in its order; repeated and empty names included."""
        ...

    def records(self) -> Iterator[Record]:
        """The rows from the first one, blank ones left out. Reads the file as it goes and holds a few rows at a time.

        Raises:
          InputError: the file can't be read any further.
        """
        ...
