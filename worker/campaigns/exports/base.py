"""What every export format provides: its columns, and its rows one at a time."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.presets.recognised import Recognised
from worker.campaigns.reject_reasons import RejectReason

Format = Literal["csv", "json", "xlsx"]
"""Kinds of files that exports are; ``csv`` is every text whose cells a character separates."""


# A named tuple, since its cells are picked by index, joined and sliced for every row.
class Values(NamedTuple):
    """The cells of a row that a job is made of, trimmed; empty if the row or the export has none."""

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
"""The canonical columns. ``consent`` is none of them: it has the columns of ``--consent`` and those of the preset."""


class Record(NamedTuple):
    """One row. ``line`` is the physical line where it starts, from 1; ``values`` is None for a row that is rejected.

    ``cells`` is the row as it is in the export, in the order of ``Export.columns``, for the rejects file. A row that
    can't be taken apart has fewer cells, mostly one that holds the line. ``flaw`` is the reason of a rejected row.
    ``lines`` is how many physical lines it has; 0 if it is one of several lines that may be one row.
    """

    line: int
    values: Values | None
    cells: Sequence[str]
    flaw: RejectReason = "unreadable_row"
    lines: int = 1


class Export(Protocol):
    """A file whose header has been matched. Its rows may be read several times."""

    @property
    def file(self) -> ExportFile: ...

    @property
    def columns(self) -> Sequence[str]:
        """The export's columns in its own spelling and order, with repeated and empty names."""
        ...

    @property
    def format(self) -> Format:
        """What kind of file it is."""
        ...

    @property
    def encoding(self) -> str:
        """The encodings met so far, such as ``utf-8`` or ``utf-8, windows-1252``."""
        ...

    @property
    def delimiter(self) -> str:
        """What separates the cells; empty if the format has no such character."""
        ...

    @property
    def recognised(self) -> Recognised:
        """What the export was recognised as, and what it tells about the consent of its rows."""
        ...

    @property
    def preset(self) -> str | None:
        """The name of its preset; None if it is of no known tool."""
        ...

    def row_of(self, line: int) -> int:
        """The row in which a spreadsheet shows a line of the records read so far; the line, if it is in no table."""
        ...

    def records(self) -> Iterator[Record]:
        """The rows from the first one, without blank ones. Reads the file meanwhile, and holds a few rows at a time.

        Raises:
          InputError: the file can't be read any further.
        """
        ...
