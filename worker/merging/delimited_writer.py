"""Merged exports in CSV: the export's own bytes, and cells at the end of each row."""

import csv
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from worker.campaigns.exports.delimited import DelimitedExport
from worker.merging.appended import cells, check_columns
from worker.merging.merged_rows import MergedRow
from worker.merging.raw_lines import RawLines, encoding_of
from worker.merging.writers import Remarks, not_in_step

_BLANK = "\"'\x1a\ufeff"
"""What a blank row may have beside white space: quotes of empty cells, our apostrophes, DOS's end of a file, marks."""

_GUESSED = "cp1252"
_CHUNK = 1024 * 1024


class DelimitedWriter:
    """Appends to a CSV, in its delimiter, its encoding and its line ends.

    If every column name of the export is quoted, so is every cell that is appended.
    """

    def __init__(self, export: DelimitedExport, encoding: str | None, names: Sequence[str], remarks: Remarks) -> None:
        """``encoding`` is that of ``--encoding``; raises as :func:`check_columns` and :func:`encoding_of`."""
        check_columns(export.file.name, export.columns, names)
        self._export = export
        self._encoding = encoding_of(export.file, encoding)
        self._names = names
        self._remarks = remarks
        self._delimiter = export.delimiter
        self._special = {export.delimiter, '"', "\r", "\n"}
        self._quoted = False
        self._mixed = False
        self._codec = ""

    def write(self, rows: Iterator[MergedRow], out: BinaryIO) -> None:
        file = self._export.file
        self._mixed = self._encoding.guessing and not self._is_utf8()
        with file.open() as stream:
            lines = RawLines(file.name, stream, out, self._encoding)
            self._codec = lines.codec
            self._header(lines)
            for row in rows:
                self._row(row, lines)
            self._between(lines, None)

    def _header(self, lines: RawLines) -> None:
        dialect = self._export.dialect
        if dialect.headless:
            return
        # What stands before the header may be blank lines, and the line by which a spreadsheet states the delimiter.
        for number in range(1, dialect.first + dialect.height):
            content, end = self._taken(lines)
            if number == dialect.first:
                text = lines.text(content).lstrip("\ufeff")
                self._quoted = text.startswith('"') and text.endswith('"') and dialect.height == 1
            if number == dialect.first + dialect.height - 1:
                content += self._encoded(self._names, content)
            lines.put(content + end)

    def _row(self, row: MergedRow, lines: RawLines) -> None:
        record = row.record
        self._between(lines, record.line)
        for _ in range(record.lines - 1):
            lines.put(b"".join(self._taken(lines)))
        content, end = self._taken(lines)
        missing = 0
        if record.values is None:
            missing = self._missing(row, lines, content)
        if missing >= 0:
            appended = cells(row, len(self._names))
            content += self._encoded([""] * missing + appended if missing else appended, content)
        lines.put(content + end)

    def _missing(self, row: MergedRow, lines: RawLines, content: bytes) -> int:
        """How many cells a row lacks that could not be used as it is; -1 if nothing may be appended to it."""
        width = len(self._export.columns)
        record = row.record
        if lines.cut or record.lines != 1:
            if record.lines > 1 and len(record.cells) == width:
                return 0
            self._remarks.leave("open quotes", row)
            return -1
        # With a second line a row whose quotes are open goes on in it.
        reader = csv.reader([lines.text(content) + "\n", "\n"], delimiter=self._delimiter)
        try:
            found = next(reader, [])
        except csv.Error:
            found = []
        if reader.line_num > 1 or not found:
            self._remarks.leave("open quotes", row)
            return -1
        if len(found) > width:
            self._remarks.leave("surplus cells", row)
            return -1
        return width - len(found)

    def _between(self, lines: RawLines, until: int | None) -> None:
        """Copy the blank lines before a row, or those to the end. One that has all cells gets empty ones more."""
        while until is None or lines.number < until - 1:
            taken = lines.take()
            if taken is None:
                if until is None:
                    return
                raise not_in_step(self._export.file.name)
            content, end = taken
            if content:
                text = lines.text(content)
                # The white space of any script, as in the reader of rows.
                if "".join(text.replace(self._delimiter, "").split()).strip(_BLANK) or lines.cut:
                    raise not_in_step(self._export.file.name)
                # With an odd number of quotes it is a part of a blank row, within a cell.
                if text.count(self._delimiter) == len(self._export.columns) - 1 > 0 and text.count('"') % 2 == 0:
                    content += self._encoded([""] * len(self._names), content)
            lines.put(content + end)

    def _taken(self, lines: RawLines) -> tuple[bytes, bytes]:
        taken = lines.take()
        if taken is None:
            raise not_in_step(self._export.file.name)
        return taken

    def _encoded(self, appended: Sequence[str], content: bytes) -> bytes:
        """Cells as they follow a row with this content."""
        if self._quoted:
            appended = [f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in appended]
        else:
            appended = [
                cell if self._special.isdisjoint(cell) else f'"{cell.replace(chr(34), chr(34) * 2)}"'
                for cell in appended
            ]
        text = self._delimiter + self._delimiter.join(appended)
        codec = self._codec
        # Where lines are of two encodings, as files that were put together are, each goes by its own.
        if self._mixed and not text.isascii() and not (_is_utf8(content) and not content.isascii()):
            codec = _GUESSED
        try:
            return text.encode(codec)
        except UnicodeEncodeError:
            self._remarks.substituted += 1
            return text.encode(codec, errors="replace")

    def _is_utf8(self) -> bool:
        decoder = getincrementaldecoder("utf-8")()
        with self._export.file.open() as file:
            try:
                while data := file.read(_CHUNK):
                    decoder.decode(data)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                return False
        return True


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
