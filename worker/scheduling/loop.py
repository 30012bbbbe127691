"""Dramatiq's consumer of referrals: the gate in front of the worker threads, and the loop around it.

Runs on the consumer's thread, which Dramatiq starts, one for each process. It alone touches the gate. After that thread
has ended, Dramatiq calls ``requeue`` and ``close`` on the main thread. Worker threads report by
:meth:`GatedConsumer.ack` and :meth:`GatedConsumer.nack`, which only append to a deque and wake the loop.
"""

from collections import deque
from typing import Any, Generic

import dramatiq
import structlog

from worker.instants import SECOND, from_datetime
from worker.model.dispositions import Finish
from worker.model.job import Job
from worker.model.suppression import NO_KEY
from worker.scheduling.admission import Admission
from worker.scheduling.breakers import Breakers
from worker.scheduling.context import Context
from worker.scheduling.delivery import D
from worker.scheduling.gate import Gate
from worker.scheduling.gauges import STUCK_MARGIN, Gauges
from worker.scheduling.grants import Grants
from worker.scheduling.holds import Holds
from worker.scheduling.operator_controls import OperatorControls
from worker.scheduling.outcomes import Outcomes
from worker.scheduling.port import Connect, NoObserver, Observer
from worker.scheduling.readiness import Readiness
from worker.scheduling.shop_rates import ShopRates
from worker.scheduling.shop_settings import ShopSettings
from worker.scheduling.suppressed_jobs import SuppressedJobs
from worker.scheduling.suppression import SuppressionGuard
from worker.scheduling.windows import Windows
from worker.shops.config import ShopConfig
from worker.store.protocol import AdmitRequest
from worker.store.timing import LEASE_MARGIN, NO_DEADLINE

HOUSEKEEPING = SECOND
"""How often the shops file is looked at and what takes too long is looked for."""

DRAIN = 30 * SECOND
"""How long a stopping process waits for RabbitMQ to confirm what it has in hand."""

log = structlog.get_logger(__name__)


