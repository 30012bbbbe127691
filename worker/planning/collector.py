"""Counts what exports hold, row by row, in the memory that it takes for a million rows as well as for ten."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from worker.campaigns.rows import DraftJob
from worker.planning.customers import CustomerCounts
from worker.store.protocol import Known


class Predictor(Protocol):
    """Predicts how each job would end, by its code; ``sent`` for one that would be sent."""

    def add(self, job: DraftJob) -> None:
        """A job that is to be called."""
        ...

    def finish(self) -> Mapping[str, int]:
        """How many of the jobs would end by each code. Called once, after the last job; may block."""
        ...


class Collector:
    """Counts the jobs that would be published. ``predictor`` sees those that would be called.

    Of the first ``first`` jobs it counts those that would be called by shop too, in ``going``; None: all.
    """

    def __init__(self, predictor: Predictor | None = None, first: int | None = None) -> None:
        self.jobs = 0
        """Jobs, done ones included."""
        self.known: Counter[Known] = Counter()
        """What the ledger knows of them."""
        self.to_call: Counter[tuple[str, str]] = Counter()
        """Jobs that would be called, by shop and channel."""
        self.going: Counter[str] = Counter()
        self.customers = CustomerCounts()
        self._first = first
        self._predictor = predictor

    def collect(self, jobs: Iterable[tuple[DraftJob, Known | None]]) -> None:
        """Count each of these jobs, which come with what the ledger knows of them."""
        for job, known in jobs:
            self.jobs += 1
            if known is not None:
                self.known[known] += 1
                if known in ("answered", "under_way"):
                    continue
            self.to_call[job.shop, job.channel] += 1
            if self._first is None or self.jobs <= self._first:
                self.going[job.shop] += 1
            shop, customer = job.who()
            self.customers.add(shop, customer)
            if self._predictor is not None:
                self._predictor.add(job)

    def predicted(self) -> Mapping[str, int] | None:
        """How many jobs would end by each code; None if nobody predicts it."""
        return self._predictor.finish() if self._predictor is not None else None

    @property
    def shops(self) -> Counter[str]:
        """Jobs that would be called, by shop."""
        shops: Counter[str] = Counter()
        for (shop, _), jobs in self.to_call.items():
            shops[shop] += jobs
        return shops
