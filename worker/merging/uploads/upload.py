"""From rows and their results to the files of an upload."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from worker.merging.merged_rows import MergedRow
from worker.merging.uploads.cells import ExportCells
from worker.merging.uploads.parts import Part, UploadParts
from worker.merging.uploads.selection import Selection, UploadRow
from worker.merging.uploads.tool import Tool


class Uploaded(NamedTuple):
    """What was written. ``left_out`` counts the rows that are in no file by why (:data:`.selection.WHY_NOT`)."""

    parts: Sequence[Part]
    left_out: Counter[str]


def write_upload(rows: Iterable[MergedRow], tool: Tool, link_column: str, out: Path) -> Uploaded:
    """Write the files that a tool's importer takes, with the links of the rows that were sent.

    The files appear together at the end, or not at all. Blocks on the disk; 30 bytes a person are kept, in a temporary
    file where they are many.

    Raises:
      UsageError: a file is there that would be replaced, or the name of the link's column can't be used.
      InputError: a row was only rehearsed, or a file can't be read or written.
    """
    tool.check_name(link_column)
    with UploadParts(tool, link_column, out) as parts, Selection(tool) as selection:
        for upload in selection.uploads(_upload_rows(rows, tool, link_column)):
            parts.add(upload)
        return Uploaded(parts.finish(), selection.left_out)


def _upload_rows(rows: Iterable[MergedRow], tool: Tool, link_column: str) -> Iterable[UploadRow]:
    cells: dict[int, ExportCells] = {}
    for row in rows:
        of_export = cells.get(id(row.export))
        if of_export is None:
            of_export = cells[id(row.export)] = ExportCells(tool, link_column, row.export)
        yield of_export.row(row)
