"""Asks the store for calls and takes its replies.

Runs on the consumer's thread, which never waits for the store: replies come on the store's thread into a deque, and the
loop takes them from there. A store that answers at once (memory) replies in the midst of asking; such a reply is taken
right after it and wakes nobody.
"""

from collections import deque
from dataclasses import replace
from functools import partial
from typing import Generic, Literal

import structlog

from worker.errors import DamagedOrdersError, DeadLetterError, StoreError
from worker.limits.token_bucket import ShopLimits
from worker.model.controls import Controls
from worker.scheduling.breakers import Breakers
from worker.scheduling.context import Context
from worker.scheduling.delivery import D
from worker.scheduling.gate import Gate
from worker.scheduling.gauges import Gauges
from worker.scheduling.grants import Grants
from worker.scheduling.holds import Holds
from worker.scheduling.operator_controls import OperatorControls
from worker.scheduling.outcomes import Outcomes
from worker.scheduling.port import Port
from worker.scheduling.readiness import STORE_PAUSE, Readiness
from worker.scheduling.shop_rates import ShopRates
from worker.scheduling.shop_settings import ShopSettings
from worker.store.protocol import AlreadyAnswered, Grant, Reply, ShopClosed, Wait

ALONE_FROM = 2
"""Takeovers of one job from which it runs alone in its process: if it is what kills its workers, then no other call is
cut short by it."""

CRASH_LOOP = 5
"""Takeovers of one job after which it is dead-lettered: whatever kills its workers is likely to be the job."""

Kind = Literal["usual", "urgent", "uncalled"]
"""What is asked for together: each kind of a shop's jobs has a question of its own."""

log = structlog.get_logger(__name__)


