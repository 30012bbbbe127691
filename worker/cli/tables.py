"""Tables for a person: at full width in a file or pipe, fitted to the width of a terminal. Pure."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from worker.text.visible import one_line

NARROWEST = 5
"""Columns to which a text is shortened at most, its ``…`` included."""

_GAP = "  "
_INDENT = "    "


@dataclass(frozen=True)
class Row:
    """A row of a table, with ``notes`` that explain it on lines of their own."""

    cells: Sequence[str]
    notes: Sequence[str] = ()


def columns(headings: Sequence[str], rows: Sequence[Row], *, texts: int, width: int | None = None) -> list[str]:
    """The lines of a table: the first ``texts`` columns are texts, aligned left; the others are numbers, aligned right.

    If the table is wider than ``width``, its texts are shortened in the middle, the longest first. Numbers are never
    cut: half a number would be a wrong one. Notes are wrapped.
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
    """A text on lines of at most ``width`` columns; on one line if ``width`` is None."""
    line = one_line(text)
    if width is None:
        return [f"{indent}{line}"]
    return textwrap.wrap(line, width, initial_indent=indent, subsequent_indent=indent + _GAP, break_on_hyphens=False)


def height(rows: Sequence[Row], width: int | None) -> int:
    """How many lines the rows take, with notes and heading."""
    return 1 + sum(1 + sum(len(wrapped(note, width)) for note in row.notes) for row in rows)


def clipped(rows: Sequence[Row], room: int, width: int | None, what: str) -> list[Row]:
    """The rows, cut so that they and the heading take at most ``room`` lines, but never fewer than three.

    Notes are dropped first, then rows. A last note says how many more there are of ``what``.
    """
    if height(rows, width) <= room:
        return list(rows)
    bare = [Row(row.cells) for row in rows]
    if height(bare, width) <= room:
        return bare
    kept = max(1, room - 2)
    return [*bare[: kept - 1], Row(bare[kept - 1].cells, [f"… and {len(bare) - kept:,} more {what}"])]


def _shrink(widths: list[int], texts: int, width: int) -> None:
    # Terminals show some characters two columns wide, so widths are counted in cells and not in characters.
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while over > 0:
        longest = max(range(texts), key=lambda number: widths[number])
        if widths[longest] <= NARROWEST:
            return
        widths[longest] -= 1
        over -= 1


def _fitted(cell: str, width: int, *, left: bool) -> str:
    if cell_len(cell) > width:
        # Shortened in the middle, since similar names mostly begin alike.
        end = (width - 1) // 2
        cell = set_cell_size(cell, width - 1 - end).rstrip() + "…" + cell[len(cell) - end :]
        while cell_len(cell) > width:
            cell = cell[:-1]
    blanks = " " * (width - cell_len(cell))
    return cell + blanks if left else blanks + cell