class GatedConsumer(dramatiq.Consumer, Generic[D]):
    """Yields a job only when its shop and its customer may be called and a worker thread is free.

    ``connect`` makes the port that jobs come by; ``observer`` hears what becomes of grants and shops. ``timeout`` is
    for how many milliseconds ``__next__`` may block. Not to be inherited from: what differs is the port.

    One turn of the loop: take up what worker threads report, keep house once a second, take the store's replies, hand
    out the next granted job, ask the store for what the gate lets ask, and else poll the port.
    """

    def __init__(
        self, context: Context, connect: Connect[D], *, timeout: int, observer: Observer | None = None
    ) -> None:
        observer = observer or NoObserver()
        self.context = context
        self.gate: Gate[D] = Gate(
            threads=context.threads, max_aside=max(1, context.prefetch // 2), shuffle=context.shuffle
        )
        self.controls = OperatorControls(context.store, context.clock, self.wake)
        self._timeout = timeout * 1000
        self._next_housekeeping = 0
        self._configured = False
        self._reported: deque[D] = deque()
        gate, controls = self.gate, self.controls
        self._windows = windows = Windows(context, gate)
        self._gauges = Gauges(
            context.metrics,
            context.clock,
            context.shops,
            gate,
            outside=windows.outside,
            prefetch=context.prefetch,
            stuck_after=context.longest_call + LEASE_MARGIN + STUCK_MARGIN,
        )
        key = context.address_key
        self.suppression = SuppressionGuard(gate, context.store, key.fingerprint if key is not None else NO_KEY)
        self._suppressed = SuppressedJobs(context.store, gate, self.wake)
        self._grants = grants = Grants(context, gate, observer)
        self._rates = rates = ShopRates(context, gate, self._gauges, controls, grants)
        self.breakers = breakers = Breakers(context, gate, grants, observer, wake=self.wake)
        self._settings = settings = ShopSettings(
            context, gate, grants, controls, self.suppression, rates, breakers, hurry=self.hurry
        )
        # The port comes after all that it may use at once (gate, controls, context) and before what uses the port.
        self._port = port = connect(self)
        self._readiness = readiness = Readiness(context, gate, self.suppression, port)
        self._outcomes = outcomes = Outcomes(
            context, gate, grants, breakers, controls, port, observer, hurry=self.hurry
        )
        self._holds = holds = Holds(context, gate, grants, controls, windows, outcomes, port)
        self._admission = Admission(
            context,
            gate,
            self._gauges,
            grants,
            controls,
            rates,
            breakers,
            settings,
            holds,
            readiness,
            outcomes,
            port,
        )
        controls.refresh(context.clock.now())

    def __next__(self) -> D | None:
        """The next job for a worker thread; None when there was none for ``timeout``."""
        try:
            return self._next()
        except Exception as error:  # noqa: BLE001 - Dramatiq would start a second consumer, and log the error's text
            self._port.failed(error)
            return None

    def ack(self, message: Any) -> None:
        """A worker thread is done with the job; its disposition says what to do with the message. From any thread.

        Dramatiq acknowledges whatever its actor has not raised for; here only the disposition decides.
        """
        self._reported.append(message)
        self._port.wake()

    # A failed message is one whose actor raised: its missing disposition says so already.
    nack = ack

    def requeue(self, messages: Any) -> None:
        """Dramatiq stops and has not started these: their grants are released and their messages requeued."""
        for delivery in messages:
            self._gauges.came_back(delivery)
            self._grants.release(delivery)
            self.gate.finished(delivery)
            self._port.requeue(delivery)

    def close(self) -> None:
        """Take up what worker threads reported last, requeue what was not started, wait for confirms, disconnect."""
        deadline = self.context.clock.now() + DRAIN
        # In this order: reports publish results, which are among the confirms that are waited for.
        self.take_reports()
        self._admission.drain()
        while self._port.unconfirmed and self.context.clock.now() < deadline:
            self._port.poll(min(deadline, self.context.clock.now() + SECOND))
        if self._port.unconfirmed:
            log.warning("unconfirmed_at_close", messages=self._port.unconfirmed)
        self.breakers.close()
        self._port.close()

    # What follows is for the port, and for a caller that steps the loop without blocking.

    def wake(self) -> None:
        """End a poll of the port that is under way. From any thread."""
        self._port.wake()

    @property
    def has_news(self) -> bool:
        """Whether a worker thread, the store or the token probe has reported something that is not seen yet."""
        return bool(
            self._reported
            or self._admission.has_replies
            or self.controls.has_news
            or self._suppressed.has_news
            or self.breakers.has_finding
        )

    def request_for(
        self, job: Job, shop: ShopConfig, *, place_in_line: int | None = None, urgent: bool = False
    ) -> AdmitRequest:
        """What the store is to be asked for the job. Its limits are looked up once it is asked for."""
        key = self.context.address_key
        return AdmitRequest(
            shop=job.shop,
            customer=job.customer.key,
            job_id=job.job_id,
            limits=shop.limits,
            lease=self.context.longest_call,
            place_in_line=place_in_line,
            uncalled=self.controls.uncalled_as(job, self.context.clock.now()),
            campaign=job.campaign,
            deadline=NO_DEADLINE if job.not_after is None else min(from_datetime(job.not_after), NO_DEADLINE),
            urgent=urgent,
            addresses=key.of_job(job.customer.email, job.destination) if key is not None else (),
        )

    def settle(self, delivery: D, finish: Finish) -> None:
        """The result is confirmed: see :meth:`Outcomes.settle`."""
        self._outcomes.settle(delivery, finish)

    def back_off(self, delivery: D, problem: str) -> None:
        """The job could not be carried on: see :meth:`Outcomes.back_off`."""
        self._outcomes.back_off(delivery, problem)

    def hurry(self) -> None:
        """Do the housekeeping at the next turn rather than within a second."""
        self._next_housekeeping = 0

    def take_reports(self) -> None:
        """Carry out what worker threads and the token probe have reported."""
        if self.breakers.has_finding:
            self.breakers.take_finding()
        while self._reported:
            delivery = self._reported.popleft()
            self._gauges.came_back(delivery)
            self._outcomes.carry_out(delivery)

    def next_granted(self, now: int) -> D | None:
        """The next job whose call may start now, asking the store for more where the gate lets jobs ask."""
        while True:
            if self.controls.has_news:
                self._admission.take_controls(now)
                self._look_up()
            if self._suppressed.has_news:
                self._suppressed.take()
            self._admission.take_replies(now)
            if self.suppression.follow(self.context.store.generation):
                # They may have been granted by a store that has no list any more.
                self._grants.release_those(lambda delivery: not delivery.uncalled)
                self.controls.refresh(now)
                continue
            delivery = self._grants.due(now)
            if delivery is not None:
                return delivery
            if not self._admission.ask(now):
                return None

    def wake_at(self) -> int | None:
        """When :meth:`next_granted` is worth another try if nothing is reported before; None: not before that."""
        opens, starts = self.gate.wake_at(), self._grants.next_start
        if opens is None or starts is None:
            return starts if opens is None else opens
        return min(opens, starts)

    def follow_orders(self, now: int) -> None:
        """The part of the housekeeping that orders about campaigns need: new ones, and those that end by themselves."""
        self.controls.refresh(now)
        self._holds.follow(now)

    def orders_change_at(self, now: int) -> int | None:
        """When :meth:`follow_orders` is due because an order ends by itself; None for never."""
        return self._holds.opens_at(now) if self.controls.has_campaigns else None

    def housekeep(self, now: int) -> None:
        """Once a second: follow the shops file, the operators and the token probe, and show everything."""
        if not self._configured:
            # At the first turn and not when the loop is made: what only steps the loop keeps no house, and 200 such
            # processes of 5,000 shops each would declare a million shops to the metrics.
            self._settings.read_shops()
            # Only now: where that fails, as it does without a file descriptor left for a metric, the next turn tries
            # again. Otherwise no shop would have its own weight and `max_in_flight` until the shops file changes.
            self._configured = True
        self._settings.follow(now)
        self._holds.follow(now)
        self.controls.refresh(now)
        self._look_up()
        self._rates.follow(now)
        self.breakers.probe(now)
        self._readiness.show()
        self.suppression.tell()
        self._gauges.show(now, threads=self.context.threads, unconfirmed=self._port.unconfirmed)
        self._port.housekeep(now)

    def _look_up(self) -> None:
        controls = self.controls.controls
        if controls is not None:
            self._suppressed.follow(controls.suppression)

    def _next(self) -> D | None:
        clock = self.context.clock
        deadline = clock.now() + self._timeout
        while True:
            self.take_reports()
            now = clock.now()
            if now >= self._next_housekeeping:
                self._next_housekeeping = now + HOUSEKEEPING
                self.housekeep(now)
            until = min(deadline, self._next_housekeeping)
            if self.context.stopping.is_set():
                # Nobody asks the gate any more, and a time of it that has passed would never go away.
                self._admission.take_controls(now)
                self._admission.take_replies(now)
                self._admission.requeue_unstarted()
            else:
                delivery = self.next_granted(now)
                if delivery is not None:
                    self._gauges.handed_out(delivery, delivery.arrived_at, now)
                    return delivery
                until = min(until, self.wake_at() or until)
            if now >= deadline:
                return None
            self._port.poll(until)
