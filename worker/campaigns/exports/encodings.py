"""The encoding of an export: the one that the command names, or what each line shows."""

import codecs
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from dataclasses import dataclass
from io import TextIOWrapper
from typing import BinaryIO

from worker.campaigns.csv_escaping import REJECTS, RESULTS
from worker.errors import UsageError

_USUAL = "cp1250 (Central Europe), cp1251 (Cyrillic), cp1252, cp932 (Japanese), gb18030 (Chinese), utf-16"
_NOT_OF_FILES = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
_PLAIN = "a,b\n"
_MARKS = {
    "utf-8": (BOM_UTF8,),
    # Before UTF-16, whose mark this one begins with.
    "utf-32": (BOM_UTF32_LE, BOM_UTF32_BE),
    "utf-16": (BOM_UTF16_LE, BOM_UTF16_BE),
}
_OURS = tuple(",".join(names).encode() for names in (REJECTS, RESULTS))

LOOKED_AT = 64
"""Bytes at the start of a file that its encoding is judged by."""

_WIDE = ("utf-16", "utf-32", "utf-7")
"""Encodings in which bytes that are no text can't be kept; U+FFFD stands for them."""


def parse_encoding(name: str) -> str:
    """Python's name for the encoding of ``--encoding NAME``.

    Raises:
      UsageError: it is unknown, or not an encoding of text.
    """
    try:
        codec = codecs.lookup(name).name
        # A codec that can't carry a plain header back and forth is none for files: Python also has some for bytes.
        usable = codec not in _NOT_OF_FILES and _PLAIN.encode(codec).decode(codec) == _PLAIN
    except (LookupError, ValueError):
        usable = False
    if not usable:
        raise UsageError(f"--encoding {name}: is not a known text encoding; common ones are {_USUAL}")
    return codec


@dataclass(frozen=True)
class Encoding:
    """How bytes become text.

    ``wide``: bytes that are no text become U+FFFD; in the other encodings they become lone surrogates, which can be
    turned back. ``guessing``: a line that is not valid UTF-8 is read as Windows-1252. ``unmarked``: it is known by its
    bytes to be UTF-16, although it has no mark.
    """

    codec: str
    wide: bool
    guessing: bool
    unmarked: bool = False

    @classmethod
    def of(cls, name: str, start: bytes, named: str | None) -> "Encoding":
        """The encoding of a file with these first bytes; ``named`` is that of ``--encoding``. Our own files are UTF-8.

        Raises:
          UsageError: its byte order mark contradicts the named encoding, or the named encoding needs a mark.
        """
        if start.startswith(_OURS):
            return cls("utf-8", wide=False, guessing=True)
        mark = next((codec for codec, marks in _MARKS.items() if start.startswith(marks)), None)
        if named is not None and mark is not None and not named.startswith(mark):
            raise UsageError(f"{name}: begins with the byte order mark of {mark.upper()}; leave --encoding out")
        if mark is None and named in ("utf-16", "utf-32") and start:
            raise UsageError(f"{name}: has no byte order mark; give --encoding {named}-le or --encoding {named}-be")
        unmarked = _unmarked(start) if mark is None and named is None else None
        codec = mark or named or unmarked or "utf-8"
        guessing = named is None and codec == "utf-8"
        return cls("utf-8-sig" if codec == "utf-8" else codec, codec.startswith(_WIDE), guessing, unmarked is not None)

    @property
    def name(self) -> str:
        """What a person calls it, such as ``utf-8``."""
        return self.codec.removesuffix("-sig")

    def text(self, file: BinaryIO) -> TextIOWrapper:
        """The file's text with its line ends unchanged."""
        return TextIOWrapper(
            file, encoding=self.codec, errors="replace" if self.wide else "surrogateescape", newline=""
        )


def _unmarked(start: bytes) -> str | None:
    # Column names are mostly ASCII, and in UTF-16 every other byte of ASCII is NUL.
    even, odd = start[::2], start[1::2]
    for codec, nuls, letters in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if 2 * nuls.count(0) > len(nuls) and 0 not in letters:
            return codec
    return None
