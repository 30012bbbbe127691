"""What the brokers share: Dramatiq's consumer with the gate in front of its worker threads."""

import heapq
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Generic, TypeVar

import dramatiq
import structlog

from worker.backoff import doubling_pause
from worker.errors import DeadLetterError, StoreError
from worker.instants import SECOND, from_datetime
from worker.model.dispositions import Fenced, Finish, GiveBack, Later
from worker.model.job import Job
from worker.model.verdicts import Halted, Refused
from worker.scheduling.breaker import BreakerOpen
from worker.scheduling.breakers import Breakers
from worker.scheduling.context import Context
from worker.scheduling.delivery import Delivery
from worker.scheduling.gate import FOREVER, Gate
from worker.scheduling.gauges import STUCK_MARGIN, Gauges
from worker.scheduling.operator_controls import OperatorControls
from worker.scheduling.shop_rates import ShopRates
from worker.shops.config import ShopConfig
from worker.shops.credentials import ReadyToken
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, Reply, ShopClosed, Wait
from worker.store.timing import LEASE_MARGIN, NO_DEADLINE

HOUSEKEEPING = SECOND
"""How often the shops file is looked at and what takes too long is looked for."""

STORE_PAUSE = SECOND
"""How long nothing is asked of a store that was out of reach."""

ALONE_FROM = 2
"""Takeovers of one job from which it runs alone in its process: if it is what kills its workers, then no other call is
cut short by it."""

CRASH_LOOP = 5
"""Takeovers of one job after which it is parked: whatever kills its workers is likely to be the job."""

FIRST_BACKOFF = SECOND
LONGEST_BACKOFF = 60 * SECOND
"""Bounds of a shop's pause after a job of it went wrong outside the call, so that nothing spins."""

PUT_ASIDE = 5 * SECOND
"""How soon a job that was refused is called again at the earliest, and twice as long at the latest: jobs that were
refused together shouldn't come back together, where they would look like a shop that refuses everybody."""

log = structlog.get_logger(__name__)


D = TypeVar("D", bound=Delivery)


