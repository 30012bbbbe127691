"""Cells that a spreadsheet would take for a formula, made harmless in the CSV files that we write, and back.

Excel and its like compute what begins with ``=``, ``+``, ``-`` or ``@``, also after a tab or a line end, and in wide
forms. A customer chooses a name, a shop a text; whoever opens the file would run it. So a cell that begins with one of
these gets an apostrophe in front. One that begins with an apostrophe gets another, so that taking one apostrophe away
from every cell that begins with one gives all cells back as they were.
"""

from collections.abc import Iterable, Sequence

REJECTS = ("line", "reason")
RESULTS = ("line", "reference", "shop", "customer_email")
"""What the header of a file of ours begins with: of rejected rows, of results."""

_APOSTROPHE = "'"
_BEGINNINGS = tuple("=+-@\t\r\n＝＋－＠" + _APOSTROPHE)


def harmless(cell: str) -> str:
    """The cell as it is written."""
    return _APOSTROPHE + cell if cell.startswith(_BEGINNINGS) else cell


def is_ours(header: Sequence[str]) -> bool:
    """Whether a file with this header was written so; one from elsewhere keeps its apostrophes."""
    return any(tuple(header[: len(first)]) == first for first in (REJECTS, RESULTS))


def verbatim(cells: Iterable[str]) -> list[str]:
    """The cells of a row that was written so, as they were."""
    return [cell.removeprefix(_APOSTROPHE) for cell in cells]
