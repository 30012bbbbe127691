"""An export's bytes as physical lines, whatever their encoding and their line ends.

Without a byte order mark there is no telling UTF-8 from Windows-1252 by a sample: the first name with an accent may
come after a million plain rows, and exports are put together from several sources. So every line decides for itself:
it is UTF-8 where that works and Windows-1252 otherwise. Text in Windows-1252 that happens to be valid UTF-8 needs a
capital accented letter followed by a symbol, and doesn't occur; other encodings have to be named, so the first guess is
said. UTF-16 is taken only with its byte order mark, or by its name.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from worker.campaigns.exports.encodings import LOOKED_AT, Encoding
from worker.campaigns.warnings import ImportWarnings
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

    def __init__(self, stream: TextIOWrapper, encoding: Encoding, path: Path, warnings: ImportWarnings) -> None:
        self._readline = stream.readline
        self._encoding = encoding
        self._path = path
        self._warnings = warnings
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
        if self._encoding.wide:
            self.damaged |= _REPLACED in line
            return line
        try:
            line.encode()
        except UnicodeEncodeError:
            if self._encoding.guessing:
                return self._guess(line)
            self.damaged = True
        return line

    def _guess(self, line: str) -> str:
        try:
            guessed = line.encode(errors="surrogateescape").decode("cp1252")
        except UnicodeDecodeError:
            self.damaged = True
            return line
        self._warnings.once(
            f"encoding {self._path}",
            f"{self._path}: line {self.number + 1} is not UTF-8 and is read as Windows-1252, as is every other such "
            "line; if they are in another encoding, name it, such as --encoding cp1250, cp1251 or cp932",
        )
        return guessed


@dataclass(frozen=True)
class Source:
    """The file of an export and how it is read: by the ``encoding`` that the command names, or by what it shows.

    What was guessed goes to ``warnings``.
    """

    path: Path
    encoding: str | None
    warnings: ImportWarnings

    @contextmanager
    def lines(self) -> Iterator[Lines]:
        """The lines of the file, closed at the end of the ``with``.

        Raises:
          InputError: the file can't be opened or read, is not a regular file or is compressed.
          UsageError: it has the byte order mark of another encoding than is named.
        """
        path = self.path
        try:
            if path.exists() and not path.is_file():
                # A pipe could be read once only, and the header is read before the rows.
                raise InputError(f"{path}: is not a regular file; save the export to a file first")
            with path.open("rb") as file:
                start = file.read(LOOKED_AT)
                if start.startswith(_COMPRESSED):
                    raise InputError(f"{path}: is compressed or a spreadsheet; unpack it, or save it as CSV, first")
                file.seek(0)
                encoding = Encoding.of(path, start, self.encoding)
                with encoding.text(file) as stream:
                    yield Lines(stream, encoding, path, self.warnings)
        except OSError as error:
            raise InputError(f"{path}: can't be read: {error.strerror or 'input/output error'}") from error
