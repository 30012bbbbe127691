"""Rows beside the pieces of a torn one.

A line break in a cell without quotes tears its row: the pieces have too few cells and are known by that. But a piece
can have as many as a row, where the cell was the first or the last one, or had delimiters in it; then it stands beside
one with too few. So a row beside such pieces is doubtful, unless these make up a row by themselves.
"""

from collections.abc import Iterable, Iterator, Sequence

from worker.campaigns.exports.cells import Row

_MOST_PIECES = 100
"""Held to see whether they make up rows; more in succession are what a spreadsheet leaves off at the end of rows."""

_BLANK = " \t\r\n\x1a\u00a0"
"""``\\x1a`` is the end of a file in DOS."""


def is_blank(row: Row) -> bool:
    """Whether the row has cells and nothing in them."""
    return bool(row.cells) and not any(cell.strip(_BLANK) for cell in row.cells)


def settled(rows: Iterable[Row], width: int) -> Iterator[tuple[Row, bool]]:
    """The rows in their order, pieces among them, each with whether it may be a piece of another row.

    One row and the pieces after it are held back.
    """
    waiting: Row | None = None
    doubt = False
    pieces: list[Row] = []
    for row in rows:
        if row.size is None:
            before, after = _doubts(pieces, width) if pieces else (False, False)
            if waiting is not None:
                yield waiting, doubt or before
            yield from ((piece, False) for piece in pieces)
            pieces.clear()
            waiting, doubt = row, after
        elif row.size != 1 or not is_blank(row):
            pieces.append(row)
            if len(pieces) == _MOST_PIECES:
                if waiting is not None:
                    yield waiting, True
                    waiting = None
                yield from ((piece, False) for piece in pieces[:-1])
                del pieces[:-1]
    if waiting is not None:
        yield waiting, doubt or (bool(pieces) and _doubts(pieces, width)[0])
    yield from ((piece, False) for piece in pieces)


def _doubts(pieces: Sequence[Row], width: int) -> tuple[bool, bool]:
    """Whether the row before and the one after these pieces may belong to them.

    Pieces make up a row where they have its cells together, the torn ones counted once. One of a single cell may also
    be the end of the row before, or the beginning of the next.
    """
    joined = 0
    for piece in pieces:
        size = piece.size or width + 1
        joined = joined + size - 1 if joined else size
        if joined == width:
            joined = 0
    complete = joined == 0
    return not complete or pieces[0].size == 1, not complete or pieces[-1].size == 1
