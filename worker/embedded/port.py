"""The embedded run underneath the loop: jobs from an iterator, results into a journal, delays in memory.

Runs on the consumer's thread. Only the :mod:`worker.embedded.job_reader` runs beside it.
"""

import heapq
import threading
from itertools import count

from worker.embedded.job_reader import JobReader
from worker.embedded.observer import noted
from worker.embedded.state import RunState
from worker.errors import ConfigurationError, DeadLetterError, ReferralError, raised_at
from worker.instants import SECOND
from worker.model.dispositions import Finish
from worker.model.lanes import Lane
from worker.model.outcomes import Outcome
from worker.scheduling.delivery import Delivery
from worker.scheduling.gate import FOREVER
from worker.scheduling.port import Intake

MOST_INSIDE = 10_000
"""Jobs in hand, waiting ones included: enough to find an open shop among many, and a few megabytes."""

PARK_AFTER = 600 * SECOND
"""A job that has to wait longer is left to a later run, unless the run is to wait."""

SYSTEM = "in_process"
"""What jobs come by, as traces name it."""

_JOURNAL = "journal"
"""Where traces say that results go."""

_ANSWERED: frozenset[Outcome] = frozenset({"sent", "rejected", "unknown"})
"""Outcomes of calls that may have had an effect where they were made."""


