"""A whole campaign in this process: an export in, a results file out, and no other service.

The main thread writes progress and waits. Dramatiq's consumer thread decides and writes the journal, its worker threads
make the calls, and a reader thread reads the export ahead.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import dramatiq

from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.target import Target
from worker.clock import Clock
from worker.embedded.journal import Journal
from worker.embedded.past import check_results
from worker.embedded.restore import restore
from worker.embedded.state import RunState
from worker.instants import SECOND
from worker.model.campaign_orders import Brake
from worker.model.controls import EVERY_SHOP
from worker.model.job import Job
from worker.model.names import canonical
from worker.model.orders import Origin
from worker.model.outcomes import Outcome
from worker.model.rehearsal import marked
from worker.process.work_queue import hand_over_simply
from worker.results.file import ResultsFile
from worker.scheduling.context import Context
from worker.shops.registry import ShopRegistry
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest

WORKER_TIMEOUT_MS = 100
"""How often Dramatiq's idle threads check whether to stop. Short, since a person waits for the end."""


def journal_of(out: Path) -> Path:
    """The path of the journal that belongs to a results file."""
    return out.with_name(out.name + ".journal")


ImporterOf = Callable[[JobIndex], Importer]


class App(Protocol):
    """The parts that do the work, as the wiring builds them."""

    @property
    def context(self) -> Context: ...
    @property
    def broker(self) -> dramatiq.Broker: ...
    def close(self) -> None: ...


BuildApp = Callable[[MemoryStore, RunState], App]
"""The wiring. It is a layer above this room, so the caller passes it in."""


