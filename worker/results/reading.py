"""Reads results files back, as `referrals collect` and `referrals run` write them: CSV or lines of JSON."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from worker.errors import InputError, UsageError
from worker.private_files import open_problem
from worker.results.parsing import Parse, from_csv, from_json
from worker.results.rows import begins_header, columns_of
from worker.text.bounds import RESULT_LINE

Found = tuple[int, dict[str, Any]]
"""A result as its parsed JSON, after the offset of its row in the file, in bytes."""

_BLOCK = 1024 * 1024
_MARK = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which editors put in front."""

_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip"}


class ResultsReader:
    """One results file, read as often as is asked for. Holds one block of 1 MiB, or the longest row.

    The file stays open, so it is the same one even if another command replaces it meanwhile. ``note`` is told of a last
    row that is cut off. Every method may block on the disk.

    Raises :class:`InputError` if the file can't be read or a row of it is no result, and :class:`UsageError` if it is
    no results file at all.
    """

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self.path = path
        self._note: Callable[[str], None] | None = note
        try:
            # Opening must not wait for the writer of a pipe, which couldn't be read twice.
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            problem = open_problem(path, error)
            if error.errno == errno.EMFILE:
                problem += "; give fewer at once, or raise `ulimit -n`"
            raise InputError(problem) from error
        try:
            self._start, self._parse = self._format()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def rows(self, holding: Sequence[bytes] = ()) -> Iterator[Found]:
        """Each result in the order of the rows.

        ``holding``: only rows that hold one of these texts, in lower case as they are given and in any case in the
        file. Rows without them are skipped unread: 1 GB a second, where reading takes 40 µs a row.
        """
        for offset, line, whole in self._lines(holding):
            found = self._result(offset, line, whole=whole) if line.strip() else None
            if found is not None:
                yield offset, found

    def at(self, offset: int) -> dict[str, Any]:
        """The result of the row at an offset that :meth:`rows` gave."""
        size = 4096
        while b"\n" not in (line := self._read(size, offset)) and len(line) == size:
            size *= 16
        row, end, _ = line.partition(b"\n")
        found = self._result(offset, row, whole=bool(end))
        if found is None:
            raise InputError(f"{self.path}: was cut while it was read; run the same command again")
        return found

    def _format(self) -> tuple[int, Parse]:
        """Where the rows begin, and what reads one."""
        first = self._read(4096, 0)
        for magic, name in _PACKED.items():
            if first.startswith(magic):
                raise UsageError(f"{self.path}: is packed by {name}; unpack it first")
        start = len(_MARK) if first.startswith(_MARK) else 0
        if first.startswith(b"{", start):
            return start, from_json
        line, end, _ = first[start:].partition(b"\n")
        heading = line.decode(errors="replace")
        if (columns := columns_of(heading)) is not None:
            return start + len(line) + len(end), partial(from_csv, columns=columns)
        if not end and begins_header(heading):
            # As by a crash; it holds no results.
            return len(first), from_csv
        raise UsageError(
            f"{self.path}: is no results file of this version: it begins neither with the columns that `referrals "
            "collect` writes nor with a line of JSON"
        )

    def _lines(self, holding: Sequence[bytes]) -> Iterator[tuple[int, bytes, bool]]:
        """Each line after its offset, without its end, and whether it had one: the file's last may have none."""
        offset, rest = self._start, b""
        while block := self._read(_BLOCK, offset + len(rest)):
            # Lines are searched only within the new block: a long row would else be searched again with each block.
            end = block.rfind(b"\n") + 1
            if not end:
                rest += block
                if len(rest) > RESULT_LINE.size:
                    raise self._no_result(offset, "it is longer than any result")
                continue
            whole = rest + block[:end]
            if _holds(whole, holding):
                at = offset
                for line in whole[:-1].split(b"\n"):
                    if _holds(line, holding):
                        yield at, line, True
                    at += len(line) + 1
            offset += len(whole)
            rest = block[end:]
        if rest and _holds(rest, holding):
            yield offset, rest, False

    def _result(self, offset: int, line: bytes, *, whole: bool) -> dict[str, Any] | None:
        """The result in a line; None if it is no ``whole`` line and the rest of it is missing."""
        try:
            return self._parse(line.removesuffix(b"\r"))
        except ValueError as error:
            if whole:
                raise self._no_result(offset, str(error)) from None
        if self._note is not None:
            self._note(f"{self.path}: the last row is cut off and doesn't count, as while another command writes it")
            self._note = None
        return None

    def _no_result(self, offset: int, why: str) -> InputError:
        number, counted = 1, 0
        while counted < offset and (block := self._read(min(_BLOCK, offset - counted), counted)):
            number += block.count(b"\n")
            counted += len(block)
        return InputError(f"{self.path}: row {number:,} is not a result: {why}")

    def _read(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._file, size, offset)
        except OSError as error:
            if error.errno == errno.ESPIPE:
                raise InputError(f"{self.path}: can be read only once; save it to a file first") from error
            raise InputError(open_problem(self.path, error)) from error


def _holds(text: bytes, any_of: Sequence[bytes]) -> bool:
    if not any_of:
        return True
    text = text.lower()
    return any(needle in text for needle in any_of)
