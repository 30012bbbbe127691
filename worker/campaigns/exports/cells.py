r"""Physical lines taken apart into rows of cells, strictly by RFC 4180.

A quote that isn't closed takes the next rows into its cell, up to the next quote. Where that one happens to stand at
the end of a cell, the row looks right and has another's cells. So what CSV doesn't know is no row: its line is given as
it is, and those after it are read anew. A row that has the right number of cells but may be two is no row either.
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
"""Why a row can't be taken: fewer or more cells than the header, quotes that CSV doesn't know, such as those that a
backslash escapes, longer than is read, bytes that are no text."""

_RAW_SHOWN = 1000
"""Characters of a line that no reader takes apart which are kept."""

_LOOK_AHEAD = 50
"""Lines that a row with a backslash before a quote is looked for in."""


_QUOTED = re.compile(r'"(?:[^"]++|"")*+"')
_LINE_END = re.compile(r"\r\n?|\n")


class Row(NamedTuple):
    """A row from ``line`` on, of ``texts``, its physical lines.

    ``cells`` are right where there is no flaw, or bytes are damaged. ``size`` is how many cells a piece of a torn row
    has, 0 where that can't be told or they are too many; None if it is no piece.
    """

    line: int
    cells: Sequence[str]
    texts: Sequence[str]
    flaw: Flaw | None
    size: int | None


class RowReader:
    """Rows of ``width`` cells."""

    def __init__(self, lines: Lines, delimiter: str, width: int) -> None:
        # The csv module's own bound is global to the process, so it is only ever raised, and the bound that counts is
        # that of the lines.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))
        self._lines = lines
        self._delimiter = delimiter
        self._width = width

    def rows(self) -> Iterator[Row]:
        """The rows that are left, without empty lines."""
        lines, width = self._lines, self._width
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        while True:
            lines.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except OverlongRowError:
                # With a quote left open, the next line may be the rest of it.
                size = 0 if len(lines.held) > 1 else None
                text = lines.keep(1)[0]
                yield Row(lines.number, (), [text[:_RAW_SHOWN]], "overlong", size)
            except csv.Error:
                yield self._broken()
            else:
                held = lines.held
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
            # Where the letter of CSV makes a row of it too, nobody can say which of its lines belong together.
            return self._row((), max(extent, held if whole else 0), "backslash", None)
        if len(cells) < self._width:
            # A stray quote in it may be the end of a cell that began in another row.
            clean = _clean(self._delimiter).fullmatch("".join(lines.held))
            return self._row(cells, held, "short", len(cells) if clean else 0)
        if not whole:
            # May be the first half of a torn row, with delimiters in its text; then the next row is the other half.
            return self._row(cells, held, "long", 0)
        if self._has_stray_quotes(cells, lines.held):
            return self._row((), held, "quotes", None)
        return self._row(cells, held, "damaged" if lines.damaged else None, None)

    def _broken(self) -> Row:
        if extent := self._backslashed():
            return self._row((), extent, "backslash", None)
        first = self._lines.keep(1)[0]
        # Where a quote is left open, the next line may be the rest of its cell, however many cells either has.
        whole = first.count('"') % 2 == 0 and is_whole(first, self._delimiter, self._width)
        return Row(self._lines.number, (), [first[:_RAW_SHOWN]], "quotes", None if whole else 0)

    def _row(self, cells: Sequence[str], count: int, flaw: Flaw | None, size: int | None) -> Row:
        texts = self._lines.keep(count)
        if flaw and flaw != "damaged" and count > 1 and is_whole(texts[0], self._delimiter, self._width):
            # Rather several rows, the last of which may be a piece.
            size = 0
        return Row(self._lines.number - count + 1, cells, texts, flaw, size)

    def _backslashed(self) -> int:
        r"""How many lines the row has where ``\"`` is a quote in a cell; 0 if there is none, or no such row. At least
        as many lines as before are held then."""
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
        """Whether quotes of a row with the right number of cells may not mean what CSV says.

        A quote in a cell without quotes is no more than a sign, unless other cells have quotes or it stands after a
        space: then one is missing or too many. Several lines may as well be several rows, see :func:`may_be_several`.
        """
        sign, text = self._delimiter, "".join(texts)
        if _clean(sign).fullmatch(text) is None:
            quoted = text.startswith('"') or f'{sign}"' in text
            return quoted or len(texts) > 1 or any(cell.lstrip().startswith('"') for cell in cells)
        if f"\\{sign}" in _QUOTED.sub("", text):
            # Whoever escapes delimiters by a backslash has no quotes around cells.
            return True
        return may_be_several(texts, sign, self._width)


def may_be_several(texts: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether lines that quotes hold together as one row of ``width`` cells may be several rows.

    A quote that lost its other one takes the rows after it into its cell, up to the next quote. Then there are the
    delimiters of two rows, however they are torn, or a later line is a row by itself. The first line tells nothing: it
    looks like one where its last cell goes on, and in many where a note has a delimiter.
    """
    if len(texts) == 1:
        return False
    text = "".join(texts)
    if text.count(delimiter) >= 2 * (width - 1):
        return True
    return any(
        line.count(delimiter) >= width - 1 and is_whole(line, delimiter, width) for line in (*texts[1:], *_ends(text))
    )


def is_whole(text: str, delimiter: str, width: int) -> bool:
    """Whether a line may be a row: by its quotes, with one that it leaves open, or without its first one."""
    cells = _alone(text, delimiter)
    return (
        len(cells) == width
        or len(cells) + cells[-1].count(delimiter) == width
        or len(_alone(text.replace('"', "", 1), delimiter)) == width
    )


def _alone(text: str, delimiter: str) -> Sequence[str]:
    # An open quote ends with the line.
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), None) or [""]


def _ends(text: str) -> Iterator[str]:
    """What is left of a row from the beginning of each line on in which a cell of several lines ends."""
    for cell in _QUOTED.finditer(text):
        ends = list(_LINE_END.finditer(cell[0]))
        if ends:
            yield text[cell.start() + ends[-1].end() :]


@lru_cache(maxsize=8)
def _clean(delimiter: str) -> re.Pattern[str]:
    """A row in which quotes stand around whole cells only."""
    sign = re.escape(delimiter)
    cell = rf'(?:"(?:[^"]++|"")*+"|[^"{sign}\r\n]*+)'
    return re.compile(rf"{cell}(?:{sign}{cell})*+[\r\n]*")
