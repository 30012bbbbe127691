"""A broker without a broker: jobs from an iterator, results into a journal, all in this process."""

import heapq
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Protocol

import dramatiq
import structlog
from dramatiq.middleware import CurrentMessage

from worker.errors import BrokerError, ConfigurationError, DeadLetterError, ReferralError, raised_at
from worker.instants import SECOND
from worker.model.dispositions import Finish, Later
from worker.model.job import Job
from worker.model.message import QUEUE
from worker.model.result import Outcome
from worker.scheduling.breaker import BreakerOpen, Cause
from worker.scheduling.context import Context
from worker.scheduling.delivery import Delivery
from worker.scheduling.loop import GatedConsumer
from worker.store.protocol import AdmitRequest, Grant

READ_AHEAD = 2_000
"""Jobs read from the source before there is room for them; hides the time that reading takes."""

MOST_INSIDE = 10_000
"""Jobs in hand, waiting ones included: enough to find an open shop among many, and a few megabytes."""

PARK_AFTER = 600 * SECOND
"""A job that has to wait longer is left to a later run, unless told to wait."""

HICCUPS: dict[Cause, int] = {"unlisted_code": 0, "halted": 1, "breaker": 3}
"""Pauses in a row that a shop's answers may cause before a person has to act. A refusal is told at the second; an
upstream that fails, or is out of reach, has half a minute to come back."""

HICCUPS_OF_A_GOOD_TOKEN = 3
"""The same while Status2 takes the shop's token: by then nine jobs have been tried, or the last one is known to be
what is refused."""

log = structlog.get_logger(__name__)


class Journal(Protocol):
    """What keeps the ledger where no broker does. Each method returns once the line is with the operating system.

    The wall clock, by which a later run goes on, is ``ahead`` of the grant's.
    Raises :class:`worker.errors.InputError` where it can't be written; no call may start then.
    """

    def started(self, request: AdmitRequest, grant: Grant, ahead: int) -> None: ...
    def released(self, request: AdmitRequest, grant: Grant, *, called: bool) -> None: ...
    def repeated(self, request: AdmitRequest, grant: Grant, later: Later, ahead: int) -> None: ...
    def finished(self, body: str, answered_by: str | None) -> None: ...


OnResult = Callable[[str, Outcome, str | None], None]

_ANSWERED: frozenset[Outcome] = frozenset({"sent", "rejected", "unknown"})
"""Outcomes of calls that may have had an effect where they were made."""


class LocalRun:
    """One run over a source of jobs: what goes in, what has become of it, and when it is over.

    ``on_result`` is called with each result's JSON, outcome and code, in the consumer's thread, after the journal has
    it; it may raise a :class:`ReferralError`, which ends the run.
    ``patient`` keeps jobs that must wait for hours or for a person; otherwise they are ``parked``, by shop, for a
    later run, and ``halted`` tells by which code a shop turned all of its jobs away. ``failing`` tells by which code
    Refer2 failed last for all calls of a shop, and when it is tried again.
    """

    def __init__(self, jobs: Iterator[Job], journal: Journal, on_result: OnResult, *, patient: bool) -> None:
        self.jobs = jobs
        self.journal = journal
        self.on_result = on_result
        self.patient = patient
        self.parked: Counter[str] = Counter()
        self.parked_until = 0
        self.halted: dict[str, str] = {}
        self.failing: tuple[str, int] | None = None
        self.failure: ReferralError | None = None
        self.over = threading.Event()

    def fail(self, error: ReferralError) -> None:
        """End the run; the first failure is the one that is told."""
        self.failure = self.failure or error
        self.over.set()


