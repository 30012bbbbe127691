"""Which format a file is in."""

from pathlib import Path

from worker.campaigns.columns import ColumnMatcher
from worker.campaigns.exports.base import Export
from worker.campaigns.exports.delimited import DelimitedExport
from worker.campaigns.exports.jsonl import JsonlExport
from worker.campaigns.exports.text import OverlongRowError, open_lines
from worker.campaigns.notices import Notices
from worker.errors import UsageError

_JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson"})


def open_export(path: Path, matcher: ColumnMatcher, notices: Notices) -> Export:
    """An export with its header understood: JSONL by its suffix or its first character, CSV otherwise.

    What is found out about its rows as they are read goes to ``notices``.

    Raises:
      InputError: the file can't be read.
      UsageError: its header can't be understood.
    """
    start = _first_text(path)
    if start == "[" or start.startswith(("[{", "[]")):
        raise UsageError(f"{path}: is one JSON array; write one object a line, as `jq -c '.[]'` does")
    if start == "{":
        raise UsageError(f"{path}: has objects of several lines; write one object a line, as `jq -c .` does")
    if start.startswith("{") or path.suffix.lower() in _JSONL_SUFFIXES:
        return JsonlExport(path, matcher)
    return DelimitedExport(path, matcher, notices)


def _first_text(path: Path) -> str:
    with open_lines(path) as lines:
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
