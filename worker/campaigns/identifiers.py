"""Which texts can be a customer's id, and what spreadsheets and databases write in place of one. Pure.

A spreadsheet keeps 15 digits of a number and shows fewer: ``7.22312E+12`` may have been any of a million ids. Such a
text is never repaired by a guess, because a guessed id is another customer.
"""

import re

from worker.text.visible import is_plain

NULLS = frozenset({"NULL", r"\N"})
"""What databases write for no value: MySQL and PostgreSQL ``\\N``, others the word."""

_ERROR = re.compile(r"#(?:[^\sa-z#]{1,20}[!?]|N/?[A-Z]{1,2}|GETTING_DATA|#{2,})|Err:\d{3}")
"""``#REF!``, ``#N/A``, ``#NAME?`` in any language, ``####`` of a narrow column, LibreOffice's codes."""

_AS_TEXT = re.compile(r'="([^"]*)"')
"""The formula by which exports keep a spreadsheet from turning an id into a number."""

_NUMBER = re.compile(
    r"[+-]?(?:"
    r"\d+(?:[.,]\d+)?[eE][+-]\d+"  # 7E+12 has its sign in every program that writes it
    r"|\d+[.,]\d+(?:[eE]\d+)?"  # 7223120008.0; Java writes 7.22E9
    r"|\d{1,3}(?:[.,'\u2019]\d{3})+(?:[.,]\d+)?"
    r")"
)
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d(?:T.*)?|\d{1,2}([./])\d{1,2}\1\d{2,4}"
    r"|\d{1,2}-(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)-\d{2,4}"
    r"|\d{1,2}:\d\d(?::\d\d)?",
    re.IGNORECASE,
)
"""Dates and times of day, which spreadsheets make of ``26-11-26`` and ``12-30``."""
_WORDS = frozenset({"true", "false", "undefined", "nat"})
_NOTHING = re.compile(r"(?i:[(<]?(?:null|nil|none|nan|empty)[)>]?|[+-]?inf(?:inity)?|n\.?a\.?|n/a)")
"""Words for no value or no number, with the brackets that programs put around them."""
_FOREIGN = re.compile('[\\s"\u201c\u201d\u201e\u00ab\u00bb,;|\ufffd]')
"""Blanks, quotes and delimiters: such a text is a piece of a row or of a sentence."""


def bare(text: str) -> str:
    """The id without what protects it from a spreadsheet: an apostrophe (Shopify's), or ``="…"``."""
    # Only these two are removed. Quotes or brackets around an id would mean that the row was taken apart wrongly.
    if text.startswith("'"):
        return text[1:].lstrip()
    as_text = _AS_TEXT.fullmatch(text)
    return as_text[1].strip() if as_text else text


def can_be_id(text: str) -> bool:
    """Whether a text that isn't empty can be an id.

    It can't if it is a number that was shortened or formatted, a date, a formula, an error, a word for no value, or a
    piece of another cell.
    """
    # Nearly all ids are digits, and this is asked for each row.
    if text.isascii() and text.isdecimal():
        return True
    return (
        any(map(str.isalnum, text))
        and not text.startswith("=")
        and not text.endswith("'")
        and text.lower() not in _WORDS
        and not _NOTHING.fullmatch(text)
        and not _FOREIGN.search(text)
        and not _NUMBER.fullmatch(text)
        and not _DATE.fullmatch(text)
        and not _ERROR.fullmatch(text)
        and is_plain(text)
    )


def is_shortened(text: str) -> bool:
    """Whether a spreadsheet turned an id into a number, and dropped digits or put in separators."""
    return _NUMBER.fullmatch(text) is not None


def is_spreadsheet_error(text: str) -> bool:
    """Whether this is what a spreadsheet writes for a cell that it could not compute."""
    return _ERROR.fullmatch(text) is not None
