"""The texts that the cells of a workbook share, kept in a private file: there may be millions of them."""

import os
import tempfile
import weakref
from array import array
from collections.abc import Mapping
from typing import IO

from worker.campaigns.exports.xlsx.xml import parse
from worker.errors import InputError

MOST = 1 << 24
"""Texts that are read: 16 for each row of the longest sheet. Their places take 134 MB."""

LONGEST = 32_767
"""Characters that a cell can have. One that has more makes its row unreadable. It bounds the memory of rows that share
a text: a few bytes of XML name it, and each row gets it whole."""

_REMEMBERED, _SHORT = 20_000, 100
"""Texts that are kept in memory, and characters of one: countries, tags and other words that come again and again."""


class SharedStrings:
    """The texts by their number."""

    def __init__(self, name: str, part: IO[bytes] | None) -> None:
        """Read all of them, which takes seconds for a million.

        Raises:
          InputError: they are damaged, too many, or can't be kept.
        """
        self._name = name
        self._ends = array("Q")
        self._known: dict[int, str] = {}
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this object
        weakref.finalize(self, self._file.close)
        try:
            if part is not None:
                self._read(part)
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"{name}: can't be kept in {tempfile.gettempdir()}: {error.strerror}; name another folder with TMPDIR"
            ) from error

    def __getitem__(self, number: int) -> str:
        """The text; raises IndexError."""
        known = self._known.get(number)
        if known is not None:
            return known
        if number < 0:
            raise IndexError(number)
        begin, end = self._ends[number - 1] if number else 0, self._ends[number]
        text = os.pread(self._file.fileno(), end - begin, begin).decode()
        if len(text) <= _SHORT and len(self._known) < _REMEMBERED:
            self._known[number] = text
        return text

    def _read(self, part: IO[bytes]) -> None:
        texts = TextCollector()
        size = [0]

        def end(tag: str) -> None:
            if tag == "si":
                if len(self._ends) == MOST:
                    raise InputError(f"{self._name}: has more than {MOST:,} different texts; save it as CSV")
                size[0] += self._file.write(texts.take().encode())
                self._ends.append(size[0])
            else:
                texts.end(tag)

        for _ in parse(self._name, part, texts.start, end, texts.text):
            pass


class TextCollector:
    """The text of a cell, which may come in pieces of different fonts. Pronunciations (``rPh``) are no part of it."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0
        self._in_text = False
        self._skipping = False

    def start(self, tag: str, _: Mapping[str, str]) -> None:
        if tag == "t":
            self._in_text = not self._skipping
        elif tag == "rPh":
            self._skipping = True

    def end(self, tag: str) -> None:
        if tag == "t":
            self._in_text = False
        elif tag == "rPh":
            self._skipping = False

    def text(self, text: str) -> None:
        # Of what is beyond the bound one character is kept, by which it is known.
        if self._in_text and (kept := text[: LONGEST + 1 - self._size]):
            self._pieces.append(kept)
            self._size += len(kept)

    def take(self) -> str:
        """The text, to begin anew."""
        text = "".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return text
