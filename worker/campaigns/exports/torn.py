"""Finds rows that stand beside the pieces of a torn row, and may be pieces themselves. Pure.

A line break in a cell without quotes tears its row. The pieces have too few cells and are recognised by that. But a
piece can have as many cells as a row, if the broken cell was the first or the last one, or had delimiters in it. Such a
piece stands beside one with too few cells. So a row beside pieces is doubtful, unless the pieces make up a row by
themselves.
"""

from collections.abc import Iterable, Iterator, Sequence

from worker.campaigns.exports.cells import Row

_MOST_PIECES = 100
"""Pieces that are held. More in a row come from a spreadsheet that leaves off empty cells at the end of rows."""

_BLANK = "\x1a\ufeff"
"""What a blank cell may have beside the white space of any script: DOS's end of a file, and byte order marks."""


def is_blank(row: Row) -> bool:
    """Whether the row has cells, but nothing in them."""
    return bool(row.cells) and not any("".join(cell.split()).strip(_BLANK) for cell in row.cells)


def with_doubts(rows: Iterable[Row], width: int) -> Iterator[tuple[Row, bool]]:
    """The rows and pieces in their order, each with whether it is a row that may be a piece of another row.

    Holds back one row and the pieces after it, since these decide about it.
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
        # A blank line is one empty cell. It parts rows and belongs to none.
        elif row.size != 1 or not is_blank(row):
            pieces.append(row)
            # Too many to be one torn row. The row before them stays in doubt, and memory stays bounded.
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
    """Whether the row before and the row after these pieces may belong to them.

    Pieces make up a row if together they have its cells; a torn cell is in two pieces and counts once. A piece of one
    cell may also be the end of the row before, or the start of the next.
    """
    joined = 0
    # A piece of unknown size counts as too large, so that it never completes a row.
    for piece in pieces:
        size = piece.size or width + 1
        joined = joined + size - 1 if joined else size
        if joined == width:
            joined = 0
    complete = joined == 0
    return not complete or pieces[0].size == 1, not complete or pieces[-1].size == 1
