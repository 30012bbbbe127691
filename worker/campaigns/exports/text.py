"""An export's bytes as physical lines, whatever their encoding and their line ends.

Without a byte order mark there is no telling UTF-8 from Windows-1252 by a sample: the first name with an accent may
come after a million plain rows, and exports are put together from several sources. So every line decides for itself:
it is UTF-8 where that works and Windows-1252 otherwise. Text in Windows-1252 that happens to be valid UTF-8 needs a
capital accented letter followed by a symbol, and doesn't occur. UTF-16 is taken only with its byte order mark.
"""

import io
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker.errors import InputError

MAX_ROW = 4 * 1024 * 1024
"""Characters of the longest row that is read, quoted newlines included; it bounds the memory that a row can take."""

_COMPRESSED = (b"PK\x03\x04", b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_MARK = "\ufeff"
"""A byte order mark as a character: a file that was saved twice has another, and so has each part of one that was put
together."""
_REPLACED = "\N{REPLACEMENT CHARACTER}"


class OverlongRowError(Exception):
    """A row has grown beyond :data:`MAX_ROW`; for the readers of this package only."""


class Lines(Iterator[str]):
    """The physical lines of a file, grouped into rows by the reader that pulls them.

    The reader calls :meth:`begin` before each row; the lines pulled since then are ``held``, and those after the first
    ones can be given back. That is how a stray quote costs one line and not everything up to the next quote.
    """

    def __init__(self, stream: io.TextIOBase, *, wide: bool) -> None:
        self._readline = stream.readline
        self._wide = wide
        self._returned: list[str] = []
        self._size = 0
        self.number = 0
        """The line last pulled, from 1."""
        self.held: list[str] = []
        self.damaged = False
        """A held line has bytes that are no text in any encoding that is read here."""

    def begin(self) -> None:
        """A new row starts with the next line."""
        self.held = []
        self._size = 0
        self.damaged = False

    def __next__(self) -> str:
        """The next line with its line end.

        Raises:
          OverlongRowError: the row is longer than :data:`MAX_ROW` with this line, which is held all the same.
        """
        line = self._returned.pop() if self._returned else self._read()
        if not line:
            raise StopIteration
        if not line.isascii():
            line = self._mend(line).lstrip(_MARK)
        if "\0" in line:
            self.damaged = True
        self.number += 1
        self.held.append(line)
        self._size += len(line)
        if self._size > MAX_ROW:
            raise OverlongRowError
        return line

    def keep(self, count: int) -> Sequence[str]:
        """Take back the held lines after the first ``count``, to be read again as rows of their own; returns those."""
        kept, rest = self.held[:count], self.held[count:]
        self._returned += reversed(rest)
        self.number -= len(rest)
        self.held = kept
        return kept

    def _read(self) -> str:
        line = self._readline(MAX_ROW + 1)
        if len(line) > MAX_ROW and line[-1] not in "\r\n":
            # What is kept is enough to be found overlong; the rest of the line is let go.
            while (rest := self._readline(MAX_ROW)) and rest[-1] not in "\r\n":
                pass
        return line

    def _mend(self, line: str) -> str:
        if self._wide:
            self.damaged |= _REPLACED in line
            return line
        try:
            line.encode()
        except UnicodeEncodeError:
            try:
                return line.encode(errors="surrogateescape").decode("cp1252")
            except UnicodeDecodeError:
                self.damaged = True
        return line


@contextmanager
def open_lines(path: Path) -> Iterator[Lines]:
    """The lines of a file, closed at the end of the ``with``.

    Raises:
      InputError: the file can't be opened or read, is not a regular file or is compressed.
    """
    try:
        if path.exists() and not path.is_file():
            # A pipe could be read once only, and the header is read before the rows.
            raise InputError(f"{path}: is not a regular file; save the export to a file first")
        with path.open("rb") as file:
            start = file.read(8)
            if start.startswith(_COMPRESSED):
                raise InputError(f"{path}: is compressed or a spreadsheet; unpack it, or save it as CSV, first")
            file.seek(0)
            wide = start.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
            with io.TextIOWrapper(
                file,
                encoding="utf-16" if wide else "utf-8-sig",
                errors="replace" if wide else "surrogateescape",
                newline="",
            ) as stream:
                yield Lines(stream, wide=wide)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or 'input/output error'}") from error
