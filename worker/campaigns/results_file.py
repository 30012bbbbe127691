"""Results files: one row per job, in CSV or as lines of JSON."""

import csv
import io
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

from worker.campaigns.csv_escaping import RESULTS, escape_cell, escape_json_cell
from worker.errors import InputError, UsageError
from worker.private_files import is_own_file, lock, open_problem, opened_folder, private_opener
from worker.text.bounds import RESULT_LINE, loads
from worker.text.visible import to_json

Format = Literal["csv", "jsonl"]

COLUMNS: tuple[str, ...] = (
    *RESULTS,
    "customer_shopid",
    "customer_bhid",
    "channel",
    "destination",
    "outcome",
    "code",
    "link",
    "message",
    "share_action",
    "referral",
    "sender",
    "status",
    "attempts",
    "called_at",
    "finished_at",
    "latency_seconds",
    "published_at",
    "campaign",
    "run",
    "job_id",
)
"""Columns of a results file, those that a mailing needs first. ``link`` is taken from the referral; ``referral`` and
``share_action`` are the vendor's objects as JSON."""

_OUTCOME = COLUMNS.index("outcome")
_HEADER = ("", "")
"""Stands for the header line among the rows of a CSV."""

_OTHER, _TORN = ("no", "result"), ("ends", "here")
"""Stand for a row that is not ours, and for a row that is cut off by the end of the file."""

_JOB_ID = re.compile(r"[0-9a-f]{32}")


def header() -> str:
    """The CSV's first line."""
    return _line(COLUMNS)


def row(result: Mapping[str, Any]) -> str:
    """One result, given as its parsed JSON, as a line of CSV."""
    customer, referral = (_object(result.get(name)) for name in ("customer", "referral"))
    derived = {
        "customer_email": customer.get("email"),
        "customer_shopid": customer.get("shopid"),
        "customer_bhid": customer.get("bhid"),
        "link": referral.get("link"),
    }
    return _line(_cell(derived[name] if name in derived else result.get(name)) for name in COLUMNS)