class _Reader(threading.Thread):
    # Reads in its own thread, since a window of an export takes a second and the gate must not stop for that.

    def __init__(self, run: LocalRun, wake: Callable[[], None]) -> None:
        super().__init__(name="reader", daemon=True)
        self._run = run
        self._wake = wake
        self._jobs: queue.Queue[Job] = queue.Queue(READ_AHEAD)
        self._stopping = threading.Event()
        self.exhausted = False

    def run(self) -> None:
        try:
            for job in self._run.jobs:
                while not self._stopping.is_set():
                    try:
                        self._jobs.put(job, timeout=0.1)
                    except queue.Full:
                        continue
                    break
                if self._stopping.is_set():
                    return
                if self._jobs.qsize() == 1:
                    self._wake()
        except ReferralError as error:
            self._run.fail(error)
        except Exception as error:  # noqa: BLE001 - the run ends with it, in one line
            self._run.fail(
                ReferralError(
                    f"reading the export failed: {type(error).__name__} at {raised_at(error)}; report it, please"
                )
            )
        finally:
            self.exhausted = True
            self._wake()

    def take(self) -> Job | None:
        try:
            return self._jobs.get_nowait()
        except queue.Empty:
            return None

    def has_more(self) -> bool:
        # In this order: what was put before the end was noticed is still seen.
        exhausted = self.exhausted
        return not exhausted or not self._jobs.empty()

    def stop(self) -> None:
        self._stopping.set()
        self.join()


