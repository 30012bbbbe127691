"""Reads an export's bytes as physical lines, in whatever encoding and with whatever line ends.

Without a byte order mark a sample can't tell UTF-8 from Windows-1252: the first name with an accent may come after a
million plain rows, and exports are put together from several sources. So each line is judged by itself: it is UTF-8 if
that works, otherwise Windows-1252. Windows-1252 that happens to be valid UTF-8 would need a capital accented letter
followed by a symbol, which doesn't occur. Other encodings must be named, so the first guess is reported. UTF-16 is read
with a byte order mark, if it is named, or if its first bytes are plain letters in it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.exports.encodings import LOOKED_AT, Encoding
from worker.campaigns.exports.sheet_rows import SheetRows
from worker.campaigns.warnings import ImportWarnings
from worker.errors import InputError

MAX_ROW = 4 * 1024 * 1024
"""Characters of the longest row that is read, with its quoted line ends. It bounds the memory of a row."""

ZIP = b"PK\x03\x04"
"""How a zip archive starts."""

_GUESS = "windows-1252"
MARK = "\ufeff"
"""A byte order mark as a character. A file that was saved twice has a second one, and a file that was put together has
one at the start of each part."""
_REPLACED = "\N{REPLACEMENT CHARACTER}"


class OverlongRowError(Exception):
    """A row is longer than :data:`MAX_ROW`. Only the readers of this package see it."""


class Lines(Iterator[str]):
    """The physical lines of a file. The reader that pulls them groups them into rows. For one thread.

    The reader calls :meth:`begin` before each row. The lines pulled since then are ``held``, and all but the first of
    them can be returned with :meth:`keep`, to be read again. So a stray quote costs one line, and not all lines up to
    the next quote.
    """

    def __init__(self, stream: TextIOWrapper, encoding: Encoding, source: "Source") -> None:
        self._readline = stream.readline
        self._encoding = encoding
        self._source = source
        self._returned: list[str] = []
        self._size = 0
        self.number = 0
        """The number of the last line pulled, from 1."""
        self.held: list[str] = []
        self.damaged = False
        """Whether a held line has bytes that are no text in the file's encoding."""

    def begin(self) -> None:
        """Start a new row with the next line."""
        self.held = []
        self._size = 0
        self.damaged = False

    def __next__(self) -> str:
        """The next line, with its line end.

        Raises:
          OverlongRowError: with this line the row is longer than :data:`MAX_ROW`. The line is held nevertheless.
        """
        if self._returned:
            # It may be empty: of a last line that is nothing but a byte order mark, nothing is left.
            line = self._returned.pop()
        elif not (line := self._read()):
            raise StopIteration
        # Nearly all lines are ASCII, which needs no decoding and has no byte order mark.
        if not line.isascii():
            line = self._decoded(line).lstrip(MARK)
        # NUL is in no text. It comes from UTF-16 that is read as bytes, or from a damaged file.
        if "\0" in line:
            self.damaged = True
        self.number += 1
        self.held.append(line)
        self._size += len(line)
        if self._size > MAX_ROW:
            raise OverlongRowError
        return line

    def keep(self, count: int) -> Sequence[str]:
        """Hold only the first ``count`` lines, and return them; the others are read again as rows of their own."""
        kept, rest = self.held[:count], self.held[count:]
        self._returned += reversed(rest)
        self.number -= len(rest)
        self.held = kept
        return kept

    def _read(self) -> str:
        line = self._readline(MAX_ROW + 1)
        if len(line) > MAX_ROW and line[-1] not in "\r\n":
            # What was read is enough to raise OverlongRowError; the rest of the line is skipped.
            while (rest := self._readline(MAX_ROW)) and rest[-1] not in "\r\n":
                pass
        return line

    def _decoded(self, line: str) -> str:
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
        # The bytes that were not UTF-8 came as lone surrogates, so the line can be turned back into its bytes.
        try:
            guessed = line.encode(errors="surrogateescape").decode("cp1252")
        except UnicodeDecodeError:
            self.damaged = True
            return line
        name = self._source.file.name
        self._source.met[_GUESS] = None
        self._source.warnings.once(
            f"encoding {name}",
            f"{name}: line {self.number + 1} is not UTF-8 and is read as Windows-1252, as is every other such "
            "line; if they are in another encoding, name it, such as --encoding cp1250, cp1251 or cp932",
        )
        return guessed


@dataclass(frozen=True)
class Source:
    """An export's file and how it is read: in the ``encoding`` that the command names, or as its bytes suggest.

    A guess is added to ``warnings``. ``met`` are the encodings that were met, in that order.
    """

    file: ExportFile
    encoding: str | None
    warnings: ImportWarnings
    met: dict[str, None] = field(default_factory=dict)
    rows: SheetRows = field(default_factory=SheetRows)
    """Where a spreadsheet shows the lines that were read last; each line by itself unless its format says more."""

    @property
    def encodings(self) -> str:
        """The encodings that the lines read so far are in."""
        return ", ".join(self.met)

    def left_out(self, kind: str, text: str, line: int) -> None:
        """Add a warning, once for each ``kind``, that the file's rows that ``text`` describes are left out."""
        name = self.file.name
        self.warnings.once(
            f"{kind} {name}", f"{name}: rows are left out that {text} (first in {self.rows.where(line)})"
        )

    def is_spreadsheet(self) -> bool:
        """Whether the file is a zip archive, which only a spreadsheet is by now.

        Raises:
          InputError: it can't be read.
        """
        try:
            with self.file.open() as file:
                return file.read(len(ZIP)) == ZIP
        except OSError as error:
            raise self._unreadable(error) from error

    def check(self) -> None:
        """Read an archive to its end, before any of its rows is used.

        Raises:
          InputError: it can't be read.
        """
        try:
            self.file.check()
        except OSError as error:
            raise self._unreadable(error) from error

    @contextmanager
    def lines(self) -> Iterator[Lines]:
        """The lines of the file, closed at the end of the ``with``; raises as :meth:`text`."""
        with self.text() as (stream, encoding):
            yield Lines(stream, encoding, self)

    @contextmanager
    def text(self) -> Iterator[tuple[TextIOWrapper, Encoding]]:
        """The text of the file with its line ends unchanged, and its encoding; closed at the end of the ``with``.

        Raises:
          InputError: the file can't be opened, unpacked or read.
          UsageError: its byte order mark contradicts the named encoding.
        """
        name = self.file.name
        try:
            # Opened twice, since a file that is unpacked while it is read has no way back.
            with self.file.open() as file:
                encoding = Encoding.of(name, file.read(LOOKED_AT), self.encoding)
            self.met[encoding.name] = None
            if encoding.unmarked:
                self.warnings.once(
                    f"unmarked {name}",
                    f"{name}: has no byte order mark and is read as {encoding.name.upper()}, as its first bytes are; "
                    "if it is in another encoding, name it with --encoding",
                )
            with self.file.open() as file, encoding.text(file) as stream:
                yield stream, encoding
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> InputError:
        return InputError(f"{self.file.name}: can't be read: {error.strerror or 'input/output error'}")
