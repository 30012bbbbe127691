r"""Escapes the cells of the CSV files that we write for spreadsheets and terminals, and reads them back. Pure.

Excel and similar programs run a cell that starts with ``=``, ``+``, ``-`` or ``@``, also in full-width forms. Customers
choose names and shops choose texts, so opening the file could run a formula of theirs. Such a cell gets an apostrophe
in front. A cell that starts with an apostrophe gets another one; so removing one apostrophe from every cell that has
one restores all cells. Some programs split lines at ``;`` and cut a cell in two. So an apostrophe is also put after a
``;`` if what follows, after spaces, quotes and apostrophes, starts with one of these characters.

Invisible characters (line ends, escape sequences, bidirectional controls) are written as escapes, see
:func:`worker.text.visible.escaped`; a row is then always one line. A cell that holds a JSON object or list uses JSON's
own escapes. A cell that only looks like JSON once it is escaped gets an apostrophe.
"""

import json
import re
from collections.abc import Iterable, Sequence

from worker.text.visible import ascii_json, escaped, unescaped

REJECTS = ("line", "reason")
REJECTS_ROW = "row"
"""The column of rejected rows after these. They are recognised without it, as earlier versions wrote them."""
RESULTS = ("line", "reference", "shop", "customer_email")
"""The first columns of our own files: of rejected rows, and of results."""

_APOSTROPHE = "'"
_BEGINNINGS = tuple("=+-@\t\r\n＝＋－＠" + _APOSTROPHE)
_FOLLOWS = r"""(?=[ '"]*[=+\-@＝＋－＠])"""
_CUT = re.compile(rf";{_FOLLOWS}")
_GUARDED = re.compile(rf";'{_FOLLOWS}")


def escape_cell(cell: str) -> str:
    """The cell as it is written to a file."""
    return escape_json_cell(cell) if _is_json(cell) else escape_text(cell)


def escape_text(text: str) -> str:
    """A text as it is written to a file, so that it is read back as it was, even if it is JSON."""
    cell = escaped(text)
    if ";" in cell:
        cell = _CUT.sub(";'", cell)
    # A text that is JSON, if only by its escapes, would be read back as JSON.
    return _APOSTROPHE + cell if cell.startswith(_BEGINNINGS) or _is_json(cell) or _is_json(text) else cell


def escape_json_cell(cell: str) -> str:
    """A JSON object, list, number or boolean as it is written to a file: other text, but the same value."""
    cell = ascii_json(cell)
    # An apostrophe would break the JSON, so the semicolon is written as an escape.
    return _CUT.sub(r"\\u003b", cell) if ";" in cell else cell


def is_ours(header: Sequence[str]) -> bool:
    """Whether a file with this header is one of ours. In other files apostrophes and backslashes mean themselves."""
    return any(tuple(header[: len(first)]) == first for first in (REJECTS, RESULTS))


def unescape_cells(cells: Iterable[str]) -> list[str]:
    """The original cells of a row that was written with :func:`escape_cell`; JSON cells keep their value."""
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
