r"""Physical lines taken apart into rows of cells, by the letter of CSV.

A quote that isn't closed takes the next rows into its cell, up to the next quote. Where that one happens to stand at
the end of a cell, the row looks right and has another's cells. So what CSV doesn't know is no row: its line is given as
it is, and those after it are read anew. A row that has the right number of cells but may be two is no row either.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
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
    has, 0 where that can't be told; None if it is no piece.
    """

    line: int
    cells: Sequence[str]
    texts: Sequence[str]
    flaw: Flaw | None
    size: int | None


class RowReader:
    """Rows of ``width`` cells. ``is_row`` tells whether cells could be a row of the export; it is asked rarely."""

    def __init__(self, lines: Lines, delimiter: str, width: int, is_row: Callable[[Sequence[str]], bool]) -> None:
        # The csv module's own bound is global to the process, so it is only ever raised, and the bound that counts is
        # that of the lines.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))
        self._lines = lines
        self._delimiter = delimiter
        self._width = width
        self._is_row = is_row

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
                text = lines.keep(1)[0]
                yield Row(lines.number, (), [text[:_RAW_SHOWN]], "overlong", None)
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
            return self._row(cells, held, "short", len(cells))
        if not whole:
            return self._row(cells, held, "long", None)
        if self._has_stray_quotes(cells, lines.held):
            return self._row((), held, "quotes", None)
        return self._row(cells, held, "damaged" if lines.damaged else None, None)

    def _broken(self) -> Row:
        if extent := self._backslashed():
            return self._row((), extent, "backslash", None)
        first = self._lines.keep(1)[0]
        # A stray quote in a line that else has its cells takes nothing from the next ones.
        return Row(self._lines.number, (), [first[:_RAW_SHOWN]], "quotes", None if self._is_whole(first) else 0)

    def _row(self, cells: Sequence[str], count: int, flaw: Flaw | None, size: int | None) -> Row:
        texts = self._lines.keep(count)
        if flaw and flaw != "damaged" and count > 1 and self._is_whole(texts[0]):
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
        space: then one is missing or too many. Several lines may as well be several rows that have quotes in their
        texts: where a line in which a cell ends looks like one.
        """
        sign, text = self._delimiter, "".join(texts)
        if _clean(sign).fullmatch(text) is None:
            quoted = text.startswith('"') or f'{sign}"' in text
            return quoted or len(texts) > 1 or any(cell.lstrip().startswith('"') for cell in cells)
        if f"\\{sign}" in _QUOTED.sub("", text):
            # Whoever escapes delimiters by a backslash has no quotes around cells.
            return True
        if len(texts) == 1:
            return False
        return any(any(map(self._is_row, self._readings(rest))) for rest in _ends(text))

    def _is_whole(self, text: str) -> bool:
        return any(True for _ in self._readings(text))

    def _readings(self, text: str) -> Iterator[Sequence[str]]:
        """The cells of a line as those of a row: by its quotes, with one that it leaves open, without its first one."""
        cells = self._alone(text)
        opened = [*cells[:-1], *cells[-1].split(self._delimiter)]
        for reading in (cells, opened, self._alone(text.replace('"', "", 1))):
            if len(reading) == self._width:
                yield reading

    def _alone(self, text: str) -> Sequence[str]:
        # An open quote ends with the line.
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter)) or [""]


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
