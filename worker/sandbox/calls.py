"""The record of the receiving side: every Refer2 call that arrived, and how it was answered."""

import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from worker.errors import InputError
from worker.private_files import open_problem, private_opener
from worker.text.visible import to_json

OK = "ok"


@dataclass(frozen=True, slots=True)
class Call:
    """One call. ``number`` counts arrivals from 1; ``arrived_at`` is in microseconds since the epoch.

    ``status`` is None if no answer was given. ``code`` is ``ok``, the error id, or what was done to the call:
    ``http_<status>`` for a page, ``timeout``, ``reset``, ``truncated``, ``not_json``, ``no_referral``, or ``abandoned``
    if the caller hung up while the call was held back. ``key_id`` and ``subject`` are None if the token wasn't valid;
    ``body`` is None if it was never read or is not a JSON object.
    """

    number: int
    arrived_at: int
    shop: str
    version: str
    key_id: str | None
    subject: str | None = field(repr=False)
    body: dict[str, Any] | None = field(repr=False)
    status: int | None
    code: str
    delayed_seconds: float


@dataclass(slots=True)
class OpenCall:
    """A call that is not answered yet. Handlers fill it in as they learn more."""

    number: int
    arrived_at: int
    shop: str
    version: str
    key_id: str | None = None
    subject: str | None = None
    body: dict[str, Any] | None = None
    delayed_seconds: float = 0.0
    closed: bool = False


class CallLog:
    """Keeps the latest calls and counts all of them. Written by the event loop; may be read from any thread."""

    def __init__(self, keep: int) -> None:
        self._lock = threading.Lock()
        self._latest: deque[Call] = deque(maxlen=keep)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._arrived = 0
        self._answered = 0
        self._file: TextIO | None = None

    def open(self, path: Path) -> None:
        """Append each call to a file from now on, as one JSON object per line. Each line is flushed.

        Raises:
          InputError: the file can't be opened for writing.
          UsageError: :func:`~worker.private_files.private_opener` refuses it.
        """
        try:
            self._file = open(path, "a", buffering=1, encoding="ascii", opener=private_opener)  # noqa: SIM115 - close() closes it
        except OSError as error:
            raise InputError(f"{open_problem(path, error)}; the sandbox can't write its log there") from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # Called on the event loop alone, so the counters need no lock.
    def begin(self, arrived_at: int, shop: str, version: str) -> OpenCall:
        self._arrived += 1
        return OpenCall(self._arrived, arrived_at, shop, version)

    def end(self, open_call: OpenCall, status: int | None, code: str) -> None:
        """Record how the call was answered. Only the first report counts: a cut connection may be reported twice."""
        if open_call.closed:
            return
        open_call.closed = True
        self._answered += 1
        # A frozen copy, since readers on other threads get it.
        call = Call(
            open_call.number,
            open_call.arrived_at,
            open_call.shop,
            open_call.version,
            open_call.key_id,
            open_call.subject,
            open_call.body,
            status,
            code,
            open_call.delayed_seconds,
        )
        with self._lock:
            self._latest.append(call)
            self._counts[call.shop, code] += 1
        if self._file is not None:
            self._file.write(_line(call))

    @property
    def in_progress(self) -> int:
        """How many calls are not answered yet. Most of them are held back by a limit."""
        return self._arrived - self._answered

    def calls(self) -> list[Call]:
        """The latest answered calls, in the order in which they arrived."""
        with self._lock:
            latest = list(self._latest)
        return sorted(latest, key=lambda call: call.number)

    def lines(self) -> str:
        """The latest answered calls, one JSON object per line."""
        return "".join(_line(call) for call in self.calls())

    def summary(self) -> dict[str, dict[str, int]]:
        """The number of answered calls by shop and code."""
        with self._lock:
            counts = sorted(self._counts.items())
        summary: dict[str, dict[str, int]] = {}
        for (shop, code), count in counts:
            summary.setdefault(shop, {})[code] = count
        return summary


def _line(call: Call) -> str:
    return to_json(asdict(call), separators=(",", ":")) + "\n"