@dataclass
class Tally:
    """The result of a run, and its progress meanwhile.

    ``codes`` counts results that have a code, by outcome and code; ``earlier`` the results of earlier runs in the file;
    ``parked`` the rows by shop that are left for a later run, at the latest until ``parked_until``; ``halted`` has the
    code of each shop that was given up, ``braked`` the reason of each at which the campaign's brake has stopped it. Of
    the rows that are left ``outside`` are outside of their windows, the first of which opens at ``opens_at``.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    codes: Counter[tuple[Outcome, str]] = field(default_factory=Counter)
    earlier: int = 0
    parked: Counter[str] = field(default_factory=Counter)
    parked_until: int = 0
    outside: int = 0
    opens_at: int = 0
    halted: dict[str, str] = field(default_factory=dict)
    braked: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """Results of this run."""
        return self.outcomes.total()


class EmbeddedRun:
    """Runs a campaign once. ``tally`` may be read meanwhile, from any thread.

    Rows that an earlier run finished are skipped, its open calls are taken over, and what expired is tried again.
    :meth:`stop` may be called from a signal handler or any thread: calls under way finish, and no new one starts.
    ``patient``: wait for the day's quota and for closed shops. ``sandbox``: the shops are at the built-in emulator,
    whose URL is another one in each run. ``suppressed``: hashed addresses of people whom nobody may be called for.
    ``brake`` stops the campaign at a shop if it has more than ``brake_above`` jobs; the rest there is for a later run.
    """

    def __init__(
        self,
        build: BuildApp,
        shops: ShopRegistry,
        importer_of: ImporterOf,
        *,
        out: Path,
        campaign: str,
        clock: Clock,
        threads: int,
        patient: bool,
        sandbox: bool = False,
        suppressed: Sequence[bytes] = (),
        brake: Brake | None = None,
        brake_above: int = 0,
    ) -> None:
        self.tally = Tally()
        self.stopping = threading.Event()
        self._build = build
        self._shops = shops
        self._importer_of = importer_of
        self._out = out
        self._campaign = campaign
        self._clock = clock
        self._threads = threads
        self._patient = patient
        self._suppressed = suppressed
        self._brake = brake
        self._brake_above = brake_above
        self._target = Target(sandbox, self._base_url_of)
        self._app: App | None = None
        self._run: RunState | None = None

    @property
    def failing(self) -> tuple[str, int] | None:
        """The code by which Refer2 fails for a shop's calls, and the instant of the next try; None while it doesn't."""
        return self._run.failing if self._run is not None else None

    @property
    def resting_until(self) -> int:
        """When the next call may be made, by the wall clock, where all rows wait for long; 0 while they don't."""
        until = self._run.resting_until if self._run is not None else 0
        return until and until + self._clock.ahead()

    @property
    def resting(self) -> int:
        """How many rows were read and wait until then."""
        return self._run.resting if self._run is not None else 0

    def stop(self) -> None:
        """Start no more calls; those under way finish. Returns at once."""
        # Called in a signal handler, which interrupts the main thread anywhere. So nothing that the main thread waits
        # for may be set here: the handler could wait for a lock that its own thread holds.
        self.stopping.set()
        if self._app is not None:
            self._app.context.stopping.set()

    def __call__(self, tick: Callable[[], None], *, every: float) -> Importer:
        """Run to the end and return the importer with its counts. Blocks; calls ``tick`` every ``every`` seconds.

        Raises:
          UsageError, InputError: as :class:`Importer` and :class:`Journal` say.
          ReferralError: the run could not continue; what is done is in the journal and in the results file.
        """
        started = self._clock.now()
        path = journal_of(self._out)
        check_results(self._out, path)
        with Journal(path, self._campaign, self._target) as journal, JobIndex() as index:
            finished = index.mark_finished(journal.finished_ids())
            store = MemoryStore(self._clock, retention=0)
            if self._suppressed:
                store.suppress(EVERY_SHOP, self._suppressed, 1)
            restore(journal.lines(), store, self._request_of)
            results = ResultsFile(self._out)
            self.tally.earlier = results.rebuild(self._rows(journal.results()))
            importer = self._importer_of(index)
            # Closed from the right: first the importer writes its rejected rows, then the results are synced to disk.
            with closing(results), closing(iter(importer)) as jobs:
                run = self._run = RunState(
                    self._braked(jobs, store), journal, self._record(results), patient=self._patient
                )
                self._work(run, store, importer, results, tick, every)
                if self.tally.earlier > finished and run.failure is None:
                    # Jobs that had ended without a call were tried again. The file has both rows; rebuilt, it has the
                    # later one alone.
                    results.close()
                    self.tally.earlier = results.rebuild(self._rows(journal.results())) - self.tally.done
        self.tally.parked, self.tally.halted, self.tally.braked = run.parked, run.halted, run.braked
        self.tally.parked_until = run.parked_until and run.parked_until + self._clock.ahead()
        self.tally.outside, self.tally.opens_at = run.outside, run.opens_at
        self.tally.stopped = self.stopping.is_set()
        self.tally.seconds = (self._clock.now() - started) / SECOND
        if run.failure is not None:
            raise run.failure
        return importer

    def _work(
        self,
        run: RunState,
        store: MemoryStore,
        importer: Importer,
        results: ResultsFile,
        tick: Callable[[], None],
        every: float,
    ) -> None:
        app = self._build(store, run)
        self._app = app
        # A signal that came while the parts were built has found no parts to stop.
        if self.stopping.is_set():
            self.stop()
        worker = dramatiq.Worker(app.broker, worker_threads=self._threads, worker_timeout=WORKER_TIMEOUT_MS)
        hand_over_simply(worker)
        worker.start()
        try:
            while not (run.over.wait(every) or self.stopping.is_set()):
                results.flush()
                tick()
        finally:
            app.context.stopping.set()
            importer.stop()
            worker.stop()
            app.close()
            tick()

    def _braked(self, jobs: Iterator[Job], store: MemoryStore) -> Iterator[Job]:
        """The jobs; where they are so many the brake is armed before the first, since every result is to count. Read on
        the reader's thread.
        """
        above = max(0, self._brake_above - self.tally.earlier)
        first = list(islice(jobs, above + 1))
        if self._brake is not None and len(first) > above:
            campaign, detail = canonical(self._campaign) or "", f"brake {self._brake}"
            store.publish_campaign(campaign, EVERY_SHOP, Origin("run"), rest=None, brake=self._brake, detail=detail)
        yield from first
        yield from jobs

    def _record(self, results: ResultsFile) -> Callable[[str, Outcome, str | None], None]:
        def record(body: str, outcome: Outcome, code: str | None) -> None:
            results.add(*self._rows([json.loads(body)]))
            self.tally.outcomes[outcome] += 1
            if code is not None:
                self.tally.codes[outcome, code] += 1

        return record

    def _rows(self, found: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Results as the file holds them: there each of a rehearsal says that it is one, however it ended."""
        return map(marked, found) if self._target.sandbox else iter(found)

    def _base_url_of(self, shop: str) -> str | None:
        config = self._shops.get(shop)
        return config.base_url if config is not None and not self._target.sandbox else None

    def _request_of(self, shop: str, customer: str, job_id: str) -> AdmitRequest | None:
        config = self._shops.get(shop)
        return AdmitRequest(shop, customer, job_id, config.limits, lease=0) if config is not None else None