class Admission(Generic[D]):
    """Turns jobs that the gate lets ask into granted ones, and hands the others to the gate or to outcomes.

    *Doubted* jobs look cancelled by controls that were asked for before they came; they wait for a fresh answer. A
    *turn* is the store's word that this process may ask about a busy shop now: it is claimed once, with the next
    question about the shop.
    """

    def __init__(
        self,
        context: Context,
        gate: Gate[D],
        gauges: Gauges,
        grants: Grants[D],
        controls: OperatorControls,
        rates: ShopRates,
        breakers: Breakers,
        settings: ShopSettings,
        holds: Holds[D],
        readiness: Readiness,
        outcomes: Outcomes[D],
        port: Port[D],
    ) -> None:
        self._context = context
        self._gate = gate
        self._gauges = gauges
        self._grants = grants
        self._controls = controls
        self._rates = rates
        self._breakers = breakers
        self._settings = settings
        self._holds = holds
        self._readiness = readiness
        self._outcomes = outcomes
        self._port = port
        self._replies: deque[tuple[list[D], ShopLimits | None, Kind, list[Reply] | StoreError]] = deque()
        self._unanswered = 0
        self._doubted: list[D] = []
        self._turns: set[str] = set()
        self._submitting = False

    @property
    def has_replies(self) -> bool:
        """Whether :meth:`take_replies` has something."""
        return bool(self._replies)

    def ask(self, now: int) -> bool:
        """Ask for every job that the gate lets ask now, in one question for each shop; False where there was none.

        Never waits. Jobs of one shop go together, since a command of a batch costs 11 µs of CPU and one alone 96.
        """
        if self._controls.controls is None:
            # Nobody knows yet which shops are paused.
            return False
        delivery = self._gate.next(now)
        if delivery is None:
            # Mostly so: it is asked again after every grant.
            return False
        asking: dict[tuple[str, Kind], list[D]] = {}
        while delivery is not None:
            uncalled = delivery.uncalled or self._controls.mark_uncalled(delivery, now)
            if uncalled and self._is_doubted(delivery, now):
                self._doubted.append(delivery)
            elif uncalled or not self._holds.keeps(delivery, now):
                # Uncalled ones in a question of their own: they take no tokens, and a closed shop must not stop them.
                # Urgent ones too: what is closed to others may be open to them.
                kind: Kind = "uncalled" if uncalled else "urgent" if delivery.lane == "urgent" else "usual"
                asking.setdefault((delivery.shop, kind), []).append(delivery)
            delivery = self._gate.next(now)
        self._submitting = True
        for (shop, kind), deliveries in asking.items():
            self._submit(shop, deliveries, now, kind)
        self._submitting = False
        if self._doubted:
            self._controls.refresh(now, awaited=True)
        return True

    def take_replies(self, now: int) -> None:
        """Act on what the store has answered."""
        while self._replies:
            deliveries, limits, kind, replies = self._replies.popleft()
            self._unanswered -= 1
            if kind != "uncalled":
                self._gate.asked(deliveries[0].shop, under_way=False, urgent=kind == "urgent")
            if isinstance(replies, StoreError):
                for delivery in deliveries:
                    delivery.unanswered = True
                self._store_failed(replies, deliveries, now)
            else:
                self._readiness.store_answered()
                self._take_batch(deliveries, limits, replies, now)

    def take_controls(self, now: int) -> None:
        """Act on what the store has answered about the operators' controls."""
        for news in self._controls.take():
            damaged = news if isinstance(news, DamagedOrdersError) and self._controls.controls is not None else None
            if isinstance(news, StoreError) and damaged is None:
                doubted, self._doubted = self._doubted, []
                self._store_failed(news, doubted, now)
                continue
            self._readiness.store_answered()
            self._readiness.orders_damaged(damaged)
            if isinstance(news, Controls):
                self._settings.apply_controls(now)
                self._readiness.show()
                self._holds.follow(now)
            # Backwards, since what is returned goes to the front of its shop's queue.
            while self._doubted:
                delivery = self._doubted.pop()
                delivery.request = replace(delivery.request, uncalled=None)
                self._controls.mark_uncalled(delivery, now)
                self._gate.returned(delivery)

    def requeue_unstarted(self) -> None:
        """The process stops: requeue what was granted and not started, with its grant released."""
        while (granted := self._grants.pop()) is not None:
            self._grants.release(granted)
            self._gate.finished(granted)
            self._port.requeue(granted)
        while self._doubted:
            doubted = self._doubted.pop()
            self._gate.finished(doubted)
            self._port.requeue(doubted)

    def drain(self) -> None:
        """The process ends: wait for the store's last replies, then requeue what they granted. Blocks for a second at
        most.
        """
        # Replies that are on their way are short of the store's time-out (0.5 s) away. Jobs that were granted and not
        # started have their grants released, so that the next process need not wait for their leases.
        deadline = self._context.clock.now() + STORE_PAUSE
        while self._unanswered and self._context.clock.now() < deadline:
            self._port.poll(deadline)
            self.take_replies(self._context.clock.now())
        self.requeue_unstarted()

    def _is_doubted(self, delivery: D, now: int) -> bool:
        cancelled = delivery.request.uncalled == "cancelled" and not delivery.suppressed
        return cancelled and not self._controls.is_surely_cancelled(delivery, now)

    def _submit(self, shop: str, deliveries: list[D], now: int, kind: Kind) -> None:
        limits = self._rates.limits_in_force(shop, now)
        if limits is not None:
            for delivery in deliveries:
                if delivery.request.limits is not limits:
                    delivery.request = replace(delivery.request, limits=limits)
        for delivery in deliveries:
            delivery.asked_at, delivery.unanswered = now, False
        self._unanswered += 1
        # Uncalled jobs take no tokens, and urgent ones need no turn, so they neither have nor use one up.
        turn = kind == "usual" and shop in self._turns
        if turn:
            self._turns.discard(shop)
        requests = [delivery.request for delivery in deliveries]
        holds = len(requests) + self._gate.waiting(shop)
        reply = partial(self._hear, deliveries, limits, kind)
        self._context.store.submit(requests, reply, turn=turn, holds=holds)
        if kind != "uncalled":
            self._gate.asked(shop, under_way=True, urgent=kind == "urgent")

    def _hear(
        self, deliveries: list[D], limits: ShopLimits | None, kind: Kind, replies: list[Reply] | StoreError
    ) -> None:
        # On the store's thread, or in the midst of `submit` where the store answers at once.
        self._replies.append((deliveries, limits, kind, replies))
        if not self._submitting:
            self._port.wake()

    def _take_batch(self, deliveries: list[D], limits: ShopLimits | None, replies: list[Reply], now: int) -> None:
        # All of one shop, and asked for by the same limits.
        shop = deliveries[0].shop
        in_force = self._rates.limits_in_force(shop, now)
        outdated = in_force is not None and in_force is not limits
        # Asked before that closed the gate, and perhaps granted by a store that has lost its lists.
        doubtful = "suppression" in self._gate.closed
        returned: list[D] = []
        closed = False
        if len(replies) > len(deliveries) and isinstance(next_turn := replies.pop(), ShopClosed):
            self._close(deliveries[0], next_turn, now)
        for delivery, reply in zip(deliveries, replies, strict=True):
            match reply:
                case Grant() if outdated or (doubtful and not delivery.uncalled) or self._holds.is_held(delivery, now):
                    # Granted by limits that are no longer in force, or its campaign is held by now.
                    delivery.grant = reply
                    self._grants.release(delivery)
                    returned.append(delivery)
                case Grant():
                    self._take_grant(delivery, reply, now)
                case ShopClosed():
                    if not closed:
                        closed = True
                        self._close(delivery, reply, now)
                    returned.append(delivery)
                case Wait("campaign" | "campaign_day") as wait:
                    self._holds.put_off(delivery, now, wait)
                case Wait(scope, until):
                    self._holds.leaves(delivery)
                    if scope == "customer":
                        # The store has reserved that instant for it, so it must not ask for another one.
                        delivery.request = replace(delivery.request, place_in_line=until)
                    self._outcomes.hold_back(delivery, now, until)
                case AlreadyAnswered(epoch, result):
                    self._take_answered(delivery, epoch, result)
        # Backwards, since what is returned goes to the front of its shop's queue.
        for delivery in reversed(returned):
            self._gate.returned(delivery)

    def _close(self, delivery: D, reply: ShopClosed, now: int) -> None:
        shop = delivery.shop
        if reply.reason == "urgent":
            self._gate.close_urgent(shop, reply.until)
            return
        self._gate.close(shop, reply.until, reply.reason, then_ask=reply.batch)
        self._turns.add(shop)
        self._rates.pace_reported(shop, reply.interval, delivery.request.limits.shop.interval, now)

    def _take_grant(self, delivery: D, grant: Grant, now: int) -> None:
        self._holds.leaves(delivery)
        if delivery.suppressed:
            grant = replace(grant, suppressed=True)
        delivery.grant, shop = grant, delivery.shop
        self._gauges.called(shop, grant.calls_today, now)
        if grant.overtaken:
            self._context.metrics.takeovers.inc()
        if grant.suppressed:
            delivery.request = replace(delivery.request, uncalled="cancelled")
            self._context.metrics.suppressed.inc()
        self._weigh(delivery)
        delivery.paused = self._controls.is_paused(shop) or self._controls.holds_all(delivery.job)
        if grant.takeovers:
            log.warning("job_taken_over", shop=shop, job_id=delivery.job.job_id, times=grant.takeovers)
        if grant.takeovers >= CRASH_LOOP:
            self._dead_letter(delivery, grant)
        elif grant.takeovers >= ALONE_FROM and not delivery.uncalled and self._gate.alone is not delivery:
            self._grants.release(delivery)
            self._gate.isolate(delivery)
        else:
            self._grants.add(delivery, grant)

    def _weigh(self, delivery: D) -> None:
        # What the worker thread must know about the shop, as it is at the grant: it may not look at it itself.
        probing = self._gate.shop(delivery.shop).probing
        if delivery.trouble is None:
            # Nearly every job: how the others fare matters only for one that is in trouble.
            delivery.probing, delivery.ends_if_refused, delivery.waits_alone = probing, False, False
            return
        others = self._breakers.others(delivery.shop)
        # A job that has trouble of its own finds out nothing about its shop, and pays for its calls.
        delivery.probing = probing and not others.is_own(delivery)
        delivery.ends_if_refused = others.ends_if_refused(delivery)
        delivery.waits_alone = others.waits_alone(delivery)

    def _dead_letter(self, delivery: D, grant: Grant) -> None:
        self._grants.release(delivery)
        self._gate.finished(delivery)
        detail = f"{grant.takeovers} workers ended during this job's call"
        # The grant counted this attempt, but no call was made.
        history = {"takeovers": grant.takeovers, "attempts": grant.attempts - 1}
        self._count(delivery, "dead")
        self._port.dead_letter(delivery, DeadLetterError("crash_loop", detail, history=history))

    def _take_answered(self, delivery: D, epoch: int, result: str | None) -> None:
        self._holds.leaves(delivery)
        self._gate.finished(delivery)
        self._context.metrics.ledger_hits.inc()
        if result is None:
            self._count(delivery, "duplicate")
            self._port.ack(delivery)
        else:
            self._outcomes.publish_recorded(delivery, epoch, result)

    def _count(self, delivery: D, counter: str) -> None:
        self._context.store.tally(delivery.shop, delivery.job.campaign, {counter: 1})

    def _store_failed(self, error: StoreError, deliveries: list[D], now: int) -> None:
        self._readiness.store_failed(error, now)
        # Backwards, as in `_take_batch`.
        for delivery in reversed(deliveries):
            self._gate.returned(delivery)