class LocalConsumer(GatedConsumer[Delivery]):
    """The gate over a source of jobs. ``inside`` counts jobs that have entered and are not done."""

    def __init__(self, context: Context, run: LocalRun, *, timeout: int) -> None:
        self._run = run
        self._news = threading.Condition()
        self._woken = False
        self._delayed: list[tuple[int, int, Delivery]] = []
        self._order = count()
        self._inside = 0
        self._reader = _Reader(run, self.wake)
        super().__init__(context, timeout=timeout)
        self._reader.start()

    def __next__(self) -> Delivery | None:
        try:
            return super().__next__()
        except Exception as error:  # noqa: BLE001 - see below
            # Dramatiq would go on with a new consumer, and the jobs in this one's hands would be missing from the
            # results without a word.
            self.context.stopping.set()
            self._run.fail(
                ReferralError(
                    f"the run broke: {type(error).__name__} at {raised_at(error)}; report it, please, and run the same "
                    "command again to go on"
                )
            )
            return None

    def wait(self, until: int) -> None:
        now = self.context.clock.now()
        while self._delayed and self._delayed[0][0] <= now:
            self.gate.offer(heapq.heappop(self._delayed)[2])
            until = now
        if self._refill():
            until = now
        if self._inside == 0 and not self._reader.has_more():
            self._run.over.set()
        if self._delayed:
            until = min(until, self._delayed[0][0])
        with self._news:
            self._news.wait_for(lambda: self._woken, max(0, until - now) / SECOND)
            self._woken = False

    def wake(self) -> None:
        with self._news:
            self._woken = True
            self._news.notify()

    def granted(self, delivery: Delivery, grant: Grant) -> None:
        self._note(lambda: self._run.journal.started(delivery.request, grant, self.context.clock.ahead()))

    def released(self, delivery: Delivery, grant: Grant, *, called: bool) -> None:
        self._note(lambda: self._run.journal.released(delivery.request, grant, called=called))

    def acknowledge(self, delivery: Delivery) -> None:
        del delivery
        self._inside -= 1

    def put_back(self, delivery: Delivery) -> None:
        self.gate.offer(delivery)

    def publish_result(self, delivery: Delivery, finish: Finish) -> None:
        answered_by = delivery.shop if finish.outcome in _ANSWERED else None
        if self._note(lambda: self._run.journal.finished(finish.body, answered_by)):
            self.settle(delivery, finish)
            self._note(lambda: self._run.on_result(finish.body, finish.outcome, finish.code))
            self.acknowledge(delivery)

    def repeat(self, delivery: Delivery, grant: Grant, later: Later) -> None:
        self._note(lambda: self._run.journal.repeated(delivery.request, grant, later, self.context.clock.ahead()))
        self.defer(delivery, later.not_before)

    def defer(self, delivery: Delivery, until: int) -> None:
        if self._park(delivery, until):
            return
        heapq.heappush(self._delayed, (until, next(self._order), delivery))

    def bury(self, delivery: Delivery, error: DeadLetterError) -> None:
        self.context.metrics.dead_letters.labels(error.reason).inc()
        self._run.fail(
            ReferralError(
                f"line {delivery.job.line}: the process ended {error.detail.split()[0]} times during this row's call; "
                "take the row out of the export and run again for the others"
            )
        )

    def housekeep(self, now: int) -> None:
        super().housekeep(now)
        known = self.context.shops.slugs()
        for gone in {held.shop for held in self.gate.held()}.difference(known):
            self._shop_is_gone(gone)
        for shop in known:
            until = self.gate.closed_until(shop)
            if (until > now + PARK_AFTER or shop in self._run.halted) and not self._run.patient:
                for delivery in self.gate.withdraw(shop):
                    self._park(delivery, until)

    def paused(self, shops: Sequence[str], pause: BreakerOpen) -> None:
        if pause.in_a_row > (HICCUPS_OF_A_GOOD_TOKEN if pause.token_taken else HICCUPS[pause.cause]):
            self._run.halted.update(dict.fromkeys(shops, pause.code))
            if not self._run.patient:
                return
        if pause.cause == "breaker":
            self._run.failing = (pause.code, pause.until)

    def close(self) -> None:
        """Take up what the worker threads reported last; jobs that were not called stay for a later run."""
        self._take_returned()
        self._abandon_grants()
        self.breakers.close()
        self._reader.stop()

    def _refill(self) -> bool:
        taken = False
        while self._inside < MOST_INSIDE and (job := self._reader.take()) is not None:
            config = self.context.shops.get(job.shop)
            if config is None:
                self._shop_is_gone(job.shop)
                return taken
            self._inside += 1
            taken = True
            delivery = Delivery(job, self.request_for(job, config))
            if delivery.uncalled or not self._park(delivery, self.gate.closed_until(job.shop)):
                self.gate.offer(delivery)
        return taken

    def _park(self, delivery: Delivery, until: int) -> bool:
        if self._run.patient:
            return False
        if delivery.shop not in self._run.halted:
            if until <= self.context.clock.now() + PARK_AFTER:
                return False
            self._run.parked_until = max(self._run.parked_until, until)
        self._run.parked[delivery.shop] += 1
        self.acknowledge(delivery)
        return True

    def _shop_is_gone(self, shop: str) -> None:
        self.context.stopping.set()
        self._run.fail(
            ConfigurationError(
                f"shop {shop} has left the shops file with rows still to send: put it back, or take its rows out of "
                "the export, then run the same command again to go on"
            )
        )

    def _note(self, line: Callable[[], None]) -> bool:
        try:
            line()
        except ReferralError as error:
            self.context.stopping.set()
            self._run.fail(error)
            return False
        return True


class LocalBroker(dramatiq.Broker):
    """Dramatiq's broker for a single :class:`LocalRun`; nothing is enqueued, the run brings its jobs."""

    def __init__(self, context: Context, run: LocalRun) -> None:
        super().__init__(middleware=[CurrentMessage()])
        self.queues: set[str] = set()
        self._context = context
        self._run = run

    def declare_queue(self, queue_name: str) -> None:
        """Only the queue of referrals; no delay queue is announced, since that would start a second consumer."""
        if queue_name != QUEUE:
            raise ValueError(f"the local broker has one queue, {QUEUE!r}")
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        return set(self.queues)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> dramatiq.Consumer:
        del queue_name, prefetch
        return LocalConsumer(self._context, self._run, timeout=timeout)

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Raises BrokerError: what is enqueued here would be gone with the process."""
        del message, delay
        raise BrokerError("the local broker takes its jobs from its run; nothing can be enqueued on it")
