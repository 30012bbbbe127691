"""The elements of one JSON array, each as its text, while the file is read."""

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from worker.campaigns.exports.encodings import Encoding
from worker.campaigns.exports.text import MARK, MAX_ROW, Source
from worker.errors import InputError

_CHUNK = 64 * 1024
_SIGN = re.compile(r'"[^"\\\r\n]*(?:\\.[^"\\\r\n]*)*"|[\[\]{},"]')
"""A string, or a sign that opens, closes or parts. A lone quote opens a string that doesn't end in this line."""

_IN_STRING = re.compile(r'[^"\\\r\n]*(?:\\.[^"\\\r\n]*)*')
_NOT_DECODED = re.compile(r"[\0\ud800-\udfff]")
_REPLACED = re.compile(r"[\0\N{REPLACEMENT CHARACTER}]")
"""NUL, and what stands for bytes that are not in the file's encoding; see :class:`Encoding`."""


class Element(NamedTuple):
    """An element: the line where it starts, its text, and whether that is whole and readable.

    ``end`` is how many characters of the array's text there are up to its end.
    """

    line: int
    text: str
    readable: bool
    end: int


class _Elements:
    """Cuts a text at the commas of its outermost array, as the text comes in. What isn't JSON is cut there too.

    So a broken element is one element that can't be read, and the next one can. An element that is longer than
    :data:`MAX_ROW` is given up, with its start.
    """

    def __init__(self, damage: re.Pattern[str], longest: int = MAX_ROW) -> None:
        self._damage = damage
        self._longest = longest
        self._text = ""
        self._dropped = 0
        self._begin = 0
        self._at = 0
        self._line = 1
        self._depth = 0
        self._in_string = False
        self._too_long = False
        self.closed = False
        """Whether the array has ended."""

    def feed(self, text: str) -> Iterator[Element]:
        """More of the text, and the elements that are whole now."""
        self._text = self._text[self._begin :] + text
        self._at -= self._begin
        self._dropped += self._begin
        self._begin = 0
        while not self.closed:
            if self._in_string and not self._skip_string():
                break
            sign = _SIGN.search(self._text, self._at)
            if sign is None:
                self._at = len(self._text)
                break
            kind = sign[0]
            self._at = sign.end()
            if kind in "[{":
                self._depth += 1
                if self._depth == 1:
                    yield from self._cut(sign.start())
                    self._begin = self._at
            elif kind == "]" or (kind == "}" and self._depth > 1):
                self._depth -= 1
                if self._depth == 0:
                    yield from self._cut(sign.start())
                    self.closed = True
            elif kind == "," and self._depth == 1:
                yield from self._cut(sign.start())
            elif kind == '"':
                self._in_string = True
        if self.closed:
            self._at = len(self._text)
        if self._at - self._begin > self._longest or len(self._text) - self._begin > 2 * self._longest:
            yield from self._give_up()

    def end(self) -> Iterator[Element]:
        """What is left at the end of the text. Behind the array's end it is no element, whatever it looks like."""
        yield from self._cut(len(self._text))

    def _cut(self, end: int) -> Iterator[Element]:
        """The element up to here; none if it is blank or was given up."""
        piece = self._text[self._begin : end]
        text = piece.lstrip()
        if text and not self._too_long:
            line = self._line + _lines(piece[: len(piece) - len(text)])
            end_of_it = self._dropped + self._begin + len(piece.rstrip())
            yield Element(line, text.rstrip(), not self.closed and not self._damage.search(text), end_of_it)
        self._too_long = False
        self._line += _lines(piece)
        self._begin = min(end + 1, len(self._text))

    def _give_up(self) -> Iterator[Element]:
        if not self._too_long:
            piece = self._text[self._begin : self._begin + self._longest]
            line = self._line + _lines(piece[: len(piece) - len(piece.lstrip())])
            yield Element(line, piece.lstrip(), readable=False, end=0)
        self._too_long = True
        self._line += _lines(self._text[self._begin :])
        self._text = self._text[self._at :]
        self._dropped += self._at
        self._begin = self._at = 0

    def _skip_string(self) -> bool:
        """Go on to the end of a string, and tell whether it is there. A line end is one: JSON has none in a string."""
        found = _IN_STRING.match(self._text, self._at)
        self._at = found.end() if found else self._at
        rest = self._text[self._at : self._at + 2]
        if rest in ("", "\\"):
            return False
        self._at += 1
        self._in_string = rest[0] == "\\"
        return not self._in_string or self._skip_string()


def elements(source: Source) -> Iterator[Element]:
    """The elements of the array in the file. Holds one of them at a time.

    A warning is added if the array doesn't end: the file was cut off.

    Raises:
      InputError: the file can't be read any further.
    """
    with source.text() as (stream, encoding):
        cutter = _Elements(_REPLACED if encoding.wide else _NOT_DECODED)
        # A second byte order mark, see Lines.
        yield from cutter.feed(stream.read(_CHUNK).lstrip(MARK))
        while text := stream.read(_CHUNK):
            yield from cutter.feed(text)
    yield from cutter.end()
    if not cutter.closed:
        name = source.file.name
        source.warnings.once(
            open_end(name), f"{name}: ends before its JSON array does; if the file was cut off, rows are missing"
        )


def offsets(name: str, file: BinaryIO, encoding: Encoding) -> Iterator[tuple[int, int]]:
    """For each element that :func:`elements` gives, its line and how many bytes there are up to its end.

    Raises:
      InputError: the bytes of this encoding don't tell where an element ends.
    """
    if encoding.name != "utf-8" and len(bytes(range(256)).decode(encoding.codec, errors="replace")) != 256:
        raise InputError(f"{name}: nothing can be put into an array in {encoding.name.upper()}; export it in UTF-8")
    # Read as if each byte were a character: the signs of JSON are single bytes, which no other character has in it.
    cutter = _Elements(_NOT_DECODED, 4 * MAX_ROW)
    chunk, marks = file.read(_CHUNK), 0
    while chunk.startswith(BOM_UTF8):
        chunk, marks = chunk[len(BOM_UTF8) :], marks + len(BOM_UTF8)
    while chunk:
        yield from ((element.line, marks + element.end) for element in cutter.feed(chunk.decode("latin-1")))
        chunk = file.read(_CHUNK)
    yield from ((element.line, marks + element.end) for element in cutter.end())


def open_end(name: str) -> str:
    """The kind of the warning that a file's array doesn't end."""
    return f"open {name}"


def _lines(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")
