"""Which format a file is in."""

from pathlib import Path

from worker.campaigns.columns import ColumnMatcher
from worker.campaigns.exports.base import Export
from worker.campaigns.exports.delimited import DelimitedExport
from worker.campaigns.exports.jsonl import JsonlExport
from worker.campaigns.exports.text import OverlongRowError, open_lines
from worker.errors import UsageError

_JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson"})


def open_export(path: Path, matcher: ColumnMatcher) -> Export:
    """An export with its header understood: JSONL by its suffix or its first character, CSV otherwise.

    Raises:
      InputError: the file can't be read.
      UsageError: its header can't be understood.
    """
    if path.suffix.lower() in _JSONL_SUFFIXES:
        return JsonlExport(path, matcher)
    start = _first_text(path)
    if start.startswith("{"):
        return JsonlExport(path, matcher)
    if start == "[" or start.startswith(("[{", "[]")):
        raise UsageError(f"{path}: is one JSON array; write one object a line, as `jq -c '.[]'` does")
    return DelimitedExport(path, matcher)


def _first_text(path: Path) -> str:
    with open_lines(path) as lines:
        while True:
            lines.begin()
            try:
                line = next(lines)
            except StopIteration:
                return ""
            except OverlongRowError:
                line = lines.return_all_but_first()
            if text := line[:4096].strip():
                return "".join(text[:64].split())