class EmbeddedPort:
    """Implements :class:`worker.scheduling.port.Port`. ``_inside`` counts jobs that have entered and are not done."""

    def __init__(self, intake: Intake[Delivery], state: RunState) -> None:
        self._intake = intake
        self._context = intake.context
        self._gate = intake.gate
        self._state = state
        self._news = threading.Condition()
        self._woken = False
        self._delayed: list[tuple[int, int, Delivery]] = []
        self._order = count()
        self._inside = 0
        self._has_begun = False
        self._opens_at = 0
        self._reader = JobReader(state, self.wake)
        self._reader.start()

    @property
    def unconfirmed(self) -> int:
        """Nothing is ever on its way: a result is published by writing it into the journal."""
        return 0

    @property
    def disconnected(self) -> str | None:
        """Never: there is nothing to connect to."""
        return None

    def poll(self, until: int) -> None:
        """Offer what is due and what has been read, then sleep; ends the run when no job is left or can come."""
        now = self._context.clock.now()
        while self._delayed and self._delayed[0][0] <= now:
            delivery = heapq.heappop(self._delayed)[2]
            delivery.returned_at = now
            self._gate.offer(delivery)
            until = now
        if self._refill():
            until = now
        # Asked after the refill: a job that the reader has just put must be counted first.
        if self._inside == 0 and not self._reader.has_more():
            self._state.over.set()
        if self._delayed:
            until = min(until, self._delayed[0][0])
        with self._news:
            self._news.wait_for(lambda: self._woken, max(0, until - now) / SECOND)
            self._woken = False

    def wake(self) -> None:
        with self._news:
            self._woken = True
            self._news.notify()

    def housekeep(self, now: int) -> None:
        """End the run if a shop with jobs has left the file; park the jobs of shops that stay closed for long."""
        known = self._context.shops.slugs()
        for gone in {held.shop for held in self._gate.held()}.difference(known):
            self._shop_is_gone(gone)
        for shop in known:
            until = self._gate.shop(shop).closed_until()
            if (until > now + PARK_AFTER or shop in self._state.halted) and not self._state.patient:
                for delivery in self._gate.remove(shop):
                    self._park(delivery, until)
        self._leave_braked()
        self._state.resting_until = self._rests_until(now) if self._state.patient else 0
        self._state.resting = self._inside if self._state.resting_until else 0

    def ack(self, delivery: Delivery) -> None:
        del delivery
        self._inside -= 1

    def requeue(self, delivery: Delivery) -> None:
        """There is no queue to go back to but the gate itself: the job waits there behind its shop's others."""
        self._gate.offer(delivery)

    def publish_result(self, delivery: Delivery, finish: Finish) -> None:
        """Write the result into the journal, then settle; the results file comes last, since it is derived from it."""
        state = self._state
        answered_by = delivery.shop if finish.outcome in _ANSWERED else None
        tracing = self._context.tracing
        span = tracing.result(delivery, _JOURNAL, finish.outcome) if tracing is not None else None
        if noted(self._context, state, lambda: state.journal.finished(finish.body, answered_by)):
            self._intake.settle(delivery, finish)
            noted(self._context, state, lambda: state.on_result(finish.body, finish.outcome, finish.code))
            if span is not None:
                span.end()
            self.ack(delivery)

    def publish_delayed(self, delivery: Delivery, until: int) -> None:
        """Keep the job in memory until then, or park it for a later run if that is too long."""
        if not self._park(delivery, until):
            heapq.heappush(self._delayed, (until, next(self._order), delivery))

    def move(self, delivery: Delivery, lane: Lane, until: int) -> None:
        """There are no queues: the job waits at the gate, behind that lane's others, or is left to a later run.

        It waits for its window, unless the campaign is held, which here only its brake does.
        """
        if not self._park(delivery, until if until < FOREVER else 0):
            now = self._context.clock.now()
            self._opens_at = min(until, self._opens_at) if self._opens_at > now else until
            delivery.lane = lane
            self._gate.offer(delivery)

    def dead_letter(self, delivery: Delivery, error: DeadLetterError) -> None:
        """End the run: there is no dead queue, and nobody else would hear of the row."""
        self._context.metrics.dead_letters.labels(error.reason).inc()
        self._state.fail(
            ReferralError(
                f"line {delivery.job.line}: the process ended {error.detail.split()[0]} times during this row's call; "
                "take the row out of the export and run again for the others"
            )
        )

    def failed(self, error: Exception) -> None:
        """End the run, in one line."""
        # Dramatiq would go on with a new consumer, and the jobs in this one's hands would be missing from the results
        # without a word.
        self._context.stopping.set()
        self._state.fail(
            ReferralError(
                f"the run broke: {type(error).__name__} at {raised_at(error)}; report it, please, and run the same "
                "command again to continue"
            )
        )

    def close(self) -> None:
        """Jobs that were not called stay for a later run."""
        self._reader.stop()

    def _rests_until(self, now: int) -> int:
        # 0 while a job is called, or may be soon.
        if self._gate.in_flight or not self._inside:
            return 0
        shops = {load.shop for load in self._gate.loads() if load.ready or load.set_aside}
        waits = [self._gate.shop(shop).closed_until() for shop in shops]
        if self._delayed:
            waits.append(self._delayed[0][0])
        if self._opens_at > now:
            # Jobs that wait aside for their windows.
            waits.append(self._opens_at)
        first = min(waits, default=0)
        return first if now + PARK_AFTER < first < FOREVER else 0

    def _refill(self) -> bool:
        taken = False
        while self._inside < MOST_INSIDE and (job := self._reader.take()) is not None:
            config = self._context.shops.get(job.shop)
            if config is None:
                self._shop_is_gone(job.shop)
                return taken
            self._inside += 1
            taken = True
            if not self._has_begun:
                # With the first job a brake may have been armed: it is to be known before that job is called.
                self._has_begun = True
                self._intake.hurry()
            delivery = Delivery(job, self._intake.request_for(job, config))
            if delivery.uncalled or not self._park(delivery, self._gate.shop(job.shop).closed_until()):
                self._gate.offer(delivery)
        return taken

    def _park(self, delivery: Delivery, until: int) -> bool:
        # Whether the job is left to a later run.
        state = self._state
        braked = self._is_braked(delivery)
        if state.patient and not braked:
            return False
        if delivery.shop not in state.halted and not braked:
            if until <= self._context.clock.now() + PARK_AFTER:
                return False
            state.parked_until = max(state.parked_until, until)
            self._count_outside(delivery)
        state.parked[delivery.shop] += 1
        self.ack(delivery)
        return True

    def _count_outside(self, delivery: Delivery) -> None:
        shop = self._context.shops.get(delivery.shop)
        window = shop.window_of(delivery.job) if shop is not None else None
        wall = self._context.clock.now() + self._context.clock.ahead()
        if window is not None and not window.is_open(wall):
            opens_at = window.opens_at(wall)
            self._state.outside += 1
            self._state.opens_at = min(self._state.opens_at or opens_at, opens_at)

    def _is_braked(self, delivery: Delivery) -> bool:
        order = self._intake.controls.order_about(delivery.job)
        if order is None or order.hold is None:
            return False
        # However patient the run is, nobody can tell it to go on: it ends, and a person looks at its results.
        self._state.braked[delivery.shop] = order.hold.reason
        return True

    def _leave_braked(self) -> None:
        # Also what is closed or waits for its repeat, which would otherwise keep the run from its end.
        controls = self._intake.controls.controls
        held = [shop for (_, shop), order in controls.campaigns.items() if order.hold] if controls is not None else []
        for shop in held:
            for delivery in self._gate.remove(shop):
                self._park(delivery, 0)
        if held and self._delayed:
            delayed, self._delayed = self._delayed, []
            for each in delayed:
                if each[2].shop not in held or not self._park(each[2], 0):
                    heapq.heappush(self._delayed, each)

    def _shop_is_gone(self, shop: str) -> None:
        self._context.stopping.set()
        self._state.fail(
            ConfigurationError(
                f"shop {shop} has left the shops file with rows still to send: put it back, or take its rows out of "
                "the export, then run the same command again to continue"
            )
        )
