"""Which file takes the rejected rows of which export."""

from collections.abc import Sequence
from pathlib import Path

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.exports.base import Export, Record
from worker.campaigns.reject_reasons import RejectReason
from worker.campaigns.rejects_file import RejectsFile
from worker.errors import UsageError


def refuse_overwriting(files: Sequence[ExportFile], asked: Path | None) -> None:
    """Check that no export is replaced by the rejected rows of this run. ``asked`` is the file of ``--rejects``.

    An export may be the rejects file of an earlier run, but not the one that this run writes.

    Raises:
      UsageError: it is.
    """
    exports = {file.on_disk.resolve() for file in files if file.on_disk is not None}
    for file in files:
        path = _path_of(file, asked)
        if path.resolve() in exports:
            raise UsageError(f"{path}: is an export of this run; name another file with --rejects")


class RejectedRows:
    """The rejects files of a command's exports, by the export that a row is of.

    Exports share a file with ``--rejects``, if they are of one folder or archive, or if one export is given twice. A
    suppression list has no rejected rows, and its columns must not be among the others': the file would be recognised
    as such a list. ``paths`` are the files with rows.
    """

    def __init__(self, exports: Sequence[Export], asked: Path | None) -> None:
        """Remove the files of earlier runs.

        Raises:
          InputError, UsageError: as for :class:`~worker.campaigns.rejects_file.RejectsFile`.
        """
        self.paths: list[Path] = []
        shared: dict[Path, list[Export]] = {}
        for export in exports:
            if not export.recognised.suppresses:
                shared.setdefault(_path_of(export.file, asked), []).append(export)
        self._files = [
            (RejectsFile(path, [one.columns for one in sharing]), sharing) for path, sharing in shared.items()
        ]
        # By identity, since one export may be given twice.
        self._of = {
            id(export): (file, position) for file, sharing in self._files for position, export in enumerate(sharing)
        }

    def add(self, export: Export, record: Record, reason: RejectReason) -> Path:
        """Add a row; returns its file.

        Raises:
          InputError: the file can't be written.
        """
        file, position = self._of[id(export)]
        row = export.row_of(record.line)
        file.add(position, record.line, row, reason, record.cells, apart=record.values is not None)
        if file.path not in self.paths:
            self.paths.append(file.path)
        return file.path

    def close(self) -> None:
        """Write the remaining rows; raises as :meth:`add`."""
        for file, _ in self._files:
            file.close()


def _path_of(export: ExportFile, asked: Path | None) -> Path:
    # Built by hand, since `with_name` raises for a path without a name; opening it reports what is wrong.
    # A folder that is given as `.` or `..` has no name of its own, and its file would be hidden.
    named = export.path.resolve() if export.path.name in ("", "..") else export.path
    return asked or export.path.parent / f"{named.name}.rejects.csv"
