"""Results files: one row per job, in CSV or as lines of JSON."""

import io
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

from worker.errors import InputError, UsageError
from worker.private_files import (
    draft_name,
    is_own_file,
    lock,
    new_draft,
    open_problem,
    opened_folder,
    private_opener,
    remove_draft,
)
from worker.results.resumed import Header, whole_rows
from worker.results.rows import header, json_line, row

Format = Literal["csv", "jsonl"]


class ResultsFile:
    """A results file that grows. :meth:`rebuild` starts it anew, :meth:`resume` continues an existing one.

    :meth:`add` and :meth:`flush` may be called from different threads: in an embedded run the consumer's thread adds
    and the main thread flushes. Every method may block on the disk.

    Raises :class:`InputError` if the file can't be read or written, and :class:`UsageError` if it is no results file or
    :func:`~worker.private_files.private_opener` refuses it.
    """

    def __init__(self, path: Path, form: Format = "csv") -> None:
        self.path = path
        self._row: Callable[[Mapping[str, Any]], str] = row if form == "csv" else json_line
        self._header = header() if form == "csv" else ""
        self._file: io.TextIOWrapper | None = None
        self._lock = threading.Lock()

    def rebuild(self, results: Iterable[Mapping[str, Any]]) -> int:
        """Replace the file in one step, so that no reader sees half of it; returns its number of rows."""
        rows = 0
        try:
            # By the folder's descriptor: if the folder is renamed meanwhile, both files are still in the same one.
            with opened_folder(self.path) as folder:
                is_own_file(self.path, folder)
                draft = draft_name(self.path)
                try:
                    with _wrapped(new_draft(draft, folder)) as file:
                        file.write(self._header)
                        for result in results:
                            file.write(self._row(result))
                            rows += 1
                    os.replace(draft, self.path.name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    remove_draft(draft, folder)
                    raise
                self._file = _appended(self.path, folder)
        except OSError as error:
            raise self._failed(error) from error
        return rows

    def resume(self) -> Iterator[tuple[str, str]]:
        """Open the file, cut off an unfinished row at its end, and yield the job id and outcome of each row.

        Must be iterated to its end before rows are added. A crash can leave an unfinished row.

        Raises:
          UsageError: it is no results file, a row was edited, or another command writes to it.
        """
        try:
            self._file = _appended(self.path)
            yield from self._resumed(self._file)
        except BaseException as error:
            if self._file is not None:
                self._file.close()
                self._file = None
            if isinstance(error, OSError):
                raise self._failed(error) from error
            raise

    def add(self, result: Mapping[str, Any]) -> None:
        """Append a result, given as its parsed JSON.

        Raises:
          InputError: the disk is full or broken.
        """
        assert self._file is not None, "rebuild or resume comes first"
        # Made before the lock is taken, which is for the file alone.
        text = self._row(result)
        with self._lock:
            try:
                self._file.write(text)
            except OSError as error:
                raise self._failed(error) from error

    def flush(self) -> None:
        """Write what was added to the file, so that readers see it; raises as :meth:`add`."""
        if self._file is not None:
            with self._lock:
                try:
                    self._file.flush()
                except OSError as error:
                    raise self._failed(error) from error

    def sync(self) -> None:
        """Sync what was added to the disk. Blocks for some milliseconds or more.

        Raises:
          InputError: the disk is full or broken.
        """
        self.flush()
        if self._file is not None:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._failed(error) from error

    def close(self) -> None:
        """Sync and close; raises as :meth:`sync`."""
        try:
            self.sync()
        finally:
            if self._file is not None:
                # Closing tries once more to write what could not be written, fails again, and closes nevertheless.
                with suppress(OSError):
                    self._file.close()
                self._file = None

    def _failed(self, error: OSError) -> InputError:
        return InputError(f"{open_problem(self.path, error)}; nothing is lost; fix that and run the same command again")

    def _resumed(self, file: io.TextIOWrapper) -> Iterator[tuple[str, str]]:
        """Lock the file, yield the job id and outcome of each row, and cut off a torn row at the end."""
        if not lock(file, self.path):
            raise UsageError(f"{self.path}: another command writes to it; choose another --out")
        end = 0
        for offset, found in whole_rows(self.path, csv_header=bool(self._header)):
            end = offset
            if isinstance(found, Header):
                # A file of an earlier version goes on with its own columns, so that all of its rows are alike.
                self._row = partial(row, columns=found.columns)
            else:
                yield found
        os.ftruncate(file.fileno(), end)
        if end == 0:
            file.write(self._header)
            file.flush()


def _appended(path: Path, folder: int | None = None) -> io.TextIOWrapper:
    return _wrapped(open(path, "ab", opener=partial(private_opener, folder=folder)))


def _wrapped(raw: BinaryIO) -> io.TextIOWrapper:
    # The vendor's texts can hold lone surrogates, which UTF-8 can't encode; they are written as escapes.
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", newline="")
