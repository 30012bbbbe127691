"""What the cells of a row tell about consent. Pure.

Cells are compared without case and outer spaces; what databases write for no value is blank. What isn't known is never
taken for consent.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from worker.campaigns.cell_text import folded
from worker.campaigns.reject_reasons import RejectReason


class ByValue(NamedTuple):
    """What each value of ``column`` means: a reason, or None if it is no obstacle; ``otherwise`` for all others.

    Values are spelled in lower case; a blank cell is "".
    """

    column: str
    verdicts: Mapping[str, RejectReason | None]
    otherwise: RejectReason

    @property
    def columns(self) -> Sequence[str]:
        return (self.column,)

    @property
    def needed(self) -> Sequence[str]:
        """The columns without which it would veto every row."""
        return () if self.verdicts.get("", self.otherwise) is None else self.columns

    def judge(self, cells: Sequence[str], first: int) -> RejectReason | None:
        """The reason by the cell at ``first``; None if there is none."""
        return self.verdicts.get(folded(cells[first]), self.otherwise)


class ByDates(NamedTuple):
    """Consent by two times: there is an opt-in, and no opt-out that is as new or newer, or that can't be read."""

    opted_in: str
    opted_out: str

    @property
    def columns(self) -> Sequence[str]:
        return (self.opted_in, self.opted_out)

    @property
    def needed(self) -> Sequence[str]:
        """The columns without which it would veto every row."""
        return (self.opted_in,)

    def judge(self, cells: Sequence[str], first: int) -> RejectReason | None:
        """The reason by the cells at ``first`` and after it; None if there is none."""
        opted_in, opted_out = _time(cells[first]), folded(cells[first + 1])
        if opted_in is None:
            return "no_consent"
        if not opted_out:
            return None
        left = _time(cells[first + 1])
        return None if left is not None and opted_in > left else "no_consent"


Rule = ByValue | ByDates


def _time(cell: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(cell.strip())
    except ValueError:
        return None
    # Times without a zone are all of one zone within an export, so that any serves to compare them.
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
