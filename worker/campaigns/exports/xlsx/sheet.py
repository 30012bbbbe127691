"""The rows of a sheet."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from openpyxl.utils.escape import unescape

from worker.campaigns.exports.text import MAX_ROW
from worker.campaigns.exports.xlsx.formats import Formats
from worker.campaigns.exports.xlsx.strings import LONGEST, SharedStrings, TextCollector
from worker.campaigns.exports.xlsx.xml import parse
from worker.errors import InputError

MOST_ROWS, MOST_COLUMNS = 1_048_576, 16_384
"""What a sheet can have."""

_UNKNOWN = "#VALUE!"
"""What stands for a formula without a value. Being an error of a spreadsheet, it makes no job and is no consent."""

_PLACE = re.compile(r"([A-Z]{1,3})\d{1,7}")


class SheetRow(NamedTuple):
    """``number`` is the row's number in the sheet, from 1. ``whole``: no text of it was cut off.

    ``calculated``: each of its formulas has a value.
    """

    number: int
    cells: Sequence[str]
    whole: bool
    hidden: bool
    calculated: bool


class SheetReader:
    """Reads one sheet. ``formats`` tell how a number of the XML is shown, by the style of its cell.

    ``calculated``: a spreadsheet wrote the file, so that a formula's value is one, also if it is 0.
    """

    def __init__(self, name: str, strings: SharedStrings, formats: Formats, *, calculated: bool) -> None:
        self._name = name
        self._strings = strings
        self._formats = formats
        self.calculated = calculated
        self._columns: dict[str, int] = {}

    def rows(self, part: IO[bytes]) -> Iterator[SheetRow]:
        """The rows that have cells.

        Raises:
          InputError: the sheet is damaged, or has more rows or columns than a sheet can have.
        """
        reading = _Reading(self)
        for _ in parse(self._name, part, reading.start, reading.end, reading.text):
            yield from reading.rows
            reading.rows.clear()

    def column(self, place: str) -> int:
        """The number, from 0, of the column of a cell such as ``AB12``."""
        found = _PLACE.fullmatch(place)
        if found is None:
            raise self.damaged()
        letters = found[1]
        column = self._columns.get(letters)
        if column is None:
            column = 0
            for letter in letters:
                column = column * 26 + ord(letter) - 64
            if column > MOST_COLUMNS:
                raise self.damaged()
            column -= 1
            self._columns[letters] = column
        return column

    def value(self, kind: str, style: str, text: str) -> str:
        """A cell as a person sees it."""
        if kind in ("n", "d"):
            shown = self._formats.shown if kind == "n" else self._formats.moment
            return shown(text, int(style) if style.isdecimal() and len(style) < 10 else 0)
        if kind == "s":
            try:
                text = self._strings[int(text)]
            except (ValueError, IndexError):
                raise self.damaged() from None
        if kind == "b":
            return "TRUE" if text == "1" else "FALSE"
        # Characters that XML can't hold are written as _x0007_.
        return unescape(text) if "_x" in text else text

    def damaged(self) -> InputError:
        return InputError(
            f"{self._name}: is damaged: a row of its sheet is not in order; save it again, or save it as CSV"
        )


class _Reading:
    """One pass over a sheet."""

    def __init__(self, sheet: SheetReader) -> None:
        self.rows: list[SheetRow] = []
        self._sheet = sheet
        self._number = 0
        self._hidden = self._formula = False
        self._calculated = True
        self._cells: list[str] = []
        self._size = 0
        self._column = -1
        self._kind = self._style = ""
        self._in_row = self._in_cell = self._in_value = False
        self._value: list[str] = []
        self._inline = TextCollector()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "c":
            place = attributes.get("r")
            column = self._column + 1 if place is None else self._sheet.column(place)
            # Cells within cells, or outside of rows, would take over another one's text.
            if not self._column < column < MOST_COLUMNS or self._in_cell or not self._in_row:
                raise self._sheet.damaged()
            self._in_cell = True
            self._column = column
            self._kind = attributes.get("t", "n")
            self._style = attributes.get("s", "0")
            self._formula = False
            self._value.clear()
        elif tag == "v":
            if self._value:
                raise self._sheet.damaged()
            self._in_value = True
        elif tag == "f":
            self._formula = True
        elif tag == "row":
            number = attributes.get("r")
            before = self._number
            self._number = int(number) if number and number.isdecimal() and len(number) < 8 else before + 1
            if not before < self._number <= MOST_ROWS or self._in_row:
                raise self._sheet.damaged()
            self._in_row = True
            self._hidden = attributes.get("hidden") in ("1", "true")
            self._cells, self._size, self._column = [], 0, -1
            self._calculated = True
        else:
            self._inline.start(tag, attributes)

    def text(self, text: str) -> None:
        if self._in_value:
            if self._size <= MAX_ROW:
                self._value.append(text)
                self._size += len(text)
        else:
            self._inline.text(text)

    def end(self, tag: str) -> None:
        if tag == "v":
            self._in_value = False
        elif tag == "c":
            self._in_cell = False
            inline = self._inline.take()
            text = inline if self._kind == "inlineStr" else "".join(self._value)
            if self._formula and self._kind == "n" and (not text or (text == "0" and not self._sheet.calculated)):
                # Programs that can't calculate leave the value out, or write 0. A blank cell may mean consent.
                self._kind, text, self._calculated = "e", _UNKNOWN, False
            if text and self._size <= MAX_ROW:
                text = self._sheet.value(self._kind, self._style, text)
                # A shared text counts by its length, since one text can stand in every cell.
                self._size += len(text) if len(text) <= LONGEST else MAX_ROW + 1
                self._cells.extend([""] * (self._column - len(self._cells)))
                self._cells.append(text)
        elif tag == "row":
            self._in_row = False
            if self._cells or self._size:
                self.rows.append(
                    SheetRow(self._number, self._cells, self._size <= MAX_ROW, self._hidden, self._calculated)
                )
        else:
            self._inline.end(tag)
