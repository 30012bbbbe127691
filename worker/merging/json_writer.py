"""Merged exports in JSON: the export's own bytes, and keys at the end of each object."""

import json
from collections.abc import Iterator, Sequence
from io import BufferedReader
from itertools import islice
from typing import BinaryIO

from worker.campaigns.exports.base import Record
from worker.campaigns.exports.json_array import offsets
from worker.campaigns.exports.jsonl import JsonExport
from worker.merging.appended import check_columns, objects
from worker.merging.merged_rows import MergedRow
from worker.merging.raw_lines import RawLines, encoding_of
from worker.merging.writers import Remarks, not_in_step

_CHUNK = 1024 * 1024


class _Appended:
    """The keys of a row as text. JSON's escapes are ASCII, which every encoding has."""

    def __init__(self, export: JsonExport, names: Sequence[str], remarks: Remarks) -> None:
        """Check the first object of an export; raises as :func:`check_columns`."""
        self._name = export.file.name
        self._names = names
        self._marks = [json.dumps(one) for one in names]
        self._remarks = remarks
        for record in islice(export.records(), 1):
            self._check(record)

    def of(self, row: MergedRow) -> str | None:
        """What stands before the object's closing brace; None if the row is no object that can be read."""
        record = row.record
        if _is_unreadable(record):
            self._remarks.leave("unreadable", row)
            return None
        self._check(record)
        text = record.cells[0]
        appended = json.dumps(objects(row, self._names), separators=(",", ":"))[1:-1]
        return appended if not text[1:-1].strip() else f",{appended}"

    def _check(self, record: Record) -> None:
        text = record.cells[0]
        if any(mark in text for mark in self._marks) and not _is_unreadable(record):
            check_columns(f"{self._name}: line {record.line}", json.loads(text), self._names)


class JsonLinesWriter:
    """Appends to lines of JSON."""

    def __init__(self, export: JsonExport, encoding: str | None, names: Sequence[str], remarks: Remarks) -> None:
        """``encoding`` is that of ``--encoding``; raises as :func:`check_columns` and :func:`encoding_of`."""
        self._export = export
        self._encoding = encoding_of(export.file, encoding)
        self._appended = _Appended(export, names, remarks)

    def write(self, rows: Iterator[MergedRow], out: BinaryIO) -> None:
        file = self._export.file
        with file.open() as stream:
            lines = RawLines(file.name, stream, out, self._encoding)
            brace = "}".encode(lines.codec)
            for row in rows:
                self._blank_until(row.record.line, lines)
                taken = lines.take()
                if taken is None:
                    raise not_in_step(file.name)
                content, end = taken
                text = self._appended.of(row)
                if text is not None:
                    at = content.rfind(brace)
                    if at < 0:
                        raise not_in_step(file.name)
                    content = content[:at] + text.encode(lines.codec) + content[at:]
                lines.put(content + end)
            self._blank_until(None, lines)

    def _blank_until(self, line: int | None, lines: RawLines) -> None:
        while line is None or lines.number < line - 1:
            taken = lines.take()
            if taken is None:
                if line is None:
                    return
                raise not_in_step(self._export.file.name)
            content, end = taken
            if lines.text(content).strip().strip("\ufeff"):
                raise not_in_step(self._export.file.name)
            lines.put(content + end)


class JsonArrayWriter:
    """Appends to the objects of one JSON array, wherever its lines break."""

    def __init__(self, export: JsonExport, encoding: str | None, names: Sequence[str], remarks: Remarks) -> None:
        """``encoding`` is that of ``--encoding``.

        Raises:
          UsageError, InputError: as :func:`check_columns`, :func:`encoding_of` and :func:`offsets`.
        """
        self._export = export
        self._encoding = encoding_of(export.file, encoding)
        with export.file.open() as file:
            # What nothing can be put into is refused now, and not after an hour of collecting.
            next(offsets(export.file.name, file, self._encoding), None)
        self._appended = _Appended(export, names, remarks)

    def write(self, rows: Iterator[MergedRow], out: BinaryIO) -> None:
        file = self._export.file
        done = 0
        with file.open() as cutting, file.open() as stream:
            ends = offsets(file.name, cutting, self._encoding)
            for row in rows:
                found = next(ends, None)
                if found is None or found[0] != row.record.line:
                    raise not_in_step(file.name)
                text = self._appended.of(row)
                if text is None:
                    continue
                done = self._copy(stream, out, done, found[1] - 1)
                if stream.peek(1)[:1] != b"}":
                    raise not_in_step(file.name)
                out.write(text.encode())
            if next(ends, None) is not None:
                raise not_in_step(file.name)
            while data := stream.read(_CHUNK):
                out.write(data)

    @staticmethod
    def _copy(stream: BufferedReader, out: BinaryIO, done: int, until: int) -> int:
        while done < until and (data := stream.read(min(_CHUNK, until - done))):
            out.write(data)
            done += len(data)
        return done


def _is_unreadable(record: Record) -> bool:
    return record.values is None and record.flaw == "unreadable_row"
