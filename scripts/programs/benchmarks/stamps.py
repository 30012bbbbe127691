"""The store's own stamps: what its server wrote into the ledger, and which windows of time hold how many calls."""

import ast
import math
import re
import socket
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from worker.instants import SECOND
from worker.settings import Settings
from worker.store.timing import GRANT_LIFETIME, LEASE_MARGIN

_SETTINGS = Settings.model_construct()
LEASE = int((_SETTINGS.call_deadline_seconds + _SETTINGS.connect_timeout_seconds) * SECOND) + LEASE_MARGIN
"""From a grant's ``start_by`` to the end of its lease, for a worker with the usual settings."""

_RECORD = re.compile(rb'^\+?(\d+)\.(\d+) \[\d+ lua\] "SET" "rd:\{([^}]*)\}:j:([0-9a-f]+)" ("(?:[^"\\]|\\.)*")')
_ADMIT = re.compile(rb'"EVALSHA" "[0-9a-f]+" "(\d+)" "rd:\{([^}]*)\}:s" "')


@dataclass(frozen=True)
class Granted:
    """A call that was granted and answered, in microseconds of the store's clock, and the job's record in the store."""

    record: str
    start_at: int
    answered_at: int


@dataclass(frozen=True)
class Stamps:
    """What the store did. ``asks`` counts the questions for calls, ``asked`` the jobs in them, by shop."""

    calls: dict[str, list[Granted]]
    asks: Counter[str]
    asked: Counter[str]


class Watch:
    """The server's record of its own commands (``MONITOR``), as far as it shows grants and answers."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._lines: list[bytes] = []
        self._socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379))
        self._socket.sendall(b"MONITOR\r\n")
        self._thread = threading.Thread(target=self._read, name="watch", daemon=True)
        self._thread.start()

    def stamps(self) -> Stamps:
        """Of everything so far; the watch may go on."""
        started: dict[bytes, int] = {}
        calls: dict[str, list[Granted]] = defaultdict(list)
        asks: Counter[str] = Counter()
        asked: Counter[str] = Counter()
        for line in list(self._lines):
            if found := _ADMIT.search(line):
                shop = found[2].decode()
                asks[shop] += 1
                asked[shop] += (int(found[1]) - 1) // 2
            elif found := _RECORD.match(line):
                record = ast.literal_eval("b" + found[5].decode())
                if record.startswith(b"S"):
                    (lease,) = struct.unpack_from(">q", record, 9)
                    started[found[4]] = lease - LEASE - GRANT_LIFETIME
                elif record.startswith(b"A"):
                    answered_at = int(found[1]) * SECOND + int(found[2])
                    calls[found[3].decode()].append(Granted(found[4].decode(), started.pop(found[4]), answered_at))
        return Stamps(dict(calls), asks, asked)

    def close(self) -> None:
        """Stop watching."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        # Only what is looked for is kept: of a job's twenty lines two or three.
        with self._socket.makefile("rb") as lines:
            self._lines.extend(line for line in lines if b'}:s" "' in line or b'"SET" "rd:{' in line)


@contextmanager
def watching(url: str) -> Iterator[Watch]:
    """A watch for the length of a ``with``."""
    watch = Watch(url)
    try:
        yield watch
    finally:
        watch.close()


def most_over(stamps: Sequence[int], interval: int, burst: float) -> int:
    """By how many calls the worst of all windows exceeds ``burst`` and one call every ``interval`` microseconds."""
    ordered = sorted(stamps)
    # A window from the i-th to the j-th call exceeds by (j - i + 1) - burst - (t_j - t_i) / interval, rounded up.
    worst, least = 0, None
    for number, stamp in enumerate(ordered):
        level = number * interval - stamp
        least = level if least is None else min(least, level)
        worst = max(worst, math.ceil((level - least + (1 - burst) * interval) / interval))
    return worst


def most_within(stamps: Sequence[int], length: int) -> int:
    """The most stamps that lie in one window of that many microseconds."""
    ordered = sorted(stamps)
    most = first = 0
    for last, stamp in enumerate(ordered):
        while stamp - ordered[first] >= length:
            first += 1
        most = max(most, last - first + 1)
    return most


def most_at_once(calls: Sequence[Granted]) -> int:
    """The most calls that were under way at one instant."""
    changes = sorted([(call.start_at, 1) for call in calls] + [(call.answered_at, -1) for call in calls])
    under_way = most = 0
    for _, change in changes:
        under_way += change
        most = max(most, under_way)
    return most
