"""Asks the ledger what it knows about jobs that are about to be published."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Protocol, Self, TypeVar

from worker.cli import console
from worker.clock import SystemClock
from worker.errors import StoreError
from worker.settings import Settings
from worker.store.factory import build_store
from worker.store.protocol import Known, Store

ASKED_AT_ONCE = 500
"""Jobs in one request. Shared by so many, a round trip costs each of them some microseconds."""


class Identified(Protocol):
    """A job, or the draft of one."""

    @property
    def shop(self) -> str: ...
    @property
    def job_id(self) -> str: ...


J = TypeVar("J", bound=Identified)


class Ledger:
    """Asks the shared store about jobs on their way to RabbitMQ. A context manager, for one thread.

    ``counts`` is None if there is no shared store, or once the store was out of reach. Publishing goes on without it,
    and :meth:`say` reports why.
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

    def watch(self, jobs: Iterable[J]) -> Iterator[J]:
        """The jobs in their order, each looked up in the ledger before it is yielded."""
        return (job for job, _ in self.look_up(jobs))

    def look_up(self, jobs: Iterable[J]) -> Iterator[tuple[J, Known | None]]:
        """The jobs in their order, each with what the ledger knows of it; None also where it could not be asked.

        Holds back up to 1,000 jobs: the store is asked about a batch, on a thread of its own, while the batch before is
        published. Blocks at most once for the store's time-out.
        """
        if self._store is None:
            yield from ((job, None) for job in jobs)
            return
        rest, checked = iter(jobs), list[tuple[J, Known | None]]()
        with ThreadPoolExecutor(1) as asking:
            while batch := list(islice(rest, ASKED_AT_ONCE)):
                # Looked up before it is published: a worker may be done with the job a few milliseconds later, and the
                # job would count as answered before.
                request = asking.submit(self._look_up, batch)
                yield from checked
                checked = list(zip(batch, request.result(), strict=True))
        yield from checked

    def rows(self) -> list[tuple[str, str]]:
        """For a summary: how many published jobs the ledger knew, and what happens to them."""
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
        """The same counts for `--json`; None if the store could not be asked."""
        return None if self.counts is None else {known: self.counts[known] for known in _EVERY}

    @property
    def problem(self) -> str | None:
        """One line on why the store could not be asked, if that is so."""
        if self._problem is None:
            return None
        return f"could not check how many of these jobs were answered before: {self._problem}"

    def say(self) -> None:
        """Print why the store could not be asked, if that is so."""
        if self.problem is not None:
            console.say(self.problem)

    def _look_up(self, batch: Sequence[Identified]) -> Sequence[Known | None]:
        unknown = [None] * len(batch)
        if self._store is None or self.counts is None:
            return unknown
        try:
            found = self._store.known([(job.shop, job.job_id) for job in batch])
        except StoreError as error:
            # Counts of a part would mislead, and the next batches would each wait for the time-out.
            self._problem, self.counts = error, None
            return unknown
        self.counts.update(known for known in found if known is not None)
        return found


_UNCALLED: tuple[Known, ...] = ("expired", "cancelled")
_EVERY: tuple[Known, ...] = ("answered", "under_way", *_UNCALLED)
