"""The ledger of an embedded run on disk: a line before and a line after each call.

The journal is the truth of a run; results.csv is derived from it. It holds what the results hold, addresses included.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from worker.errors import InputError, UsageError
from worker.store.base import Ask, Go
from worker.store.memory import MemoryStore, Started, Waiting

VERSION = 1


class Journal:
    """An append-only file of JSON lines, locked by one process at a time.

    Use it as a context manager. Every line is with the operating system when its method returns, so it outlives the
    process; :meth:`close` also sees it onto the disk.

    Raises:
      UsageError: the file belongs to another campaign, or another run has it open.
      InputError: it can't be read or written, or a line other than the last is damaged.
    """

    def __init__(self, path: Path, campaign: str) -> None:
        self.path = path
        try:
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from error
        try:
            self._lock()
            self._mend_tail()
            self._check_header(campaign)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Sync and unlock."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def started(self, ask: Ask, grant: Go) -> None:
        """A call is about to be made."""
        self._append(
            {
                "event": "started",
                "job_id": ask.job_id,
                "shop": ask.shop,
                "customer": ask.customer,
                "attempts": grant.attempts,
                "takeovers": grant.takeovers,
                "at": grant.start_at,
            }
        )

    def released(self, ask: Ask, grant: Go, *, called: bool) -> None:
        """The attempt doesn't count; ``called`` tells whether the call was made all the same."""
        self._append(
            {
                "event": "released",
                "job_id": ask.job_id,
                "attempts": grant.attempts - 1,
                "takeovers": grant.takeovers,
                "called": called,
            }
        )

    def repeated(self, ask: Ask, grant: Go, not_before: int) -> None:
        """The call is to be made again from ``not_before``."""
        self._append(
            {
                "event": "repeat",
                "job_id": ask.job_id,
                "attempts": grant.attempts,
                "takeovers": grant.takeovers,
                "not_before": not_before,
            }
        )

    def finished(self, body: str) -> None:
        """A final result, as its JSON."""
        self._write(b'{"event":"result","result":' + body.encode("ascii") + b"}\n")

    def results(self) -> Iterator[dict[str, Any]]:
        """The final results so far."""
        for line in self._lines():
            if line["event"] == "result":
                yield line["result"]

    def restore(self, store: MemoryStore, ask_of: Callable[[str, str, str], Ask | None]) -> None:
        """Put back into the store what earlier runs left: jobs whose call was never answered, repeats, day counts.

        ``ask_of(shop, customer, job_id)`` builds a question under today's limits, None for a shop that is gone.
        """
        records: dict[str, Started | Waiting] = {}
        calls: dict[str, tuple[str, str, int]] = {}
        for line in self._lines():
            match line:
                case {"event": "started", "job_id": job_id, "shop": shop, "customer": customer, "at": at}:
                    # An open call of a process that is gone is up for takeover at once: nobody else can be making it.
                    records[job_id] = Started(0, 0, line["attempts"], line["takeovers"])
                    self._count(store, ask_of, calls.pop(job_id, None), job_id)
                    calls[job_id] = (shop, customer, at)
                case {"event": "released", "job_id": job_id, "attempts": attempts, "called": called}:
                    records[job_id] = Waiting(attempts, line["takeovers"], 0)
                    if not called:
                        calls.pop(job_id, None)
                case {"event": "repeat", "job_id": job_id, "attempts": attempts, "not_before": not_before}:
                    records[job_id] = Waiting(attempts, line["takeovers"], not_before)
                case {"result": result}:
                    records.pop(result["job_id"], None)
                    self._count(store, ask_of, calls.pop(result["job_id"], None), result["job_id"])
                case _:
                    continue
        for job_id, call in calls.items():
            self._count(store, ask_of, call, job_id)
        for job_id, record in records.items():
            store.restore_record(job_id, record)

    @staticmethod
    def _count(
        store: MemoryStore,
        ask_of: Callable[[str, str, str], Ask | None],
        call: tuple[str, str, int] | None,
        job_id: str,
    ) -> None:
        if call is None:
            return
        shop, customer, at = call
        ask = ask_of(shop, customer, job_id)
        if ask is not None:
            store.restore_call(ask, at)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"{self.path}: another run has it open; wait for it, or choose another --out") from None

    def _mend_tail(self) -> None:
        # A process that was killed, or a full disk, leaves half a line. It was never acted upon: whatever follows a
        # line happens after it is whole.
        size = self._file.seek(0, os.SEEK_END)
        position = size
        while position > 0:
            start = max(0, position - 65_536)
            self._file.seek(start)
            newline = self._file.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < size:
            self._file.truncate(position)

    def _check_header(self, campaign: str) -> None:
        self._file.seek(0)
        first = self._file.readline(65_536)
        if not first:
            self._append({"event": "campaign", "version": VERSION, "campaign": campaign})
            return
        header = _parse(first)
        if header is None or header.get("event") != "campaign":
            raise UsageError(f"{self.path}: is no journal of this command; choose another --out")
        if header.get("version") != VERSION:
            raise UsageError(f"{self.path}: was written by another version; finish it with that one")
        if header.get("campaign") != campaign:
            raise UsageError(
                f"{self.path}: belongs to campaign {header.get('campaign')!r}, not {campaign!r}; choose another --out"
            )

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = _parse(raw)
                if line is None:
                    raise InputError(
                        f"{self.path}, line {number}: is damaged; restore the file or choose another --out"
                    )
                yield line

    def _append(self, line: dict[str, Any]) -> None:
        self._write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")

    def _write(self, raw: bytes) -> None:
        try:
            written = self._file.write(raw)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}; nothing is lost, make room and run again") from error
        if written != len(raw):
            raise InputError(f"{self.path}: no space left on the disk; nothing is lost, make room and run again")


def _parse(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and "event" in line else None


def finished_ids(journal: Journal) -> Iterator[str]:
    """The ids of the jobs that an earlier run finished."""
    return (result["job_id"] for result in journal.results())
