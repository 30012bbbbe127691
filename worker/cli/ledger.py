"""What the ledger knows of jobs that are about to be published."""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Self

from worker.cli import console
from worker.clock import SystemClock
from worker.errors import StoreError
from worker.model.job import Job
from worker.settings import Settings
from worker.store.factory import build_store
from worker.store.protocol import Known, Store

ASKED_AT_ONCE = 500
"""Jobs in one question: a round trip costs each of them some microseconds then."""


class Ledger:
    """Asks the store that workers share about jobs on their way to RabbitMQ. A context manager.

    ``counts`` is None where there is no such store, or once it was out of reach: then nothing stops, and :meth:`say`
    tells so.
    """

    def __init__(self, settings: Settings) -> None:
        self.counts: Counter[Known] | None = None
        self._store: Store | None = None
        self._settings = settings
        self._problem: StoreError | None = None

    def __enter__(self) -> Self:
        if self._settings.redis_url is not None:
            self._store = build_store(self._settings, SystemClock())
            self.counts = Counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            self._store.close()

    def watch(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs as they come, each asked about before it is handed on: once it is published a worker may be faster.

        Holds some hundred of them back, so that the store answers while those before are published; blocks for its
        time-out at the longest, once.
        """
        if self._store is None:
            yield from jobs
            return
        rest, asked = iter(jobs), list[Job]()
        with ThreadPoolExecutor(1) as asking:
            while batch := list(islice(rest, ASKED_AT_ONCE)):
                question = asking.submit(self._ask, batch)
                yield from asked
                question.result()
                asked = batch
        yield from asked

    def rows(self) -> list[tuple[str, str]]:
        """For a summary: how many are published of which the ledger knew something, and what becomes of these."""
        counts = self.counts or Counter()
        ended = [f"{counts[outcome]:,} {outcome}" for outcome in _UNCALLED if counts[outcome]]
        rows = [
            ("  answered before", counts["answered"], "not called again"),
            ("  already under way", counts["under_way"], "not called again"),
            (
                "  ended without a call",
                sum(counts[outcome] for outcome in _UNCALLED),
                f"{', '.join(ended)} before; called this time if possible",
            ),
        ]
        return [(name, f"{number:,} ({remark})") for name, number, remark in rows if number]

    def data(self) -> dict[str, int] | None:
        """The same for another program; None where nobody could be asked."""
        return None if self.counts is None else {known: self.counts[known] for known in _EVERY}

    def say(self) -> None:
        """Tell why nobody could be asked, if so."""
        if self._problem is not None:
            console.say(f"could not check how many of these jobs were answered before: {self._problem}")

    def _ask(self, batch: list[Job]) -> None:
        if self._store is None or self.counts is None:
            return
        try:
            found = self._store.known([(job.shop, job.job_id) for job in batch])
        except StoreError as error:
            self._problem, self.counts = error, None
            return
        self.counts.update(known for known in found if known is not None)


_UNCALLED: tuple[Known, ...] = ("expired", "cancelled")
_EVERY: tuple[Known, ...] = ("answered", "under_way", *_UNCALLED)
