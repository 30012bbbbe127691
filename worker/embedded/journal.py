"""The ledger of an embedded run on disk: one line before and one line after each call.

The journal is the truth about a run; results.csv is derived from it. It holds everything that the results hold,
addresses included. Its lines are those of :mod:`worker.embedded.journal_lines`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from worker.campaigns.target import CalledBefore, Target
from worker.embedded.journal_lines import (
    HEADER_STARTS,
    damage,
    encoded,
    header,
    is_unwritten,
    parsed,
    refuse_foreign,
)
from worker.errors import InputError, UsageError
from worker.model.dispositions import Later
from worker.model.outcomes import UNCALLED
from worker.model.verdicts import Unknown
from worker.private_files import lock, open_problem, private_opener
from worker.store.protocol import AdmitRequest, Grant
from worker.text.bounds import RESULT_LINE
from worker.text.visible import ascii_json


class Journal:
    """An append-only file of JSON lines that one process at a time has locked. A context manager.

    Lines are written by the consumer's thread alone. A line has reached the operating system when its method returns,
    so it survives a kill of the process. It survives a loss of power only after :meth:`close`, which syncs the file: an
    fsync for each line would hold up the consumer's thread at each call.

    Raises:
      UsageError: the file belongs to another campaign or target, another run has it open, or
        :func:`~worker.private_files.private_opener` refuses it.
      InputError: it can't be read or written, or a line other than the last is damaged.
    """

    def __init__(self, path: Path, campaign: str, target: Target | None = None) -> None:
        self.path = path
        self._campaign = campaign
        self._target = target or Target()
        try:
            self._file = open(path, "a+b", buffering=0, opener=private_opener)  # noqa: SIM115 - close() closes it
        except OSError as error:
            raise InputError(f"{open_problem(path, error)}; choose another --out") from error
        try:
            if not lock(self._file, path):
                raise UsageError(f"{path}: another run has it open; wait for it, or choose another --out")
            # The header is checked first: if the file is no journal, cutting its tail would damage it.
            self._check_header(campaign)
            self._cut_torn_tail()
            self._called_before = CalledBefore(path, self._headers(), (result for _, result in self._results()))
            self._called_before.refuse_other(self._target)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Sync the file to disk, unlock and close it. May block on the disk.

        Raises:
          InputError: the disk is full or broken.
        """
        if self._file.closed:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self._file.close()

    def started(self, request: AdmitRequest, grant: Grant, ahead: int = 0) -> None:
        """Write that a call is about to be made.

        ``ahead`` is what the wall clock is ahead of the grant's clock, in microseconds. Lines have the wall clock's
        time, since a later run has no other.

        Raises:
          UsageError: the shop has another base URL than it answered at before.
        """
        self._called_before.refuse_moved(request.shop, self._target)
        self._append(
            {
                "event": "started",
                "job_id": request.job_id,
                "shop": request.shop,
                "customer": request.customer,
                "attempts": grant.attempts,
                "takeovers": grant.takeovers,
                "unknowns": grant.unknowns,
                "elapsed": grant.elapsed,
                "at": grant.start_at + ahead,
            }
        )

    def released(self, request: AdmitRequest, grant: Grant, *, called: bool) -> None:
        """Write that the attempt doesn't count; ``called``: the call was made nevertheless, as with a 429."""
        self._append(
            {
                "event": "released",
                "job_id": request.job_id,
                "attempts": grant.attempts - 1,
                "takeovers": grant.takeovers,
                "unknowns": grant.unknowns,
                "elapsed": grant.elapsed,
                "called": called,
            }
        )

    def repeated(self, request: AdmitRequest, grant: Grant, later: Later, ahead: int = 0) -> None:
        """Write that the call is to be made again at ``later.not_before``; ``ahead`` as for :meth:`started`."""
        self._append(
            {
                "event": "repeat",
                "job_id": request.job_id,
                "attempts": grant.attempts if later.spent else grant.attempts - 1,
                "takeovers": grant.takeovers,
                "unknowns": grant.unknowns + isinstance(later.verdict, Unknown),
                "elapsed": later.elapsed,
                "not_before": later.not_before + ahead,
            }
        )

    def finished(self, body: str, answered_by: str | None = None) -> None:
        """Write a final result, given as its JSON; ``answered_by`` is the shop whose call may have had an effect."""
        # The URL is written with the first answer and not before: without one it may be wrong, and be corrected for the
        # next run.
        if answered_by is not None and (url := self._called_before.learn(answered_by, self._target)) is not None:
            self._append(header(self._campaign, sandbox=self._target.sandbox, shop=answered_by, base_url=url))
        self._write(b'{"event":"result","result":' + ascii_json(body).encode("ascii") + b"}\n")

    def results(self) -> Iterator[dict[str, Any]]:
        """The results so far, one for each job; a job that ended without a call may have a later one, which counts."""
        # Two passes over the file, so that a million results need not be in memory at once.
        last: dict[bytes, int] = {}
        for number, result in self._results():
            # Only such jobs can have several results. The others are not held in memory, however many they are.
            job = bytes.fromhex(result["job_id"])
            if result.get("outcome") in UNCALLED or job in last:
                last[job] = number
        for number, result in self._results():
            if last.get(bytes.fromhex(result["job_id"]), number) == number:
                yield result

    def finished_ids(self) -> Iterator[str]:
        """The ids of jobs that an earlier run finished. Jobs that ended without a call are tried again."""
        return (result["job_id"] for _, result in self._results() if result.get("outcome") not in UNCALLED)

    def _results(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return ((number, line["result"]) for number, line in enumerate(self.lines()) if line["event"] == "result")

    def _cut_torn_tail(self) -> None:
        # A kill or a full disk leaves half a line at the end. Nothing that a line announces happens before the whole
        # line is written, so cutting it off loses nothing.
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
        if is_unwritten(first, campaign):
            self._file.truncate(0)
            self._append(header(campaign, sandbox=self._target.sandbox))
            return
        refuse_foreign(self.path, first, campaign)

    def _headers(self) -> Iterator[dict[str, Any]]:
        # One for each shop, among as many as a million lines. Parsing only these saves seconds at the start.
        with open(self.path, "rb", opener=private_opener) as file:
            for raw in iter(lambda: file.readline(RESULT_LINE.size), b""):
                if raw.startswith(HEADER_STARTS) and (line := parsed(raw)) is not None:
                    yield line

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every line of the file in its order, parsed. Reads the file as it goes.

        Raises:
          InputError: a line is damaged.
        """
        with open(self.path, "rb", opener=private_opener) as file:
            for number, raw in enumerate(iter(lambda: file.readline(RESULT_LINE.size), b""), start=1):
                line = parsed(raw)
                if line is None:
                    raise InputError(damage(self.path, number))
                yield line

    def _append(self, line: dict[str, Any]) -> None:
        self._write(encoded(line))

    def _write(self, raw: bytes) -> None:
        size = os.fstat(self._file.fileno()).st_size
        rest = memoryview(raw)
        try:
            # A full disk takes a part of the line, and reports its error only at the next write.
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            # The next line would be appended to half a line and be lost. Calls under way still have theirs to write.
            os.ftruncate(self._file.fileno(), size)
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> InputError:
        return InputError(
            f"{self.path}: {error.strerror}; free some space, then run the same command again to continue"
        )
