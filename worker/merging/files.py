"""The files that merged exports are written to: whole and together, or not at all."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import BinaryIO, Self

from worker.campaigns.containers.base import ExportFile
from worker.errors import InputError, UsageError
from worker.merging.appended import COLUMNS
from worker.private_files import (
    check_folder,
    draft_name,
    is_own_file,
    new_draft,
    open_problem,
    opened_folder,
    remove_draft,
)
from worker.text.visible import is_unseen

_MARKS = tuple(name.encode() for name in COLUMNS)
_LOOKED_AT = 1024 * 1024
_LONGEST_NAME = 120
_PACKED = (".gz", ".gzip")
_NOT_IN_NAMES = frozenset('/\\:*?"<>|')


def targets(exports: Sequence[ExportFile], out: Path) -> Sequence[Path]:
    """The file for each export: ``out``, or a file within the folder ``out`` under the export's own name.

    It is a folder if there are several exports, or if there is such a folder.

    Raises:
      UsageError: ``out`` is a file and several exports need a folder.
    """
    if len(exports) == 1 and not out.is_dir():
        return [out]
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file, and {len(exports)} exports need a folder; choose another --out")
    taken: set[str] = set()
    found = []
    for export in exports:
        name = _own_name(export)
        stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}{suffix}"
        taken.add(name.casefold())
        found.append(out / name)
    return found


def check_targets(paths: Sequence[Path], read: Sequence[Path]) -> None:
    """Check that nothing is lost where the merged exports come; ``read`` are the files that the command reads.

    Raises:
      UsageError: a path is one of those, has a workbook's name, holds something else than a merged export, or is
        refused as by :func:`~worker.private_files.private_opener`.
      InputError: it can't be looked at, or its folder can't be written to.
    """
    known = {path.resolve() for path in read}
    for path in paths:
        if path.resolve() in known:
            raise UsageError(f"{path}: is read by this command, and --out would overwrite it; choose another --out")
        if path.suffix.lower() == ".xlsx":
            raise UsageError(f"--out {path}: no workbook is written; what comes from one is CSV, so let it end in .csv")
        # Of several files the folder is made, where there is none yet.
        check_folder(path, path.parent.parent if len(paths) > 1 and not path.parent.exists() else None)
        try:
            if is_own_file(path):
                with path.open("rb") as file:
                    start = file.read(_LOOKED_AT)
                plain = start.replace(b"\0", b"")
                if start and not all(mark in plain for mark in _MARKS):
                    raise UsageError(
                        f"{path}: is no merged export and would be replaced; remove it, or choose another --out"
                    )
        except OSError as error:
            raise InputError(open_problem(path, error)) from error


class MergedFiles:
    """Writes each export to a draft beside its file; :meth:`finish` gives the drafts their names.

    Without that nothing of them is left. Every method may block on the disk.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._stack = ExitStack()
        self._folders: Mapping[Path, int] = {}
        self._drafts: dict[Path, str] = {}
        self._made: Path | None = None

    def __enter__(self) -> Self:
        """Make the folder, if there is none yet; raises InputError."""
        path = self._paths[0]
        try:
            if len(self._paths) > 1 and not path.parent.exists():
                path.parent.mkdir(mode=0o700)
                self._made = path.parent
            # By descriptors: if a folder is renamed meanwhile, draft and file are still in the same one.
            self._folders = {
                folder: self._stack.enter_context(opened_folder(folder / "any"))
                for folder in {path.parent for path in self._paths}
            }
        except OSError as error:
            self._stack.close()
            raise InputError(open_problem(path, error)) from error
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        for path, draft in self._drafts.items():
            remove_draft(draft, self._folders[path.parent])
        self._stack.close()
        if self._made is not None:
            # Only an empty folder can be removed.
            with suppress(OSError):
                self._made.rmdir()

    def draft(self, path: Path) -> BinaryIO:
        """A draft to write to, for one of the paths; :meth:`end` closes it.

        Raises:
          OSError: it can't be made.
        """
        draft = self._drafts[path] = draft_name(path)
        return new_draft(draft, self._folders[path.parent])

    def finish(self) -> None:
        """Give the drafts their names; raises OSError."""
        for path, draft in tuple(self._drafts.items()):
            folder = self._folders[path.parent]
            os.replace(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            del self._drafts[path]


def end_draft(file: BinaryIO) -> None:
    """Sync a draft to the disk and close it; raises OSError."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _own_name(export: ExportFile) -> str:
    """The export's name within its folder or archive, as the name of a file that leads nowhere else."""
    name = PurePosixPath((export.member or export.path.name).replace("\\", "/")).name
    path = PurePosixPath(name)
    if path.suffix.lower() in _PACKED:
        path = PurePosixPath(path.stem)
    suffix = ".csv" if path.suffix.lower() == ".xlsx" else path.suffix
    stem = "".join("_" if sign in _NOT_IN_NAMES or is_unseen(sign) else sign for sign in path.stem)
    # Cut by bytes, since file systems count them.
    stem = stem.lstrip(".").encode(errors="replace")[:_LONGEST_NAME].decode(errors="ignore") or "export"
    return f"{stem}{suffix[:20]}"
