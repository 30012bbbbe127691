r"""Cells of the CSV files that we write, made harmless for spreadsheets and terminals, and back.

Excel and its like compute what begins with ``=``, ``+``, ``-`` or ``@``, also in wide forms. A customer chooses a name,
a shop a text; whoever opens the file would run it. So a cell that begins with one of these gets an apostrophe in
front. One that begins with an apostrophe gets another, so that taking one apostrophe away from every cell that begins
with one gives all cells back as they were. A program that splits at ``;`` cuts cells in two: what would begin so after
a ``;``, spaces, quotes and apostrophes in between, gets an apostrophe after it too.

What can't be seen (line ends, escape sequences, bidirectional controls) is written as escapes, see
:func:`worker.text.visible.escaped`, so that a row is a line. A cell that is a JSON object or list has JSON's own
escapes; one that only its escapes would make one gets an apostrophe.
"""

import json
import re
from collections.abc import Iterable, Sequence

from worker.text.visible import ascii_json, escaped, unescaped

REJECTS = ("line", "reason")
RESULTS = ("line", "reference", "shop", "customer_email")
"""What the header of a file of ours begins with: of rejected rows, of results."""

_APOSTROPHE = "'"
_BEGINNINGS = tuple("=+-@\t\r\n＝＋－＠" + _APOSTROPHE)
_FOLLOWS = r"""(?=[ '"]*[=+\-@＝＋－＠])"""
_CUT = re.compile(rf";{_FOLLOWS}")
_GUARDED = re.compile(rf";'{_FOLLOWS}")


def escape_cell(cell: str) -> str:
    """The cell as it is written."""
    if _is_json(cell):
        return escape_json_cell(cell)
    cell = escaped(cell)
    if ";" in cell:
        cell = _CUT.sub(";'", cell)
    # What is JSON only by its escapes would be taken for the JSON that it says.
    return _APOSTROPHE + cell if cell.startswith(_BEGINNINGS) or _is_json(cell) else cell


def escape_json_cell(cell: str) -> str:
    """A JSON object, list, number or boolean as it is written: the same value."""
    cell = ascii_json(cell)
    # An apostrophe would be no JSON.
    return _CUT.sub(r"\\u003b", cell) if ";" in cell else cell


def is_ours(header: Sequence[str]) -> bool:
    """Whether a file with this header was written so; one from elsewhere keeps its apostrophes and backslashes."""
    return any(tuple(header[: len(first)]) == first for first in (REJECTS, RESULTS))


def unescape_cells(cells: Iterable[str]) -> list[str]:
    """The cells of a row that was written so, as they were; JSON among them as JSON of the same value."""
    return [cell if _is_json(cell) else _unescaped_cell(cell) for cell in cells]


def _unescaped_cell(cell: str) -> str:
    return unescaped(_GUARDED.sub(";", cell.removeprefix(_APOSTROPHE)))


def _is_json(cell: str) -> bool:
    if not cell.startswith(("{", "[")):
        return False
    try:
        json.loads(cell)
    except (ValueError, RecursionError):
        return False
    return True
