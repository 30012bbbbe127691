"""Finds telephone numbers in a text by the ways in which people write them.

It recognises international numbers (``+49 151 1234567``, ``0049…``, also as URLs and JSON write the +), national ones
that begin with 0 and have separators (``0151 1234567``, ``06 12 34 56 78``), numbers with an area code in parentheses,
and North American ones (``555-123-4567``). Other digits may as well be a count, a time or an id, and are left alone.
"""

import re
import unicodedata
from collections.abc import Callable

_SEPARATOR = r"(?:[ \u00a0\u202f\u2010\u2011\u2013./()-]|%20)"
# A number doesn't begin within a time, a port, a decimal, an identifier or a pseudonym of ours.
_ALONE = r"(?<![\w.+-])(?<!\d:)(?<!<address:)(?<!<phone:)"
_ENDS = r"(?![\w:])"

_NUMBER = re.compile(
    # This look-ahead at one character fails nearly everywhere in a text, which keeps the search fast.
    r"(?=[+＋%\\&(\d])(?:"
    rf"(?<![\d+])(?:[+＋]|%2B|\\u002b|&#43;)\(?(?![0０])\d(?:{_SEPARATOR}{{0,3}}\d){{7,14}}(?!\d)"
    rf"|{_ALONE}00{_SEPARATOR}?[1-9](?:{_SEPARATOR}{{0,2}}\d){{7,13}}{_ENDS}"
    rf"|{_ALONE}0\d{{1,4}}(?:{_SEPARATOR}{{1,3}}\d{{2,9}}){{1,5}}{_ENDS}"
    rf"|{_ALONE}\(\d{{2,5}}\){_SEPARATOR}{{0,2}}\d{{2,5}}(?:{_SEPARATOR}?\d{{2,5}}){{1,3}}{_ENDS}"
    rf"|{_ALONE}(?:1[ .-])?[2-9]\d\d([ .-])[2-9]\d\d\1\d{{4}}(?![\w-]))",
    re.IGNORECASE,
)
_DATE = re.compile(r"\d\d([./-])\d\d\1(?:19|20)\d\d.*")
_SHORTEST, _LONGEST = 8, 17
"""Digits of a number. E.164 allows 15; with 00 in front they are 17."""


def replace_numbers(text: str, stand_in: Callable[[str], str]) -> str:
    """The text with each number replaced by ``stand_in(digits)``. Takes time in proportion to its length."""

    def replace(found: re.Match[str]) -> str:
        # The digits in "%20" and "&#43;" don't belong to the number.
        written = re.sub(r"%2[0B]|\\u002b|&#43;", " ", found[0], flags=re.IGNORECASE)
        digits = "".join(str(unicodedata.decimal(sign)) for sign in written if sign.isdecimal())
        is_number = _SHORTEST <= len(digits) <= _LONGEST and not _DATE.match(found[0])
        return stand_in(digits) if is_number else found[0]

    return _NUMBER.sub(replace, text) if len(text) >= _SHORTEST else text
