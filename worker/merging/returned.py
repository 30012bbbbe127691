"""What came back for the jobs of a campaign, looked up by the job that a row of its export makes."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from worker.errors import InputError
from worker.merging.share_actions import Scalar, SharePaths
from worker.model.rehearsal import is_rehearsed
from worker.model.result import check_result
from worker.results.runs import Runs

_FLUSH_AT = 1024 * 1024
_READ = 1024
_DISTINCT = 20
"""Different campaigns, shops and channels that are counted, to say what differs from the rows."""


class Returned(NamedTuple):
    """What came back of a job. ``shared`` are the values of its share action, see :class:`SharePaths`.

    Everything is the vendor's as it came, and None where nothing came; ``outcome`` and ``code`` are the result's.
    """

    outcome: str
    code: str | None
    link: str | None
    status: str | None
    message: str | None
    sent_at: str | None
    shared: list[Scalar]
    rehearsed: bool


class ReturnedResults:
    """The results of a campaign. A context manager, since they lie in temporary files meanwhile.

    A replay is another run of the same job; :class:`~worker.results.runs.Known` says which run counts. The files have
    no name, and are gone with the process; per job they take about 60 bytes and the answer without what isn't merged.
    Used by one thread.
    """

    def __init__(self) -> None:
        self.jobs = 0
        """Results taken, each run of a job by itself."""
        self.campaigns: Counter[str] = Counter()
        self.shops: Counter[str] = Counter()
        self.channels: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        """By which ids the customers of the results are named, such as ``shopid, email``."""
        self.paths = SharePaths()
        self._runs = Runs()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        self._at = 0
        self._waiting: list[bytes] = []
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._runs.close()
        self._file.close()

    def take(self, results: Iterable[Mapping[str, Any]]) -> None:
        """Take results, given as their parsed JSON, each run of a job once. May block on the disk for minutes.

        Raises:
          InputError: the temporary files can't grow.
        """
        try:
            for result in results:
                self._take(result)
            self._flush()
        except OSError as error:
            raise InputError(
                f"the temporary file of results can't grow ({error}); point TMPDIR to a folder with room"
            ) from error

    def of(self, job: str) -> Returned | None:
        """What came back for a job of run 0 and its replays; None if nothing did yet."""
        known = self._runs.known(job)
        if known is None:
            return None
        size = _READ
        while b"\n" not in (line := os.pread(self._file.fileno(), size, known.counting)) and len(line) == size:
            size *= 16
        return Returned._make(json.loads(line.partition(b"\n")[0].decode()))

    def _take(self, result: Mapping[str, Any]) -> None:
        self.jobs += 1
        customer = result.get("customer") or {}
        _count(self.campaigns, result["campaign"])
        _count(self.shops, result["shop"])
        _count(self.channels, result["channel"])
        _count(self.ids, ", ".join(name for name in ("bhid", "shopid", "email") if customer.get(name)))
        run, first_id = 0, result["job_id"]
        if result.get("run"):
            checked = check_result(result)
            run, first_id = checked.run, checked.first_id()
        self._runs.add(first_id, run, result["outcome"], self._at)
        referral = result.get("referral")
        if not isinstance(referral, dict):
            referral = {}
        returned = Returned(
            outcome=result["outcome"],
            code=result.get("code"),
            link=_text(referral.get("link")),
            status=_text(referral.get("status")),
            message=_text(result.get("message")),
            sent_at=_text(referral.get("sent_at")),
            shared=self.paths.values(result.get("share_action")),
            rehearsed=is_rehearsed(result),
        )
        line = json.dumps(returned).encode() + b"\n"
        self._at += len(line)
        self._size += len(line)
        self._waiting.append(line)
        if self._size >= _FLUSH_AT:
            self._flush()

    def _flush(self) -> None:
        self._file.write(b"".join(self._waiting))
        self._file.flush()
        self._waiting.clear()
        self._size = 0


def _text(value: object) -> str | None:
    """The vendor's value where a text belongs; None for anything else."""
    return value if isinstance(value, str) and value else None


def _count(counts: Counter[str], value: str) -> None:
    if value in counts or len(counts) < _DISTINCT:
        counts[value] += 1