class ResultsFile:
    """A results file that grows. :meth:`rebuild` starts it anew, :meth:`resume` continues an existing one.

    :meth:`add` and :meth:`flush` may be called from different threads: in an embedded run the consumer's thread adds
    and the main thread flushes. Every method may block on the disk.

    Raises :class:`InputError` if the file can't be read or written, and :class:`UsageError` if it is no results file or
    :func:`~worker.private_files.private_opener` refuses it.
    """

    def __init__(self, path: Path, form: Format = "csv") -> None:
        self.path = path
        self._row = row if form == "csv" else _json_line
        self._header = header() if form == "csv" else ""
        self._file: io.TextIOWrapper | None = None
        self._lock = threading.Lock()

    def rebuild(self, results: Iterable[Mapping[str, Any]]) -> int:
        """Replace the file in one step, so that no reader sees half of it; returns its number of rows."""
        draft = self.path.with_name(self.path.name + ".part")
        rows = 0
        try:
            # By the folder's descriptor: if the folder is renamed meanwhile, both files are still in the same one.
            with opened_folder(self.path) as folder:
                is_own_file(self.path, folder)
                try:
                    with _text(draft, "w", folder) as file:
                        file.write(self._header)
                        for result in results:
                            file.write(self._row(result))
                            rows += 1
                    os.replace(draft.name, self.path.name, src_dir_fd=folder, dst_dir_fd=folder)
                except OSError:
                    with suppress(OSError):
                        os.unlink(draft.name, dir_fd=folder)
                    raise
                self._file = _text(self.path, "a", folder)
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
            self._file = _text(self.path, "a")
            yield from self._resumed(self._file)
        except BaseException as error:
            if self._file is not None:
                self._file.close()
                self._file = None
            if isinstance(error, OSError):
                raise self._failed(error) from error
            raise

    def add(self, body: str) -> None:
        """Append a result, given as its JSON.

        Raises:
          InputError: the disk is full or broken.
        """
        self.add_parsed(json.loads(body))

    def add_parsed(self, result: Mapping[str, Any]) -> None:
        """Append a result, given as its parsed JSON; raises as :meth:`add`."""
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
        for offset, held in self._known():
            end = offset
            if held is not _HEADER:
                yield held
        os.ftruncate(file.fileno(), end)
        if end == 0:
            file.write(self._header)
            file.flush()

    def _known(self) -> Iterator[tuple[int, tuple[str, str]]]:
        """Each whole row, as the offset of its end and its job id and outcome.

        A row that isn't whole must be at the end of the file, where a crash leaves one. A whole row that is no result
        was written by somebody else.

        Raises:
          UsageError: a row is no result, or the file is in the other format.
        """
        with open(self.path, "rb", opener=private_opener) as raw:
            lines = _CountedLines(raw)
            rows = self._csv_rows(lines) if self._header else map(_json_row, lines)
            for number, held in enumerate(rows, start=1):
                torn = held is _TORN or not lines.last.endswith("\n")
                if torn and (self._header or number > 1 or lines.last.startswith("{")) and not raw.read(1):
                    return
                if number == 1 and not self._header and lines.last.startswith(header()[:-1]):
                    raise UsageError(
                        f"{self.path}: holds results as CSV; leave out --format jsonl, or choose another --out"
                    )
                if torn or (held is not _HEADER and not _JOB_ID.fullmatch(held[0])):
                    raise UsageError(f"{self.path}: row {number} is not a result; fix it or choose another --out")
                yield lines.offset, held

    def _csv_rows(self, lines: "_CountedLines") -> Iterator[tuple[str, str]]:
        """The header, then the job id and outcome of each row, or what stands for them."""
        rest = iter(lines)
        first = next(rest, "")
        if not self._header.startswith(first) and first.rstrip("\r\n") != self._header.rstrip("\n"):
            if _json_row(first) is not _OTHER:
                raise UsageError(
                    f"{self.path}: holds results as lines of JSON; add --format jsonl, or choose another --out"
                )
            raise UsageError(f"{self.path}: has other columns than results of this version; choose another --out")
        yield _HEADER
        # The standard library refuses cells over 128 KiB by default, and a referral's JSON may be longer.
        csv.field_size_limit(max(csv.field_size_limit(), RESULT_LINE.size))
        reader = csv.reader(rest, strict=True)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                # Our rows have no such quotes. Quotes that are still open at the end of the file mean a torn row.
                yield _TORN if lines.ended else _OTHER
                return
            yield (cells[-1], cells[_OUTCOME]) if len(cells) == len(COLUMNS) else _OTHER


def _json_row(line: str) -> tuple[str, str]:
    """The job id and outcome in a line of JSON."""
    try:
        result = loads(line, RESULT_LINE)
        return str(result["job_id"]), str(result["outcome"])
    except (ValueError, TypeError, KeyError):
        return _OTHER


class _CountedLines:
    """The lines of a binary file as text.

    ``offset`` is how many bytes they had, which is where a torn row is cut off; ``ended``: the file has no more.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.ended = False
        self.offset = 0
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        for line in iter(lambda: self._raw.readline(RESULT_LINE.size), b""):
            self.offset += len(line)
            self.last = line.decode("utf-8", errors="replace")
            yield self.last
        self.ended = True


def _text(path: Path, mode: Literal["w", "a"], folder: int | None = None) -> io.TextIOWrapper:
    # The vendor's texts can hold lone surrogates, which UTF-8 can't encode; they are written as escapes.
    opener = partial(private_opener, folder=folder)
    return open(path, mode, encoding="utf-8", errors="backslashreplace", newline="", opener=opener)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _json_line(result: Mapping[str, Any]) -> str:
    return to_json(result, separators=(",", ":")) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return escape_cell(value) if isinstance(value, str) else escape_json_cell(json.dumps(value, separators=(",", ":")))


def _line(cells: Iterable[str]) -> str:
    """The cells as a line of CSV."""
    buffer = io.StringIO()
    # The writer quotes a cell that holds a character of its line terminator. With CR LF it also quotes a cell with a
    # bare CR; the line then ends in LF alone.
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue()[:-2] + "\n"
