r"""Takes physical lines apart into rows of cells, strictly by RFC 4180. Pure but for the lines that it pulls.

A quote that isn't closed takes the following rows into its cell, up to the next quote. If that quote happens to be at
the end of a cell, the row looks right and has another row's cells: another customer's address. So a line that breaks
the rules of CSV is not a row. It is yielded unchanged, and the lines after it are read again. A row that has the right
number of cells but may be two rows is refused too.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

from worker.campaigns.exports.text import MAX_ROW, Lines, OverlongRowError

Flaw = Literal["short", "long", "quotes", "backslash", "overlong", "damaged"]
"""Why a row is refused: fewer or more cells than the header, quotes that CSV doesn't allow, quotes that a backslash
escapes, longer than :data:`~worker.campaigns.exports.text.MAX_ROW`, or bytes that are no text."""

_RAW_SHOWN = 1000
"""Characters that are kept of a line which can't be taken apart."""

_LOOK_AHEAD = 50
"""Lines within which a row with a backslash before a quote must end."""


_QUOTED = re.compile(r'"(?:[^"]++|"")*+"')
_LINE_END = re.compile(r"\r\n?|\n")


class Row(NamedTuple):
    """A row that starts in ``line``; ``texts`` are its physical lines.

    ``cells`` are right if there is no flaw, or if the flaw is ``damaged``. ``size`` is the number of cells of a piece
    of a torn row; 0 if that is unknown or too large; None if the row is no piece.
    """

    line: int
    cells: Sequence[str]
    texts: Sequence[str]
    flaw: Flaw | None
    size: int | None


class RowReader:
    """Reads rows of ``width`` cells from lines."""

    def __init__(self, lines: Lines, delimiter: str, width: int) -> None:
        # The csv module's bound is global to the process, so it is only raised here. The lines have the bound that
        # counts.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))
        self._lines = lines
        self._delimiter = delimiter
        self._width = width

    def rows(self) -> Iterator[Row]:
        """The remaining rows, without empty lines."""
        lines, width = self._lines, self._width
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        while True:
            lines.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except OverlongRowError:
                # If a quote is open, the next line may be the rest of this row.
                size = 0 if len(lines.held) > 1 else None
                text = lines.keep(1)[0]
                yield Row(lines.number, (), [text[:_RAW_SHOWN]], "overlong", size)
            except csv.Error:
                yield self._broken()
            else:
                held = lines.held
                # The common case first, and cheaply: one line, the right number of cells, and no quote in doubt.
                if (
                    len(cells) == width
                    and len(held) == 1
                    and not lines.damaged
                    and ('"' not in held[0] or not ("\\" in held[0] or '"' in "".join(cells)))
                ):
                    yield Row(lines.number, cells, held, None, None)
                elif cells:
                    yield self._examined(cells)

    def _examined(self, cells: Sequence[str]) -> Row:
        lines = self._lines
        whole = len(cells) == self._width
        held = len(lines.held)
        if extent := self._backslashed():
            # By the rules of CSV these lines may be a row as well, so it is unknown which lines belong together.
            return self._row((), max(extent, held if whole else 0), "backslash", None)
        if len(cells) < self._width:
            # A stray quote may be the end of a cell that began in another row: then the number of cells says nothing.
            clean = _clean(self._delimiter).fullmatch("".join(lines.held))
            return self._row(cells, held, "short", len(cells) if clean else 0)
        if not whole:
            # It may be the first half of a torn row with delimiters in its text; the next row is then the other half.
            return self._row(cells, held, "long", 0)
        if self._has_stray_quotes(cells, lines.held):
            return self._row((), held, "quotes", None)
        return self._row(cells, held, "damaged" if lines.damaged else None, None)

    def _broken(self) -> Row:
        if extent := self._backslashed():
            return self._row((), extent, "backslash", None)
        first = self._lines.keep(1)[0]
        # If a quote is open, the next line may be the rest of its cell, however many cells each of them has.
        whole = first.count('"') % 2 == 0 and is_whole(first, self._delimiter, self._width)
        return Row(self._lines.number, (), [first[:_RAW_SHOWN]], "quotes", None if whole else 0)

    def _row(self, cells: Sequence[str], count: int, flaw: Flaw | None, size: int | None) -> Row:
        texts = self._lines.keep(count)
        if flaw and flaw != "damaged" and count > 1 and is_whole(texts[0], self._delimiter, self._width):
            # More likely several rows, the last of which may be a piece.
            size = 0
        return Row(self._lines.number - count + 1, cells, texts, flaw, size)

    def _backslashed(self) -> int:
        r"""How many lines the row has if ``\"`` is read as a quote in a cell; 0 if that makes no row.

        At least as many lines are held afterwards as before.
        """
        lines = self._lines
        if not any('\\"' in text for text in lines.held):
            return 0
        held = len(lines.held)
        self._again()
        reader = csv.reader(islice(lines, _LOOK_AHEAD), delimiter=self._delimiter, escapechar="\\", strict=True)
        extent = 0
        try:
            if len(next(reader)) == self._width:
                extent = len(lines.held)
        except (OverlongRowError, csv.Error):
            pass
        self._again()
        for _ in range(max(held, extent)):
            next(lines)
        return extent

    def _again(self) -> None:
        self._lines.keep(0)
        self._lines.begin()

    def _has_stray_quotes(self, cells: Sequence[str], texts: Sequence[str]) -> bool:
        """Whether the quotes of a row with the right number of cells may mean something else than in CSV.

        A quote within a cell is an ordinary character, as in `5" pipe`. But if other cells are quoted, or if it stands
        after a space, a quote is missing or too many. Several lines may also be several rows, see
        :func:`may_be_several`.
        """
        sign, text = self._delimiter, "".join(texts)
        if _clean(sign).fullmatch(text) is None:
            quoted = text.startswith('"') or f'{sign}"' in text
            return quoted or len(texts) > 1 or any(cell.lstrip().startswith('"') for cell in cells)
        if f"\\{sign}" in _QUOTED.sub("", text):
            # A program that escapes delimiters with a backslash doesn't quote cells, so here quotes mean something
            # else.
            return True
        return may_be_several(texts, sign, self._width)


