"""Writes the upload files: parts of a bounded size, which appear whole and together, or not at all."""

import csv
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from worker.errors import InputError, UsageError
from worker.merging.uploads.selection import Upload
from worker.merging.uploads.tool import Identifier, Tool
from worker.private_files import check_folder, draft_name, new_draft, open_problem, opened_folder, remove_draft


class Part(NamedTuple):
    """A file that was written: ``rows`` without its header, ``size`` in bytes."""

    path: Path
    identifier: str
    rows: int
    size: int


def refuse_existing(out: Path) -> None:
    """Check that an upload called ``out`` replaces nothing. What could be an older part of it counts, too.

    Raises:
      UsageError: a file is there that one of its files would replace, or that would be taken for one of them; or
        ``out`` is no name for a CSV file.
      InputError: the folder can't be read.
    """
    if out.suffix.lower() != ".csv":
        raise UsageError(f"--out {out}: importers know a file by its name; let it end in .csv")
    check_folder(out)
    names = re.compile(rf"{re.escape(out.stem)}(?:-\d+)?{re.escape(out.suffix)}")
    try:
        there = sorted(path for path in out.parent.iterdir() if names.fullmatch(path.name))
    except OSError as error:
        raise _failed(out, error) from error
    if there:
        raise UsageError(
            f"{there[0]}: is there already, and would be replaced or taken for a part of this upload; remove it, or "
            "choose another --out"
        )


@dataclass
class _Draft:
    name: str
    identifier: Identifier
    file: BinaryIO
    inode: int
    rows: int = 0
    size: int = 0

    def close(self) -> None:
        """Sync to the disk and close; raises OSError."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()


class UploadParts:
    """The files of one upload. They get their names in :meth:`finish`; without it nothing of them is left.

    ``out`` is the file's name if one is enough, otherwise its parts are called ``NAME-1.csv``, ``NAME-2.csv`` … beside
    it, also those with another identifier: a file has only one. Writing may block on the disk.
    """

    def __init__(self, tool: Tool, link_column: str, out: Path) -> None:
        self._tool = tool
        self._link_column = link_column
        self._out = out
        self._constants = list(tool.constants.values())
        self._to_line = csv.writer(_Line(), delimiter=tool.delimiter, lineterminator="\n")
        self._open: dict[int, _Draft] = {}
        self._drafts: list[_Draft] = []
        self._names: list[str] = []
        self._stack = ExitStack()
        self._folder = -1

    def __enter__(self) -> Self:
        """Check that the files can be written before anything is read.

        Raises:
          UsageError, InputError: as :func:`refuse_existing`.
        """
        refuse_existing(self._out)
        try:
            # By its descriptor: if the folder is renamed meanwhile, drafts and files are still in the same one.
            self._folder = self._stack.enter_context(opened_folder(self._out))
        except OSError as error:
            raise _failed(self._out, error) from error
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        for draft in self._drafts:
            with suppress(OSError):
                draft.file.close()
        for name in self._names:
            remove_draft(name, self._folder)
        self._stack.close()

    def add(self, upload: Upload) -> None:
        """Add a line.

        Raises:
          InputError: the disk is full or broken.
        """
        line = self._line([upload.identifier, *self._constants, upload.link])
        draft = self._open.get(upload.kind)
        try:
            if draft is None or self._is_full(draft, len(line)):
                draft = self._next(upload.kind)
            draft.file.write(line)
        except OSError as error:
            raise _failed(self._out, error) from error
        draft.rows += 1
        draft.size += len(line)

    def finish(self) -> Sequence[Part]:
        """Give the files their names; returns them, none if no line was added.

        Raises:
          UsageError: a file is there by now that one of these would replace.
          InputError: the disk is full or broken; then none of them is left.
        """
        if not self._drafts:
            return []
        refuse_existing(self._out)
        parts: list[Part] = []
        given: list[tuple[str, int]] = []
        try:
            for draft in self._open.values():
                draft.close()
            for number, draft in enumerate(self._drafts, start=1):
                name = self._out.name if len(self._drafts) == 1 else f"{self._out.stem}-{number}{self._out.suffix}"
                # Before it gets the name: Ctrl-C may come right after.
                given.append((name, draft.inode))
                self._rename(draft.name, name)
                parts.append(Part(self._out.with_name(name), draft.identifier.name, draft.rows, draft.size))
        except BaseException as error:
            for name, inode in given:
                with suppress(OSError):
                    # Where another file has come meanwhile, the name is that one's.
                    if os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_ino == inode:
                        os.unlink(name, dir_fd=self._folder)
            if isinstance(error, OSError):
                raise _failed(self._out, error) from error
            raise
        return parts

    def _rename(self, draft: str, name: str) -> None:
        try:
            # A link never replaces a file that has come meanwhile; renaming would.
            os.link(draft, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            remove_draft(draft, self._folder)
        except FileExistsError:
            raise
        except OSError:
            # Some file systems have no links. It was looked whether there is such a file.
            os.rename(draft, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _is_full(self, draft: _Draft, more: int) -> bool:
        if draft.size + more > self._tool.most_bytes:
            return True
        return self._tool.most_rows is not None and draft.rows >= self._tool.most_rows

    def _next(self, kind: int) -> _Draft:
        """Begin a further file of an identifier, in place of the one that is full."""
        identifier = self._tool.identifiers[kind]
        # Closed when it is full: of hundreds of parts only one for each identifier may be open.
        name = draft_name(self._out)
        self._names.append(name)
        file = new_draft(name, self._folder)
        draft = _Draft(name, identifier, file, os.fstat(file.fileno()).st_ino)
        self._drafts.append(draft)
        if kind in self._open:
            self._open[kind].close()
        self._open[kind] = draft
        header = self._line(self._tool.header(identifier, self._link_column))
        draft.file.write(header)
        draft.size = len(header)
        return draft

    def _line(self, cells: Sequence[str]) -> bytes:
        line: str = self._to_line.writerow(cells)
        return line.encode()


class _Line:
    """What the standard library's writer writes to: it hands each line back, so that its bytes can be counted."""

    def write(self, text: str) -> str:
        return text


def _failed(out: Path, error: OSError) -> InputError:
    return InputError(f"{open_problem(out, error)}; no upload file was written")
