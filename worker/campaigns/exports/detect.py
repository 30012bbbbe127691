"""Finds out which format an export is in."""

import re
from pathlib import PurePath

from worker.campaigns.exports.base import Export
from worker.campaigns.exports.delimited import DelimitedExport
from worker.campaigns.exports.jsonl import JsonExport, several_lines
from worker.campaigns.exports.text import OverlongRowError, Source
from worker.campaigns.presets.recognition import Recognition
from worker.errors import UsageError

_ARRAY = re.compile(r'\[(?:$|[][{"]|(?:null|true|false|-?\d+(?:\.\d+)?)[],])')
"""How an array of JSON starts, without its blanks. A column may be called ``[Email]``."""

_JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson"})
_PACKED = frozenset({".gz", ".gzip"})


def open_export(source: Source, recognition: Recognition) -> Export:
    """The export in the file, with its header matched: JSON by its first characters or its suffix, otherwise CSV.

    Problems of its rows are added to ``source.warnings`` as they are read.

    Raises:
      InputError: the file can't be read.
      UsageError: its header can't be used.
    """
    if source.is_spreadsheet():
        # Imported only now: its library would make the start of every other command a third slower.
        from worker.campaigns.exports.xlsx.export import XlsxExport

        return XlsxExport(source, recognition)
    # JSON of other shapes would be read as CSV with one strange column, so it is refused with the command that helps.
    name, start = source.file.name, _first_text(source)
    if _ARRAY.match(start):
        return JsonExport(source, recognition, array=True)
    if start == "{":
        raise UsageError(several_lines(name))
    if start.startswith("{") or _suffix(source) in _JSONL_SUFFIXES:
        return JsonExport(source, recognition, array=False)
    return DelimitedExport(source, recognition)


def _suffix(source: Source) -> str:
    path = PurePath(source.file.member or source.file.path)
    return (PurePath(path.stem) if path.suffix.lower() in _PACKED else path).suffix.lower()


def _first_text(source: Source) -> str:
    # Blank lines at the start are skipped, and only the first characters of a long line are looked at.
    with source.lines() as lines:
        while True:
            lines.begin()
            try:
                line = next(lines)
            except StopIteration:
                return ""
            except OverlongRowError:
                line = lines.keep(1)[0]
            if text := line[:4096].strip():
                return "".join(text[:64].split())
