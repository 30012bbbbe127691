"""Results as files: a row per job, in CSV or as lines of JSON."""

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

from worker.errors import InputError, UsageError

Format = Literal["csv", "jsonl"]

COLUMNS: tuple[str, ...] = (
    "line",
    "reference",
    "shop",
    "customer_email",
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
"""Columns of a results file: what a mailing needs first. ``link`` is the referral's own; ``referral`` and
``share_action`` are the vendor's objects in JSON."""


def header() -> str:
    """The CSV's first line."""
    return _line(COLUMNS)


def row(result: Mapping[str, Any]) -> str:
    """One result (its parsed JSON) as a line of CSV."""
    customer = result.get("customer") or {}
    referral = result.get("referral")
    derived = {
        "customer_email": customer.get("email"),
        "customer_shopid": customer.get("shopid"),
        "customer_bhid": customer.get("bhid"),
        "link": referral.get("link") if isinstance(referral, dict) else None,
    }
    return _line(_cell(derived[name] if name in derived else result.get(name)) for name in COLUMNS)


class ResultsFile:
    """A results file that grows: :meth:`rebuild` starts it anew, :meth:`resume` goes on with one that is there.

    Raises :class:`InputError` where the file can't be read or written, :class:`UsageError` where it is another's.
    """

    def __init__(self, path: Path, form: Format = "csv") -> None:
        self.path = path
        self._row = row if form == "csv" else _json_line
        self._header = header() if form == "csv" else ""
        self._file: io.TextIOWrapper | None = None

    def rebuild(self, results: Iterable[Mapping[str, Any]]) -> int:
        """Replace the file in one step, so that nobody reads half of one; returns how many rows it has."""
        draft = self.path.with_name(self.path.name + ".part")
        rows = 0
        try:
            with _text(draft, "w") as file:
                file.write(self._header)
                for result in results:
                    file.write(self._row(result))
                    rows += 1
            draft.replace(self.path)
            self._file = _text(self.path, "a")
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}") from error
        return rows

    def resume(self) -> Iterator[str]:
        """Open the file, cut off a row that a crash left unfinished, and yield the job ids it holds."""
        try:
            file = _text(self.path, "a")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{self.path}: another command writes to it; choose another --out") from None
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}") from error
        self._file = file
        end = 0
        for offset, job_id in self._known():
            end = offset
            if job_id is not None:
                yield job_id
        if end == 0:
            file.write(self._header)
        file.flush()
        os.ftruncate(file.fileno(), end or len(self._header))

    def add(self, body: str) -> None:
        """Append a result, given as its JSON."""
        assert self._file is not None, "rebuild or resume comes first"
        self._file.write(self._row(json.loads(body)))

    def flush(self) -> None:
        """Let readers see what was added."""
        if self._file is not None:
            self._file.flush()

    def sync(self) -> None:
        """See what was added onto the disk.

        Raises:
          InputError: it is full or broken.
        """
        if self._file is not None:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise InputError(f"{self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _known(self) -> Iterator[tuple[int, str | None]]:
        # Whole rows as (offset of their end, job id); the header has no id. What doesn't parse is no whole row.
        with self.path.open("rb") as raw:
            lines = _CountedLines(raw)
            if not self._header:
                for line in lines:
                    if not line.endswith("\n"):
                        return
                    yield lines.offset, json.loads(line)["job_id"]
                return
            for number, cells in enumerate(csv.reader(lines)):
                if number == 0 and cells != list(COLUMNS):
                    raise UsageError(
                        f"{self.path}: has other columns than results of this version; choose another --out"
                    )
                if len(cells) != len(COLUMNS) or not lines.last.endswith("\n"):
                    return
                yield lines.offset, cells[-1] if number else None


class _CountedLines:
    # Lines of a binary file as text, and how many bytes of it have been read.

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.offset = 0
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        for line in self._raw:
            self.offset += len(line)
            self.last = line.decode("utf-8", errors="replace")
            yield self.last


def _text(path: Path, mode: Literal["w", "a"]) -> io.TextIOWrapper:
    # The vendor's texts can hold lone surrogates, which UTF-8 doesn't take.
    return path.open(mode, encoding="utf-8", errors="backslashreplace", newline="")


def _json_line(result: Mapping[str, Any]) -> str:
    return json.dumps(result, separators=(",", ":")) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"))


def _line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
