"""One embedded run: what goes in, what has become of it, and when it is over."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from worker.errors import ReferralError
from worker.model.dispositions import Later
from worker.model.job import Job
from worker.model.outcomes import Outcome
from worker.store.protocol import AdmitRequest, Grant


class Journal(Protocol):
    """Keeps the ledger where no store outlives the process. Each method returns once the operating system has the line.

    The wall clock, by which a later run goes on, is ``ahead`` of the grant's.
    Raises :class:`worker.errors.InputError` where it can't be written; no call may start then.
    """

    def started(self, request: AdmitRequest, grant: Grant, ahead: int) -> None: ...
    def released(self, request: AdmitRequest, grant: Grant, *, called: bool) -> None: ...
    def repeated(self, request: AdmitRequest, grant: Grant, later: Later, ahead: int) -> None: ...
    def finished(self, body: str, answered_by: str | None) -> None: ...


OnResult = Callable[[str, Outcome, str | None], None]


class RunState:
    """What the consumer's thread and the main thread share of one run.

    ``on_result`` is called with each result's JSON, outcome and code, on the consumer's thread, after the journal has
    it; it may raise a :class:`ReferralError`, which ends the run.
    ``patient`` keeps jobs that must wait for hours or for a person; otherwise they are ``parked``, by shop, for a
    later run. ``halted`` holds by which code a shop turned all of its jobs away, ``braked`` why the campaign's brake
    has stopped it at a shop. ``failing`` is the code by which
    Refer2 failed last for all calls of a shop, and when it is tried again. ``resting_until`` is when the next job may
    be called at the earliest, where all that were read wait for long, ``resting`` of them; 0 while they don't. Of those
    that are parked ``outside`` are outside of their windows, the first of which opens at ``opens_at``.
    """

    def __init__(self, jobs: Iterator[Job], journal: Journal, on_result: OnResult, *, patient: bool) -> None:
        self.jobs = jobs
        self.journal = journal
        self.on_result = on_result
        self.patient = patient
        self.parked: Counter[str] = Counter()
        self.parked_until = 0
        self.halted: dict[str, str] = {}
        self.braked: dict[str, str] = {}
        self.failing: tuple[str, int] | None = None
        self.resting_until = self.resting = 0
        self.outside = self.opens_at = 0
        self.failure: ReferralError | None = None
        self.over = threading.Event()

    def fail(self, error: ReferralError) -> None:
        """End the run; the first failure is the one that is reported. From any thread."""
        self.failure = self.failure or error
        self.over.set()