def may_be_several(texts: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether lines that are one row of ``width`` cells because of their quotes may be several rows.

    A quote without its partner takes the following rows into its cell, up to the next quote. Then there are the
    delimiters of two rows, however they are torn, or a later line is a row by itself. The first line proves nothing: it
    looks like a row if its last cell continues, or if a note in it has delimiters.
    """
    if len(texts) == 1:
        return False
    text = "".join(texts)
    # Where all of several cells are quoted, a few quotes too many or too few can't join two rows: the quote that opens
    # the second row would close the open cell, and something else than a delimiter would follow.
    if _quoted_throughout(delimiter).fullmatch(text):
        return False
    # Counting is cheap. Taking every later line apart, as below, is only for rows that pass this.
    if text.count(delimiter) >= 2 * (width - 1):
        return True
    return any(
        line.count(delimiter) >= width - 1 and is_whole(line, delimiter, width) for line in (*texts[1:], *_ends(text))
    )


def is_whole(text: str, delimiter: str, width: int) -> bool:
    """Whether a line alone may be a row: by its quotes, with its last quote left open, or without its first quote."""
    cells = _alone(text, delimiter)
    return (
        len(cells) == width
        or len(cells) + cells[-1].count(delimiter) == width
        or len(_alone(text.replace('"', "", 1), delimiter)) == width
    )


def _alone(text: str, delimiter: str) -> Sequence[str]:
    # Not strict: a quote that is still open ends with the line.
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), None) or [""]


def _ends(text: str) -> Iterator[str]:
    """The rests of a row, each from the start of the line in which a cell of several lines ends."""
    for cell in _QUOTED.finditer(text):
        ends = list(_LINE_END.finditer(cell[0]))
        if ends:
            yield text[cell.start() + ends[-1].end() :]


@lru_cache(maxsize=8)
def _clean(delimiter: str) -> re.Pattern[str]:
    """Matches a row in which quotes stand only around whole cells. Possessive, so it takes linear time."""
    sign = re.escape(delimiter)
    cell = rf'(?:"(?:[^"]++|"")*+"|[^"{sign}\r\n]*+)'
    return re.compile(rf"{cell}(?:{sign}{cell})*+[\r\n]*")


@lru_cache(maxsize=8)
def _quoted_throughout(delimiter: str) -> re.Pattern[str]:
    """Matches a row of several cells, all of them quoted. Possessive, so it takes linear time.

    A quote within a cell doesn't stand beside a delimiter or a line end, as the quotes of another row's cells would.
    """
    sign = re.escape(delimiter)
    cell = rf'"(?:[^"]++|(?<![{sign}\r\n])""(?![{sign}\r\n]))*+"'
    return re.compile(rf"{cell}(?:{sign}{cell})++[\r\n]*")