class GatedConsumer(dramatiq.Consumer, ABC, Generic[D]):
    """Yields a job only when its shop and its customer may be called and a worker thread is free.

    Worker threads report by :meth:`ack` and :meth:`nack`; whatever follows from that happens in the consumer's own
    thread, which alone touches the gate. ``__next__`` may block for ``timeout`` milliseconds.
    """

    def __init__(self, context: Context, *, timeout: int) -> None:
        self.context = context
        self.gate: Gate[D] = Gate(threads=context.threads, max_aside=max(1, context.prefetch // 2))
        self.gauges = Gauges(
            context.metrics,
            context.clock,
            context.shops,
            self.gate,
            prefetch=context.prefetch,
            stuck_after=context.longest_call + LEASE_MARGIN + STUCK_MARGIN,
        )
        self._timeout = timeout * 1000
        self._backoffs: dict[str, int] = {}
        self._called_by: dict[str, tuple[str, str, str]] = {}
        self._returned: deque[D] = deque()
        self._replies: deque[tuple[list[D], list[Reply] | StoreError]] = deque()
        self._unanswered = 0
        self._granted: list[tuple[int, int, D]] = []
        self._doubted: list[D] = []
        self._order = count()
        self._turns: set[str] = set()
        self._submitting = False
        self._store_down: str | None = None
        self._next_housekeeping = 0
        self._controls = OperatorControls(context.store, self._wake_unless_submitting)
        self._rates = ShopRates(context, self.gate, self.gauges, self._controls, take_back=self._take_back_grants)
        self.breakers = Breakers(
            context, self.gate, wake=self.wake, take_back=self._take_back_grants, closed=self.paused
        )
        self.configure_shops()
        self._look(context.clock.now())

    def __next__(self) -> D | None:
        deadline = self.context.clock.now() + self._timeout
        while True:
            self._take_returned()
            now = self.context.clock.now()
            if now >= self._next_housekeeping:
                self._next_housekeeping = now + HOUSEKEEPING
                self.housekeep(now)
            until = min(deadline, self._next_housekeeping)
            if self.context.stopping.is_set():
                # Nobody asks the gate any more, and a time of it that has passed would never go away.
                self._take_orders(now)
                self._take_replies(now)
                self._give_up_grants()
            else:
                delivery = self._grant(now)
                if delivery is not None:
                    self.gauges.handed_out(delivery, delivery.arrived_at, now)
                    return delivery
                until = min(until, self.gate.wake_at() or until, self._granted[0][0] if self._granted else until)
            if now >= deadline:
                return None
            self.wait(until)

    def ack(self, message: Any) -> None:
        """A worker thread is done with the job; what to do with it is in its disposition."""
        self._returned.append(message)
        self.wake()

    # A failed message is one whose actor raised: its missing disposition says so already.
    nack = ack

    def requeue(self, messages: Any) -> None:
        """Dramatiq stops and has not started these: their grants are undone, the jobs go back."""
        for delivery in messages:
            self.gauges.came_back(delivery)
            self._undo(delivery)
            self.gate.finished(delivery)
            self.put_back(delivery)

    @property
    def has_returned(self) -> bool:
        """Whether a worker thread or the store has reported something that is still to be taken up."""
        return bool(self._returned or self._replies or self._controls.has_news or self.breakers.has_finding)

    def request_for(self, job: Job, shop: ShopConfig, place_in_line: int | None = None) -> AdmitRequest:
        """What to ask the store for a job."""
        return AdmitRequest(
            shop=job.shop,
            customer=job.customer.key,
            job_id=job.job_id,
            limits=self._controls.limits_of(shop, self.context.clock.now()),
            lease=self.context.longest_call,
            place_in_line=place_in_line,
            uncalled=self._controls.uncalled_as(job, self.context.clock.now(), self.context.clock.ahead()),
            campaign=job.campaign,
            deadline=NO_DEADLINE if job.not_after is None else min(from_datetime(job.not_after), NO_DEADLINE),
        )

    def configure_shops(self) -> None:
        """Take over what the shops file says now."""
        shops = {
            slug: shop for slug in self.context.shops.slugs() if (shop := self.context.shops.get(slug)) is not None
        }
        self.context.metrics.declare_shops({slug: SECOND / shop.limits.shop.interval for slug, shop in shops.items()})
        for slug, shop in shops.items():
            self.gate.configure(slug, weight=shop.weight, max_in_flight=shop.max_in_flight)
            if isinstance(shop.credential, ReadyToken) and shop.credential.expires_at is not None:
                self.context.metrics.show_credential(slug, shop.credential.expires_at)
            called_by = (shop.credential.fingerprint, shop.base_url, shop.api_version)
            if self._called_by.setdefault(slug, called_by) != called_by:
                self._called_by[slug] = called_by
                self.breakers.start_anew(slug)
        self._apply_pauses()
        self._rates.start_anew(self.context.clock.now())

    def housekeep(self, now: int) -> None:
        """Once a second: follow the shops file. Brokers add their own."""
        if self.context.shops.refresh():
            self.configure_shops()
        if now + self.context.clock.ahead() > self._controls.next_deadline:
            self._release_uncalled(now)
        self._look(now)
        self._rates.follow(now)
        self.breakers.probe(now)
        self._show_ready()
        self.gauges.show(now, threads=self.context.threads, unconfirmed=self.unconfirmed)

    @property
    def unconfirmed(self) -> int:
        """Messages about jobs in hand that are on their way."""
        return 0

    @property
    def disconnected(self) -> str | None:
        """Why no jobs can come and no results go, in a word; None where they can."""
        return None

    def hurry(self) -> None:
        """Look after the shops now rather than within a second."""
        self._next_housekeeping = 0

    def settle(self, delivery: D, finish: Finish) -> None:
        """The result is in safe hands: tell the ledger. Then the delivery may be acknowledged."""
        self._backoffs.pop(delivery.shop, None)
        try:
            self.context.store.settle(delivery.request, finish.epoch, finish.outcome, finish.code)
        except StoreError as error:
            # The ledger still says answered: another copy would publish the result again and call nobody.
            log.warning("settle_failed", job_id=delivery.job.job_id, problem=str(error))

    def back_off(self, delivery: D, problem: str) -> None:
        """The job could not be carried on for a reason that is not its own: give it back and let its shop rest."""
        now = self.context.clock.now()
        # Jobs that were under way when the rest began don't lengthen it: a dozen of them would make it a minute.
        if self.gate.reasons(delivery.shop).get("backing_off", 0) <= now:
            failures = self._backoffs[delivery.shop] = self._backoffs.get(delivery.shop, 0) + 1
            backoff = doubling_pause(failures, FIRST_BACKOFF, LONGEST_BACKOFF)
            self.gate.close(delivery.shop, now + backoff, "backing_off")
        log.warning("job_given_back", shop=delivery.shop, job_id=delivery.job.job_id, problem=problem)
        self.put_back(delivery)

    @abstractmethod
    def granted(self, delivery: D, grant: Grant) -> None:
        """A call is about to start."""

    @abstractmethod
    def released(self, delivery: D, grant: Grant, *, called: bool) -> None:
        """The grant was undone; ``called`` tells whether the call was made all the same."""

    @abstractmethod
    def repeat(self, delivery: D, grant: Grant, later: Later) -> None:
        """The ledger knows that the call is to be repeated from ``later.not_before``: as :meth:`defer`."""

    @abstractmethod
    def wait(self, until: int) -> None:
        """Do I/O until ``until`` (microseconds), :meth:`wake`, or whatever may let another job go."""

    @abstractmethod
    def wake(self) -> None:
        """End :meth:`wait` soon. Called from any thread."""

    @abstractmethod
    def acknowledge(self, delivery: D) -> None:
        """The job is done with: forget its message."""

    @abstractmethod
    def put_back(self, delivery: D) -> None:
        """The job is not done and has left the gate: it will be delivered again."""

    @abstractmethod
    def publish_result(self, delivery: D, finish: Finish) -> None:
        """Publish the result; once that is certain, :meth:`settle` and acknowledge, otherwise :meth:`back_off`."""

    @abstractmethod
    def defer(self, delivery: D, until: int) -> None:
        """The job has left the gate and comes back at ``until``: keep a copy, then acknowledge."""

    def paused(self, shops: Sequence[str], pause: BreakerOpen) -> None:
        """An answer closed these shops. Brokers whose jobs wait elsewhere have nothing to do."""

    def called_off(self) -> None:
        """Other campaigns are cancelled than before. Brokers whose jobs wait elsewhere have nothing to do."""

    @abstractmethod
    def bury(self, delivery: D, error: DeadLetterError) -> None:
        """The job has left the gate for good: park it where a person finds it, then acknowledge."""

    def _grant(self, now: int) -> D | None:
        while True:
            if self._controls.has_news:
                self._take_orders(now)
            self._take_replies(now)
            if self._granted and self._granted[0][0] <= now:
                return heapq.heappop(self._granted)[2]
            if not self._ask(now):
                return None

    def _ask(self, now: int) -> bool:
        if self._controls.controls is None:
            # Nobody knows yet which shops are paused.
            return False
        delivery = self.gate.next(now)
        if delivery is None:
            # Mostly so: it is asked again after every grant.
            return False
        asking: dict[tuple[str, bool], list[D]] = {}
        while delivery is not None:
            limits = self._rates.limits_of(delivery.shop, delivery.request.limits, now)
            if limits is not delivery.request.limits:
                delivery.request = replace(delivery.request, limits=limits)
            if not delivery.uncalled:
                self._mark_uncalled(delivery, now)
            if delivery.request.uncalled == "cancelled" and not self._is_cancelled(delivery, now):
                self._doubted.append(delivery)
            else:
                # Apart, since a shop that is told to wait has no more to say about those that need no call.
                asking.setdefault((delivery.shop, delivery.uncalled), []).append(delivery)
            delivery = self.gate.next(now)
        self._submitting = True
        for (shop, uncalled), deliveries in asking.items():
            self._unanswered += 1
            turn = not uncalled and shop in self._turns
            if turn:
                self._turns.discard(shop)
            requests = [delivery.request for delivery in deliveries]
            holds = len(requests) + self.gate.waiting(shop)
            self.context.store.submit(requests, self._reply_to(deliveries), turn=turn, holds=holds)
        self._submitting = False
        if self._doubted:
            self._look(now, awaited=True)
        return True

    def _reply_to(self, deliveries: list[D]) -> Callable[[list[Reply] | StoreError], None]:
        def reply(replies: list[Reply] | StoreError) -> None:
            self._replies.append((deliveries, replies))
            self._wake_unless_submitting()

        return reply

    def _wake_unless_submitting(self) -> None:
        # What comes in the midst of asking is taken up right after it.
        if not self._submitting:
            self.wake()

    def _take_replies(self, now: int) -> None:
        while self._replies:
            deliveries, replies = self._replies.popleft()
            self._unanswered -= 1
            if isinstance(replies, StoreError):
                self._store_is_down(replies, deliveries, now)
                continue
            self._store_is_up()
            refused: list[D] = []
            closed = False
            for delivery, reply in zip(deliveries, replies, strict=True):
                limits = delivery.request.limits
                if isinstance(reply, Grant) and self._rates.limits_of(delivery.shop, limits, now) is not limits:
                    # Granted by limits that are not in force any more: none of it may start.
                    delivery.grant = reply
                    self._undo(delivery)
                    refused.append(delivery)
                elif isinstance(reply, ShopClosed):
                    if not closed:
                        closed = True
                        self.gate.close(delivery.shop, reply.until, reply.reason, then_ask=reply.batch)
                        self._turns.add(delivery.shop)
                        self._rates.told(delivery.shop, reply.interval, limits.shop.interval, now)
                    refused.append(delivery)
                else:
                    self._take_reply(delivery, reply, now)
            # Backwards, since what is given back goes to the front of its shop's line.
            for delivery in reversed(refused):
                self.gate.give_back(delivery)

    def _take_reply(self, delivery: D, reply: Grant | Wait | AlreadyAnswered, now: int) -> None:
        match reply:
            case Grant():
                delivery.grant = reply
                self.gauges.called(delivery.shop, reply.calls_today, now)
                if reply.overtaken:
                    self.context.metrics.takeovers.inc()
                self._weigh(delivery)
                delivery.paused = self._controls.is_paused(delivery.shop)
                if reply.takeovers:
                    log.warning("job_taken_over", shop=delivery.shop, job_id=delivery.job.job_id, times=reply.takeovers)
                if reply.takeovers < CRASH_LOOP:
                    suspect = reply.takeovers >= ALONE_FROM and not delivery.uncalled
                    if suspect and not self.gate.is_alone(delivery):
                        self._undo(delivery)
                        self.gate.isolate(delivery)
                        return
                    self.gate.granted(delivery)
                    self.granted(delivery, reply)
                    heapq.heappush(self._granted, (reply.start_at, next(self._order), delivery))
                    return
                self._undo(delivery)
                self.gate.finished(delivery)
                parked = f"{reply.takeovers} workers ended during this job's call"
                # The grant counted a call that was not made.
                history = {"takeovers": reply.takeovers, "attempts": reply.attempts - 1}
                self._tally(delivery, "dead")
                self.bury(delivery, DeadLetterError("crash_loop", parked, history=history))
            case Wait(scope, until):
                self._hold_back(delivery, now, until, line=scope == "customer")
            case AlreadyAnswered(epoch, result):
                self.gate.finished(delivery)
                self.context.metrics.ledger_hits.inc()
                if result is None:
                    self._tally(delivery, "duplicate")
                    self.acknowledge(delivery)
                else:
                    self._publish_recorded(delivery, epoch, result)

    def _publish_recorded(self, delivery: D, epoch: int, result: str) -> None:
        try:
            finish = Finish.recorded(epoch, result)
        except ValueError:
            # Whoever wrote that into the store, it reads the same however often it is asked for.
            problem = "the store holds an answer to this job that is no result"
            self.bury(delivery, DeadLetterError("unreadable_result", problem))
        else:
            self.publish_result(delivery, finish)

    def _weigh(self, delivery: D) -> None:
        others = self.breakers.others(delivery.shop)
        # What has trouble of its own finds out nothing about its shop, and pays for its calls.
        delivery.probing = self.gate.is_probing(delivery.shop) and not others.is_own(delivery)
        delivery.ends_if_refused = others.ends_if_refused(delivery)
        delivery.waits_alone = others.waits_alone(delivery)

    def _by_its_deadline(self, delivery: D, now: int, until: int) -> int:
        # By its deadline it is back, to end then rather than at its turn.
        if not delivery.uncalled and delivery.job.not_after is not None:
            return min(until, max(now, from_datetime(delivery.job.not_after) - self.context.clock.ahead()) + 1)
        return until

    def _mark_uncalled(self, delivery: D, now: int) -> bool:
        uncalled = self._controls.uncalled_as(delivery.job, now, self.context.clock.ahead())
        if uncalled is not None:
            delivery.request = replace(delivery.request, uncalled=uncalled)
        return uncalled is not None

    def _is_cancelled(self, delivery: D, now: int) -> bool:
        # What came after the orders were asked for was perhaps published because its campaign is cancelled no longer.
        # The ledger couldn't tell: for it, a second copy of what ended as cancelled is done with.
        uncalled = self._controls.uncalled_as(delivery.job, now, self.context.clock.ahead())
        return uncalled == "cancelled" and delivery.arrived_at <= self._controls.as_of

    def _release_uncalled(self, now: int) -> None:
        # What waits here for its shop to open, and has expired or was called off meanwhile, waits no longer.
        self._controls.next_deadline = FOREVER
        freed = {held.shop for held in self.gate.held() if not held.uncalled and self._mark_uncalled(held, now)}
        for shop in freed:
            self.gate.release_uncalled(shop)

    def _look(self, now: int, *, awaited: bool = False) -> None:
        self._submitting = True
        self._controls.look(now, awaited=awaited)
        self._submitting = False

    def _take_orders(self, now: int) -> None:
        before = self._controls.controls
        for news in self._controls.take():
            if isinstance(news, StoreError):
                doubted, self._doubted = self._doubted, []
                self._store_is_down(news, doubted, now)
                continue
            self._store_is_up()
            if news is not None:
                self._apply_pauses()
                self._rates.apply_limits(now)
                if before is not None and news.cancelled != before.cancelled:
                    log.info("cancelled_campaigns_changed", campaigns=len(news.cancelled))
                    self.called_off()
                self._release_uncalled(now)
                before = news
            # Backwards, as in _take_replies.
            while self._doubted:
                delivery = self._doubted.pop()
                delivery.request = replace(delivery.request, uncalled=None)
                self._mark_uncalled(delivery, now)
                self.gate.give_back(delivery)

    def _apply_pauses(self) -> None:
        for shop in self.context.shops.slugs():
            paused = self._controls.is_paused(shop)
            if paused == ("paused" in self.gate.reasons(shop)):
                continue
            if paused:
                log.warning("shop_paused", shop=shop)
                self.gate.close(shop, FOREVER, "paused")
                self._take_back_grants(shop)
            else:
                log.info("shop_resumed", shop=shop)
                self.gate.open(shop, "paused")

    def _tally(self, delivery: D, counter: str) -> None:
        self.context.store.tally(delivery.shop, delivery.job.campaign, {counter: 1})

    def _store_is_down(self, error: StoreError, deliveries: list[D], now: int) -> None:
        if error.reason != self._store_down:
            # Again where it is another by now: it was loading, and is a replica.
            log.error("store_down", reason=error.reason, problem=str(error))
        self._store_down = error.reason
        for delivery in reversed(deliveries):
            self.gate.give_back(delivery)
        self.gate.close_all("store_down", now + STORE_PAUSE)
        self._show_ready()

    def _store_is_up(self) -> None:
        if self._store_down:
            log.info("store_up")
            self.gate.open_all("store_down")
        self._store_down = None

    def _show_ready(self) -> None:
        show = self.context.metrics.show_ready
        show("rabbitmq", self.disconnected)
        show("store", self._store_down)
        show("shops_file", None if self.context.shops.problem is None else "unusable")

    def _take_back_grants(self, shop: str) -> None:
        # Backwards, as in _take_replies.
        for delivery in [entry[2] for entry in sorted(self._granted, reverse=True) if entry[2].shop == shop]:
            self._undo(delivery)
            self.gate.give_back(delivery)
        self._granted = [entry for entry in self._granted if entry[2].shop != shop]
        heapq.heapify(self._granted)

    def _abandon_grants(self) -> None:
        # Replies that are on their way are short of the store's time-out away; jobs that were granted and not started
        # undo themselves, so that the next process needn't wait for their leases.
        deadline = self.context.clock.now() + STORE_PAUSE
        while self._unanswered and self.context.clock.now() < deadline:
            self.wait(deadline)
            self._take_replies(self.context.clock.now())
        self._give_up_grants()

    def _give_up_grants(self) -> None:
        while self._granted:
            delivery = heapq.heappop(self._granted)[2]
            self._undo(delivery)
            self.gate.finished(delivery)
            self.put_back(delivery)
        while self._doubted:
            delivery = self._doubted.pop()
            self.gate.finished(delivery)
            self.put_back(delivery)

    def _put_aside(self, delivery: D, now: int) -> None:
        # Not to the head of its line, nor into the prefetch, which a few such jobs would fill.
        self.gate.finished(delivery)
        spread = PUT_ASIDE * int(delivery.job_id[:4], 16) >> 16
        self.defer(delivery, self._by_its_deadline(delivery, now, now + PUT_ASIDE + spread))

    def _hold_back(self, delivery: D, now: int, until: int, *, line: bool) -> None:
        if line:
            delivery.request = self.request_again(delivery, until)
        until = self._by_its_deadline(delivery, now, until)
        if not self.gate.set_aside(delivery, now, until):
            self.context.metrics.deferred(delivery.shop)
            self.defer(delivery, until)

    def request_again(self, delivery: D, place_in_line: int) -> AdmitRequest:
        """The delivery's question with the place in line that it was given."""
        return replace(delivery.request, place_in_line=place_in_line)

    def _take_returned(self) -> None:
        if self.breakers.has_finding:
            self.breakers.take_finding()
        while self._returned:
            delivery = self._returned.popleft()
            self.gauges.came_back(delivery)
            disposition, delivery.disposition = delivery.disposition, None
            if disposition is not None and disposition.verdict is not None:
                self.breakers.learn(
                    delivery,
                    disposition.verdict,
                    ended=isinstance(disposition, Finish),
                    # A call that is halted gives its job back.
                    read=isinstance(disposition, Later),
                )
            if isinstance(disposition, GiveBack):
                self._given_back(delivery, disposition)
            else:
                self.gate.finished(delivery)
                self._carry_out(delivery, disposition)

    def _carry_out(self, delivery: D, disposition: Finish | Later | Fenced | None) -> None:
        match disposition:
            case Finish():
                self.publish_result(delivery, disposition)
            case Later():
                assert delivery.grant is not None
                self.repeat(delivery, delivery.grant, disposition)
            case Fenced():
                log.warning("fenced", shop=delivery.shop, job_id=delivery.job.job_id)
                self.put_back(delivery)
            case None:
                self.back_off(delivery, "the task ended without saying what became of the job")

    def _given_back(self, delivery: D, disposition: GiveBack) -> None:
        grant, delivery.grant = delivery.grant, None
        if grant is not None:
            if disposition.verified:
                grant = replace(grant, unknowns=0)
            self.released(delivery, grant, called=disposition.verdict is not None)
        if self.context.shops.get(delivery.shop) is None:
            # Its shop has left the file: it goes back to its queue, which nobody consumes from then on.
            self.gate.finished(delivery)
            self.put_back(delivery)
            self.hurry()
            return
        if disposition.scope == "customer":
            self._hold_back(delivery, self.context.clock.now(), disposition.until, line=False)
            return
        own = isinstance(disposition.verdict, Halted) and self.breakers.others(delivery.shop).is_own(delivery)
        if own or isinstance(disposition.verdict, Refused):
            self._put_aside(delivery, self.context.clock.now())
            return
        self.gate.give_back(delivery)
        if disposition.scope == "shop":
            self.gate.close(delivery.shop, disposition.until, "throttled")
            # What was granted ahead would be refused too.
            self._take_back_grants(delivery.shop)

    def _undo(self, delivery: D) -> None:
        grant, delivery.grant = delivery.grant, None
        if grant is not None:
            try:
                self.context.store.release(delivery.request, grant.epoch, called=False)
            except StoreError as error:
                # The lease ends by itself; until then the job waits, counted as a call that was never answered.
                log.warning("release_failed", job_id=delivery.job.job_id, problem=str(error))
            self.released(delivery, grant, called=False)
