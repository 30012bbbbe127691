"""The ledger of an embedded run on disk: a line before and a line after each call.

The journal is the truth of a run; results.csv is derived from it. It holds what the results hold, addresses included.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from worker.campaigns.target import CalledBefore, Target
from worker.errors import InputError, UsageError
from worker.model.dispositions import Later
from worker.model.result import UNCALLED
from worker.model.verdicts import Unknown
from worker.private_files import lock, open_problem, private_opener
from worker.store.memory.ledger import Started, Waiting
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest, Grant
from worker.text.bounds import RESULT_LINE, loads
from worker.text.visible import ascii_json, to_json

VERSION = 1

_JOB_ID = re.compile(r"[0-9a-f]{32}")

_OF_A_JOB: dict[str, type] = {"job_id": str, "attempts": int, "takeovers": int, "unknowns": int, "elapsed": int}
_FIELDS: dict[str, dict[str, type]] = {
    "campaign": {"version": int, "campaign": str},
    "started": _OF_A_JOB | {"shop": str, "customer": str, "at": int},
    "released": _OF_A_JOB | {"called": bool},
    "repeat": _OF_A_JOB | {"not_before": int},
    "result": {"result": dict},
}
"""What each kind of line holds; a line that lacks some of it is damaged."""

_BEGINS_HEADER = b'{"event":"campaign"'


class Journal:
    """An append-only file of JSON lines, locked by one process at a time.

    Use it as a context manager. Every line is with the operating system when its method returns, so it outlives the
    process; :meth:`close` also sees it onto the disk.

    Raises:
      UsageError: the file belongs to another campaign or another target, another run has it open, or it is no file of
        ours, see :func:`~worker.private_files.private_opener`.
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
            # The header first: mending the tail of what is no journal would cut off its end.
            self._check_header(campaign)
            self._mend_tail()
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
        """Sync and unlock.

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
        """A call is about to be made; the wall clock, by which a later run goes on, is ``ahead`` of the grant's.

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
        """The attempt doesn't count; ``called`` tells whether the call was made all the same."""
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
        """The call is to be made again from ``later.not_before``; ``ahead`` as for :meth:`started`."""
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
        """A final result, as its JSON; ``answered_by`` is the shop whose call may have had an effect."""
        # Not before: where no call was answered, the URL may have been wrong, and is put right for the next run.
        if answered_by is not None and (url := self._called_before.learn(answered_by, self._target)) is not None:
            self._append(self._header | {"shop": answered_by, "base_url": url})
        self._write(b'{"event":"result","result":' + ascii_json(body).encode("ascii") + b"}\n")

    def results(self) -> Iterator[dict[str, Any]]:
        """The results so far, one for each job: of one that ended without a call and was tried again, the later one."""
        last: dict[bytes, int] = {}
        for number, result in self._results():
            # Only of such jobs can there be several; nothing is held of all the others.
            job = bytes.fromhex(result["job_id"])
            if result.get("outcome") in UNCALLED or job in last:
                last[job] = number
        for number, result in self._results():
            if last.get(bytes.fromhex(result["job_id"]), number) == number:
                yield result

    def finished_ids(self) -> Iterator[str]:
        """The ids of the jobs that an earlier run finished; what ended without a call is up for another try."""
        return (result["job_id"] for _, result in self._results() if result.get("outcome") not in UNCALLED)

    def _results(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return ((number, line["result"]) for number, line in enumerate(self._lines()) if line["event"] == "result")

    def restore(self, store: MemoryStore, ask_of: Callable[[str, str, str], AdmitRequest | None]) -> None:
        """Put back into the store what earlier runs left: jobs whose call was never answered, repeats, day counts.

        ``ask_of(shop, customer, job_id)`` builds a question under today's limits, None for a shop that is gone.
        """
        records: dict[str, Started | Waiting] = {}
        calls: dict[str, tuple[str, str, int]] = {}
        for line in self._lines():
            match line:
                case {"event": "started", "job_id": job_id, "shop": shop, "customer": customer, "at": at}:
                    # An open call of a process that is gone is up for takeover at once: nobody else can be making it.
                    records[job_id] = Started(
                        0, 0, line["attempts"], line["takeovers"], unknowns=line["unknowns"], elapsed=line["elapsed"]
                    )
                    self._count(store, ask_of, calls.pop(job_id, None), job_id)
                    calls[job_id] = (shop, customer, at)
                case {"event": "released", "job_id": job_id, "attempts": attempts, "called": called}:
                    records[job_id] = Waiting(attempts, line["takeovers"], 0, line["unknowns"], line["elapsed"])
                    if not called:
                        calls.pop(job_id, None)
                case {"event": "repeat", "job_id": job_id, "attempts": attempts, "not_before": not_before}:
                    records[job_id] = Waiting(
                        attempts, line["takeovers"], not_before, line["unknowns"], line["elapsed"]
                    )
                case {"event": "result", "result": result}:
                    records.pop(result["job_id"], None)
                    self._count(store, ask_of, calls.pop(result["job_id"], None), result["job_id"])
                case _:
                    continue
        for job_id, call in calls.items():
            self._count(store, ask_of, call, job_id)
        for job_id, record in records.items():
            store.load_record(job_id, record)

    @staticmethod
    def _count(
        store: MemoryStore,
        ask_of: Callable[[str, str, str], AdmitRequest | None],
        call: tuple[str, str, int] | None,
        job_id: str,
    ) -> None:
        if call is None:
            return
        shop, customer, at = call
        request = ask_of(shop, customer, job_id)
        if request is not None:
            store.count_earlier_call(request, at)

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
        plain = {"event": "campaign", "version": VERSION, "campaign": campaign}
        headers = [_encoded(plain | more) for more in ({"sandbox": True}, {"sandbox": False}, {})]
        if any(whole != first and whole.startswith(first) for whole in headers):
            # New, or a process that was killed has left half a header.
            self._file.truncate(0)
            self._append(self._header)
            return
        header = _parse(first)
        if header is None or header.get("event") != "campaign":
            raise UsageError(f"{self.path}: is not a journal of this command; choose another --out")
        if header.get("version") != VERSION:
            raise UsageError(f"{self.path}: was written by another version; finish it with that one")
        if header.get("campaign") != campaign:
            raise UsageError(
                f"{self.path}: belongs to campaign {header.get('campaign')!r}, not {campaign!r}; choose another --out"
            )

    @property
    def _header(self) -> dict[str, Any]:
        # An earlier version passes over what it doesn't know in it, and over such a line amid the others.
        return {
            "event": "campaign",
            "version": VERSION,
            "campaign": self._campaign,
            "sandbox": self._target.sandbox,
        }

    def _headers(self) -> Iterator[dict[str, Any]]:
        # Among a million lines there are as many of these as shops: only they are parsed.
        with open(self.path, "rb", opener=private_opener) as file:
            for raw in iter(lambda: file.readline(RESULT_LINE.size), b""):
                if raw.startswith(_BEGINS_HEADER) and (line := _parse(raw)) is not None:
                    yield line

    def _lines(self) -> Iterator[dict[str, Any]]:
        with open(self.path, "rb", opener=private_opener) as file:
            for number, raw in enumerate(iter(lambda: file.readline(RESULT_LINE.size), b""), start=1):
                line = _parse(raw)
                if line is None:
                    raise InputError(
                        f"{self.path}, line {number}: is damaged; restore the file, or delete this line (its row may "
                        "then be called once more)"
                    )
                yield line

    def _append(self, line: dict[str, Any]) -> None:
        self._write(_encoded(line))

    def _write(self, raw: bytes) -> None:
        size = os.fstat(self._file.fileno()).st_size
        rest = memoryview(raw)
        try:
            # A full disk takes a part first, and only says why it takes no more when it is asked again.
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            # Half a line in the file would swallow the next one, and calls under way still have theirs to write.
            os.ftruncate(self._file.fileno(), size)
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> InputError:
        return InputError(
            f"{self.path}: {error.strerror}; free some space, then run the same command again to continue"
        )


def _encoded(line: dict[str, Any]) -> bytes:
    return to_json(line, separators=(",", ":")).encode("ascii") + b"\n"


def _parse(raw: bytes) -> dict[str, Any] | None:
    try:
        line = loads(raw, RESULT_LINE)
    except ValueError:
        return None
    return line if isinstance(line, dict) and _is_whole(line) else None


def _is_whole(line: dict[str, Any]) -> bool:
    fields = _FIELDS.get(str(line.get("event")), {})
    if not fields or not all(isinstance(line.get(name), kind) for name, kind in fields.items()):
        return False
    of_job = line["result"] if line["event"] == "result" else line
    return line["event"] == "campaign" or _JOB_ID.fullmatch(str(of_job.get("job_id"))) is not None
