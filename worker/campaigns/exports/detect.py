"""Which format a file is in."""

from worker.campaigns.columns import ColumnMatcher
from worker.campaigns.exports.base import Export
from worker.campaigns.exports.delimited import DelimitedExport
from worker.campaigns.exports.jsonl import JsonlExport
from worker.campaigns.exports.text import OverlongRowError, Source
from worker.errors import UsageError

_JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson"})


def open_export(source: Source, matcher: ColumnMatcher) -> Export:
    """An export with its header understood: JSONL by its suffix or its first character, CSV otherwise.

    What is found out about its rows as they are read goes to its ``warnings``.

    Raises:
      InputError: the file can't be read.
      UsageError: its header can't be understood.
    """
    path, start = source.path, _first_text(source)
    if start == "[" or start.startswith(("[{", "[]")):
        raise UsageError(f"{path}: is one JSON array; write one object a line, as `jq -c '.[]'` does")
    if start == "{":
        raise UsageError(f"{path}: has objects of several lines; write one object a line, as `jq -c .` does")
    if start.startswith("{") or path.suffix.lower() in _JSONL_SUFFIXES:
        return JsonlExport(source, matcher)
    return DelimitedExport(source, matcher)


def _first_text(source: Source) -> str:
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
