"""A whole campaign in this process: export in, results file out, no service needed."""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import dramatiq

from worker.campaigns.dedup import JobIndex
from worker.campaigns.importer import Importer
from worker.campaigns.results_file import ResultsFile
from worker.campaigns.target import Target
from worker.clock import Clock
from worker.embedded.journal import Journal
from worker.embedded.state import RunState
from worker.errors import UsageError
from worker.instants import SECOND
from worker.model.result import Outcome
from worker.private_files import is_own_file
from worker.scheduling.context import Context
from worker.shops.registry import ShopRegistry
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest

WORKER_TIMEOUT_MS = 100
"""How often Dramatiq's idle threads look whether to stop; short, since a person waits for it."""


def journal_of(out: Path) -> Path:
    """Where the journal of a results file is."""
    return out.with_name(out.name + ".journal")


ImporterOf = Callable[[JobIndex], Importer]


class App(Protocol):
    """The parts that do the work, as the wiring has put them together."""

    @property
    def context(self) -> Context: ...
    @property
    def broker(self) -> dramatiq.Broker: ...
    def close(self) -> None: ...


BuildApp = Callable[[MemoryStore, RunState], App]
"""The wiring: it stands above this room, so that whoever starts a run hands it in."""


@dataclass
class Tally:
    """What a run has come to. ``codes`` counts the codes of results that were not sent."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    earlier: int = 0
    parked: Counter[str] = field(default_factory=Counter)
    parked_until: int = 0
    halted: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """Results of this run."""
        return self.outcomes.total()


class EmbeddedRun:
    """Runs a campaign once; ``tally`` may be read while it goes on.

    Finished rows of an earlier run are skipped, its open calls are taken up, what expired is tried again. :meth:`stop`
    may be called from a signal handler or any thread: calls under way finish, nothing new starts. ``sandbox``:
    the shops are at the built-in emulator, which no later run finds at the same URL.
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
        self._target = Target(sandbox, self._base_url_of)
        self._app: App | None = None
        self._run: RunState | None = None

    @property
    def failing(self) -> tuple[str, int] | None:
        """By which code Refer2 failed last for all calls of a shop, and when it is tried again, by the run's clock."""
        return self._run.failing if self._run is not None else None

    def stop(self) -> None:
        """Let calls under way finish and start no more."""
        # Nothing that the main thread waits for may be set here: its handler would wait for the lock of an event that
        # it has interrupted itself in.
        self.stopping.set()
        if self._app is not None:
            self._app.context.stopping.set()

    def __call__(self, tick: Callable[[], None], *, every: float) -> Importer:
        """Run to the end; ``tick`` is called every ``every`` seconds meanwhile. Returns the importer with its counts.

        Raises:
          UsageError, InputError: as :class:`Importer` and :class:`Journal` say.
          ReferralError: the run could not go on; what is done is in the journal and the results file.
        """
        started = self._clock.now()
        path = journal_of(self._out)
        # Before anything is made; what else is wrong with the place is the journal's to tell.
        with suppress(OSError):
            is_own_file(self._out)
        if self._out.is_file() and self._out.stat().st_size and not path.exists():
            raise UsageError(
                f"{self._out}: exists, but there is no {path.name} of a run to continue; choose another --out or move "
                "the file"
            )
        with Journal(path, self._campaign, self._target) as journal, JobIndex() as index:
            finished = index.mark_finished(journal.finished_ids())
            store = MemoryStore(self._clock, retention=0)
            journal.restore(store, self._ask)
            results = ResultsFile(self._out)
            self.tally.earlier = results.rebuild(journal.results())
            importer = self._importer_of(index)
            # Closed in this order: the importer writes its rejected rows, then the results go to the disk.
            with closing(results), closing(iter(importer)) as jobs:
                run = self._run = RunState(jobs, journal, self._record(results), patient=self._patient)
                self._work(run, store, importer, results, tick, every)
                if self.tally.earlier > finished and run.failure is None:
                    # What had ended without a call was tried again; its earlier row goes where there is another now.
                    results.close()
                    self.tally.earlier = results.rebuild(journal.results()) - self.tally.done
        self.tally.parked, self.tally.halted = run.parked, run.halted
        self.tally.parked_until = run.parked_until and run.parked_until + self._clock.ahead()
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
        if self.stopping.is_set():
            self.stop()
        worker = dramatiq.Worker(app.broker, worker_threads=self._threads, worker_timeout=WORKER_TIMEOUT_MS)
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

    def _record(self, results: ResultsFile) -> Callable[[str, Outcome, str | None], None]:
        def record(body: str, outcome: Outcome, code: str | None) -> None:
            results.add(body)
            self.tally.outcomes[outcome] += 1
            if code is not None:
                self.tally.codes[code] += 1

        return record

    def _base_url_of(self, shop: str) -> str | None:
        config = self._shops.get(shop)
        return config.base_url if config is not None and not self._target.sandbox else None

    def _ask(self, shop: str, customer: str, job_id: str) -> AdmitRequest | None:
        config = self._shops.get(shop)
        return AdmitRequest(shop, customer, job_id, config.limits, lease=0) if config is not None else None
