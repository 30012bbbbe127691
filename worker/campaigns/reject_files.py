"""Which file takes the rejected rows of which export."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.exports.base import Export
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


def reject_files(exports: Sequence[Export], asked: Path | None) -> list[tuple[RejectsFile, int] | None]:
    """Each export's rejects file and its position among the exports that share it; None for a suppression list.

    They share a file with ``--rejects``, if they are of one folder or archive, or if one export is given twice. A
    suppression list has no rejected rows, and its columns must not be among the others': the file would be recognised
    as such a list.

    Raises:
      InputError, UsageError: as for :class:`~worker.campaigns.rejects_file.RejectsFile`.
    """
    paths = [None if export.recognised.suppresses else _path_of(export.file, asked) for export in exports]
    shared: dict[Path, list[Export]] = {}
    for path, export in zip(paths, exports, strict=True):
        if path is not None:
            shared.setdefault(path, []).append(export)
    files = {path: RejectsFile(path, [one.columns for one in sharing]) for path, sharing in shared.items()}
    taken: Counter[Path] = Counter()
    result: list[tuple[RejectsFile, int] | None] = []
    for path in paths:
        if path is None:
            result.append(None)
            continue
        result.append((files[path], taken[path]))
        taken[path] += 1
    return result


def _path_of(export: ExportFile, asked: Path | None) -> Path:
    # Built by hand, since `with_name` raises for a path without a name; opening it reports what is wrong.
    # A folder that is given as `.` or `..` has no name of its own, and its file would be hidden.
    named = export.path.resolve() if export.path.name in ("", "..") else export.path
    return asked or export.path.parent / f"{named.name}.rejects.csv"
