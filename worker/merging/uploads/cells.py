"""Finds in the rows of an export what a tool knows its people by. Pure."""

from collections.abc import Callable, Sequence

from worker.campaigns.columns import normalized
from worker.campaigns.exports.base import Export, Record
from worker.errors import UsageError
from worker.merging.merged_rows import MergedRow
from worker.merging.uploads.selection import UploadRow
from worker.merging.uploads.tool import Tool
from worker.text.bounds import ROW, loads

_ATTRIBUTES = "custom_attributes"
"""The object in which Braze's exports keep custom attributes."""

_NOTHING_RETURNED = UploadRow(sent=False, rehearsed=False, link=None, identifiers=())

_Cell = Callable[[Record], str]


class ExportCells:
    """What a tool needs of the rows of one export.

    Raises:
      UsageError: two columns have the name of an identifier, and either may be the right one.
    """

    def __init__(self, tool: Tool, link_column: str, export: Export) -> None:
        self._columns = [normalized(column) for column in export.columns]
        self._name = export.file.name
        self._is_json = export.format == "json"
        self._identifiers: list[_Cell] = []
        for identifier in tool.identifiers:
            if identifier.source is not None:
                self._identifiers.append(_field(identifier.source))
            else:
                own = identifier.own if export.preset == tool.name else ()
                self._identifiers.append(self._column([*identifier.columns, *own]))
        # Only what is billed is compared with what is there; elsewhere the column is not looked for.
        self._current = self._column([link_column]) if tool.billed else _nothing

    def row(self, merged: MergedRow) -> UploadRow:
        """What decides about a row."""
        if merged.returned is None:
            return _NOTHING_RETURNED
        return UploadRow(
            sent=merged.outcome == "sent",
            rehearsed=merged.returned.rehearsed,
            link=merged.returned.link,
            identifiers=[cell(merged.record) for cell in self._identifiers],
            current=self._current(merged.record),
        )

    def _column(self, names: Sequence[str]) -> _Cell:
        """What reads the first of some columns."""
        wanted = [normalized(name) for name in names]
        if self._is_json:
            return lambda record: _of_object(record, wanted)
        for name, spelling in zip(names, wanted, strict=True):
            found = [index for index, column in enumerate(self._columns) if column == spelling]
            if len(found) > 1:
                raise UsageError(f"{self._name}: has {len(found)} columns '{name}'; rename all but one in the export")
            if found:
                index = found[0]
                return lambda record: record.cells[index].strip() if index < len(record.cells) else ""
        return _nothing


def _field(name: str) -> _Cell:
    return lambda record: getattr(record.values, name, "")


def _nothing(_: Record) -> str:
    return ""


def _of_object(record: Record, wanted: Sequence[str]) -> str:
    """The text or the number of the first of some keys of an object, or of its custom attributes."""
    try:
        found = loads(record.cells[0], ROW)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    attributes = found.get(_ATTRIBUTES)
    cells = {normalized(key): value for key, value in attributes.items()} if isinstance(attributes, dict) else {}
    cells |= {normalized(key): value for key, value in found.items()}
    for name in wanted:
        value = cells.get(name)
        # A float has lost digits, and its text is refused as such.
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""
