"""How a sheet shows a number: as a date, with leading zeros, or as it is."""

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache

# Imported with this module only, since it would make the start of every other command by a third slower.
from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH, from_excel

MOST_DIGITS = 15
"""Digits of a number that a spreadsheet keeps; it puts zeros in place of the others."""

_NUMBER = re.compile(r"-?\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,3})?")
_PATTERN = re.compile(r'(?:"[^"]*"|\\.|[-0#? /()+])*')
"""A format of digits and of signs between them, such as ``00000``, ``"C-"0000`` or ``000-00-0000``."""

_PIECE = re.compile(r'"[^"]*"|\\.|.')
_SIGNS = "0#?"


class Formats:
    """The formats of a workbook by the style of a cell; ``since_1904`` as in a workbook of an old Mac."""

    def __init__(self, formats: Sequence[str | int], *, since_1904: bool) -> None:
        self._formats = formats
        self._epoch = MAC_EPOCH if since_1904 else WINDOWS_EPOCH

    def shown(self, text: str, style: int) -> str:
        """A number of the XML as a person sees it, but dates always as ISO 8601, and long numbers with their digits.

        A number of more than :data:`MOST_DIGITS` digits is written as ``7.22E+15``, since its last digits are lost: no
        id may be made of it.
        """
        if not _NUMBER.fullmatch(text):
            return text
        code = self._code(style)
        if _is_date(code):
            return self._date(float(text), code)
        if text.isdecimal() and len(text) <= MOST_DIGITS:
            digits = text.lstrip("0") or "0"
        else:
            number = float(text)
            if abs(number) >= 10**MOST_DIGITS:
                return f"{number:.14E}"
            if not number.is_integer():
                return f"{number:.15g}"
            digits = str(int(number))
        return digits if digits.startswith("-") else _filled(code, digits)

    def moment(self, text: str, style: int) -> str:
        """A date that the XML writes as ISO 8601, as strict OOXML does, in the form of :meth:`shown`."""
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            return text
        return _written(moment.replace(tzinfo=None), self._code(style))

    def _code(self, style: int) -> str:
        found = self._formats[style] if style < len(self._formats) else 0
        return found if isinstance(found, str) else BUILTIN_FORMATS.get(found, "General")

    def _date(self, number: float, code: str) -> str:
        # A spreadsheet shows a date that is none as #####.
        if number < 0:
            return "#VALUE!"
        try:
            moment = from_excel(number, self._epoch, timedelta=is_timedelta_format(code))
        except (OverflowError, ValueError):
            return "#VALUE!"
        if isinstance(moment, datetime):
            return _written(moment, code)
        if isinstance(moment, date | time):
            return moment.isoformat()
        return str(moment) if isinstance(moment, timedelta) else "#VALUE!"


def _written(moment: datetime, code: str) -> str:
    whole = moment.time() == time() and not re.search(r"[hHsS]", code)
    return moment.date().isoformat() if whole else moment.isoformat(" ", "seconds")


@lru_cache(maxsize=1000)
def _is_date(code: str) -> bool:
    return bool(is_date_format(code))


@lru_cache(maxsize=1000)
def _pieces(code: str) -> Sequence[str]:
    """The signs of a format that only fills in digits; none for any other."""
    positive = code.partition(";")[0]
    if not _PATTERN.fullmatch(positive):
        return ()
    pieces = _PIECE.findall(positive)
    return pieces if any(piece in _SIGNS for piece in pieces) else ()


def _filled(code: str, digits: str) -> str:
    """The digits in their format, from the right: leading zeros, and the signs that stand between digits."""
    pieces = _pieces(code)
    if not pieces:
        return digits
    left = list(digits)
    result: list[str] = []
    places = sum(piece in _SIGNS for piece in pieces)
    for piece in reversed(pieces):
        if piece not in _SIGNS:
            result.append(piece.strip('"') if piece[0] == '"' else piece[-1])
            continue
        places -= 1
        if left:
            result.append(left.pop() if places else "".join(left))
        elif piece == "0":
            result.append("0")
    return "".join(reversed(result))
