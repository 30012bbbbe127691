"""The physical lines of a file as bytes, counted as the reader of its text counts them."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.exports.encodings import LOOKED_AT, Encoding
from worker.errors import InputError

_CHUNK = 1024 * 1024

_LONGEST = 16 * 1024 * 1024
"""Bytes of a line that are held; a longer one is no row, and passes in pieces."""

_STATEFUL = ("utf-7", "iso2022", "hz")
"""Encodings in which the bytes of a character depend on those before it, so that nothing can be put between them."""

_WIDE = {"utf-16": 2, "utf-32": 4}
_LITTLE = (b"\xff\xfe",)


def encoding_of(file: ExportFile, named: str | None) -> Encoding:
    """The encoding of an export; ``named`` is that of ``--encoding``.

    Raises:
      UsageError: as :meth:`Encoding.of`.
      InputError: nothing can be put between the bytes of this encoding.
    """
    with file.open() as opened:
        start = opened.read(LOOKED_AT)
    encoding = Encoding.of(file.name, start, named)
    _codec(file.name, encoding, start)
    return encoding


class RawLines:
    """Reads the lines of ``file`` and copies them to ``out``. For one pass; holds one line.

    ``codec`` is the encoding in which texts can be put between the bytes, without a mark of its own.
    """

    def __init__(self, name: str, file: BinaryIO, out: BinaryIO, encoding: Encoding) -> None:
        """Raises :class:`InputError` if nothing can be put between the bytes of this encoding."""
        self._file = file
        self._out = out
        self._name = name
        first = file.read(_CHUNK)
        self.codec = _codec(name, encoding, first)
        self._guessing = encoding.guessing
        self.number = 0
        """The number of the last line taken, from 1."""
        self.cut = False
        """Whether the last line was too long to be held: what :meth:`take` gave of it is its end."""
        self._pieces = self._read(first)

    def take(self) -> tuple[bytes, bytes] | None:
        """The next line and its end, neither of them copied yet; None at the end of the file."""
        self.cut = False
        for content, end, whole in self._pieces:
            if whole:
                self.number += 1
                return content, end
            self._out.write(content)
            self.cut = True
        return None

    def put(self, data: bytes) -> None:
        """Write bytes where the reading stands."""
        self._out.write(data)

    def text(self, content: bytes) -> str:
        """A line as text, read as the reader of rows reads it; what is none is replaced."""
        try:
            return content.decode(self.codec)
        except UnicodeDecodeError:
            return content.decode("cp1252" if self._guessing else self.codec, errors="replace")

    def _read(self, first: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
        """Each line and its end; of a line that is too long, first its pieces, which are not whole."""
        unit = _WIDE.get(self.codec[:6], 1)
        ends = [sign.encode(self.codec) for sign in ("\r\n", "\n", "\r")]
        lines_in = _whole_lines if unit == 1 else _wide_lines(ends)
        rest, chunk = b"", first
        while chunk:
            data = rest + chunk
            size = 0
            for line in lines_in(data):
                size += len(line)
                yield *_parted(line, ends), True
            rest = data[size:]
            if len(rest) > _LONGEST:
                # What may be half an end is kept.
                held = 2 * unit + len(rest) % unit
                yield rest[:-held], b"", False
                rest = rest[-held:]
            chunk = self._file.read(_CHUNK)
        if rest:
            yield *_parted(rest, ends), True


def _whole_lines(data: bytes) -> Sequence[bytes]:
    # The last one may go on, and a CR may be followed by its LF.
    return data.splitlines(keepends=True)[:-1]


def _wide_lines(ends: Sequence[bytes]) -> Callable[[bytes], Iterator[bytes]]:
    """As :func:`_whole_lines`, for characters of several bytes; the data begins with a whole one."""
    both, feed, back = map(re.escape, ends)
    one = b"." * len(ends[1])
    line = re.compile(b"(?:(?!%b|%b)%b)*+(?:%b|%b|%b)" % (feed, back, one, both, feed, back), re.DOTALL)

    def lines(data: bytes) -> Iterator[bytes]:
        at = 0
        while (found := line.match(data, at)) and not (found.end() == len(data) and found[0].endswith(ends[2])):
            yield found[0]
            at = found.end()

    return lines


def _parted(line: bytes, ends: Sequence[bytes]) -> tuple[bytes, bytes]:
    for end in ends:
        if line.endswith(end):
            return line[: -len(end)], end
    return line, b""


def _codec(name: str, encoding: Encoding, first: bytes) -> str:
    codec = encoding.name
    if codec in ("utf-16", "utf-32"):
        return f"{codec}-{'le' if first.startswith(_LITTLE) else 'be'}"
    if codec.startswith(_STATEFUL) or (not codec.startswith(tuple(_WIDE)) and "\r\n".encode(codec) != b"\r\n"):
        raise InputError(f"{name}: nothing can be merged into text in {codec.upper()}; export it again in UTF-8")
    return codec
