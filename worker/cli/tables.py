"""Columns for a person: into a file or a pipe as wide as they are, on a terminal as wide as it is. Pure."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from worker.text.visible import one_line

NARROWEST = 5
"""Places that are left of a text, its ``…`` included."""

_GAP = "  "
_INDENT = "    "


@dataclass(frozen=True)
class Row:
    """A line of a table, and ``notes`` that explain it on lines of their own."""

    cells: Sequence[str]
    notes: Sequence[str] = ()


def columns(headings: Sequence[str], rows: Sequence[Row], *, texts: int, width: int | None = None) -> list[str]:
    """Lines of columns, the first ``texts`` to the left, numbers to the right.

    What is wider than ``width`` places has its texts shortened in the middle, the longest first; numbers are never cut.
    Notes are wrapped.
    """
    shown = [[one_line(cell) for cell in cells] for cells in (headings, *(row.cells for row in rows))]
    widths = [max(map(cell_len, column)) for column in zip(*shown, strict=True)]
    if width is not None:
        _shrink(widths, texts, width)
    lines = []
    for cells, notes in zip(shown, ((), *(row.notes for row in rows)), strict=True):
        fitted = [_fitted(cell, widths[number], left=number < texts) for number, cell in enumerate(cells)]
        lines.append(_GAP.join(fitted).rstrip())
        for note in notes:
            lines += wrapped(note, width)
    return lines


def wrapped(text: str, width: int | None, *, indent: str = _INDENT) -> list[str]:
    """A text on lines of ``width`` places at most; None: on one."""
    line = one_line(text)
    if width is None:
        return [f"{indent}{line}"]
    return textwrap.wrap(line, width, initial_indent=indent, subsequent_indent=indent + _GAP, break_on_hyphens=False)


def height(rows: Sequence[Row], width: int | None) -> int:
    """Lines that they take with their heading."""
    return 1 + sum(1 + sum(len(wrapped(note, width)) for note in row.notes) for row in rows)


def clipped(rows: Sequence[Row], room: int, width: int | None, what: str) -> list[Row]:
    """So many rows that they and the heading take ``room`` lines, or three: notes go first, then rows, of which the
    last note tells how many.
    """
    if height(rows, width) <= room:
        return list(rows)
    bare = [Row(row.cells) for row in rows]
    if height(bare, width) <= room:
        return bare
    kept = max(1, room - 2)
    return [*bare[: kept - 1], Row(bare[kept - 1].cells, [f"… and {len(bare) - kept:,} more {what}"])]


def _shrink(widths: list[int], texts: int, width: int) -> None:
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while over > 0:
        longest = max(range(texts), key=lambda number: widths[number])
        if widths[longest] <= NARROWEST:
            return
        widths[longest] -= 1
        over -= 1


def _fitted(cell: str, width: int, *, left: bool) -> str:
    if cell_len(cell) > width:
        # In the middle: names of a kind mostly begin alike.
        end = (width - 1) // 2
        cell = set_cell_size(cell, width - 1 - end).rstrip() + "…" + cell[len(cell) - end :]
        while cell_len(cell) > width:
            cell = cell[:-1]
    blanks = " " * (width - cell_len(cell))
    return cell + blanks if left else blanks + cell
