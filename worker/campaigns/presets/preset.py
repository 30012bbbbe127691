"""What is known about the exports of one tool."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from worker.campaigns.presets.rules import Rule


@dataclass(frozen=True)
class Preset:
    """The exports of one tool. Names of columns count without case, spaces and punctuation.

    ``signatures``: an export with all columns of one of these is the tool's. The second and further ones recognise an
    export from which somebody removed the columns of the first, so that it isn't taken for one without consent rules.
    ``fields``: the names that the column of a canonical field may have, the first one there counts. ``rules`` are asked
    in this order, as far as their columns are there; the first that has a reason gives the row's. ``telling``: sets of
    columns, one of which must be there whole, or the export doesn't tell consent; empty if the tool's exports never do.
    ``sms``: rules that count beside the others in rows whose channel is sms.
    """

    name: str
    signatures: Sequence[Collection[str]]
    fields: Mapping[str, Sequence[str]]
    rules: Sequence[Rule] = ()
    telling: Sequence[Collection[str]] = ()
    sms: Sequence[Rule] = ()
    status: Literal["column", "file name"] = "column"
    """Where the status of all rows stands: in no column, if it is in the file's name (see :mod:`.file_status`)."""
    headerless: re.Pattern[str] | None = None
    """The names of files without a header. Their columns get the names of :meth:`header`."""
    suppression: bool = False
    """The export is a list of people who must not be written to. It makes no jobs; see :mod:`.suppression`."""

    @property
    def first_column(self) -> str:
        """The name that the first column of a file without a header gets."""
        return f"{self.name} subscriber"

    def header(self, width: int) -> Sequence[str]:
        """The names of the columns of a file without a header."""
        return [self.first_column, *(f"{self.name} {number}" for number in range(2, width + 1))]
