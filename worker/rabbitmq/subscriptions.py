"""Which queues a worker consumes: those of shops that are in the file, declared, and not closed for long; none while it
lacks the key of the suppression lists, so that workers which have it get the jobs.

A shop's lanes are queues of their own here, each declared, consumed, and peeked into by itself.

Runs on the consumer's thread. Queues are declared on the declarer's thread, and tried again on those of the probe; both
report by deques.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

import structlog

from worker.errors import BrokerError
from worker.instants import SECOND, from_datetime
from worker.model.controls import Controls
from worker.model.lanes import LANES, ShopLane
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.failures import was_asked_too_much
from worker.rabbitmq.known_lanes import KnownLanes
from worker.rabbitmq.peek_schedule import LONG_CLOSED, PeekSchedule
from worker.rabbitmq.prefetches import Prefetches
from worker.rabbitmq.queue_declarer import QueueDeclarer
from worker.rabbitmq.queue_probe import QueueProbe
from worker.rabbitmq.topology import shop_queue
from worker.scheduling.context import Context
from worker.scheduling.gate import Gate
from worker.scheduling.priorities import Priorities

FIRST_LOOK = 5 * SECOND
LOOK_AGAIN = 3600 * SECOND
"""When the queue of a shop that has left the file is checked for jobs that nobody will send. RabbitMQ's count lags, so
not at once."""

log = structlog.get_logger(__name__)


class Subscriptions:
    """Keeps the channel's consumers in step with the shops file and the gate.

    ``requeue_lane`` requeues the jobs of a lane that wait at the gate. ``controls`` as :class:`KnownLanes` says.
    ``calls_nobody``: the process can't call anybody until it is started again, so it consumes nothing.
    """

    def __init__(
        self,
        params: Parameters,
        context: Context,
        gate: Gate[Any],
        channel: ShopChannel,
        *,
        requeue_lane: Callable[[ShopLane], None],
        controls: Callable[[], Controls | None],
        calls_nobody: Callable[[], bool],
    ) -> None:
        self._calls_nobody = calls_nobody
        self._context = context
        self._gate = gate
        self._channel = channel
        self._requeue_lane = requeue_lane
        self._declaring: set[ShopLane] = set()
        self._declared: set[ShopLane] = set()
        self._ready: deque[list[ShopLane]] = deque()
        self._probe = QueueProbe(params, channel.wake)
        self._removed: dict[ShopLane, int] = {}
        self._peeks = PeekSchedule()
        self._priorities = Priorities(context.shuffle, threads=context.threads, prefetch=context.prefetch)
        self.prefetches = Prefetches()
        """How much each queue gives at once; a change counts from the next :meth:`follow`."""
        self._began_at: int | None = None
        self._producers: dict[str, tuple[str, ...]] = {}
        self._version = 0
        self._declarer = QueueDeclarer(params, self._on_ready, self._producers_of)
        self._known = KnownLanes(context, controls, self._declarer.find)
        self._wanted: tuple[int, frozenset[ShopLane], list[ShopLane]] = (-1, frozenset(), [])

    def begin(self) -> None:
        """The channel is open again. Queues are declared on another thread: a thousand new ones take RabbitMQ seconds.

        Raises:
          BrokerError: RabbitMQ refuses one of them, and has closed the channel over it.
        """
        self._began_at = self._context.clock.now()
        self._declaring, self._declared = set(), set()
        self._known.take_shops()
        left = self._changed_producers()
        if left:
            self._declarer.declare(left)
        self._subscribe_missing()

    @property
    def has_news(self) -> bool:
        """Whether queues have been declared, or tried again, since :meth:`take_usable`."""
        return bool(self._ready or self._probe.findings)

    def take_usable(self) -> None:
        """Consume the queues that were declared meanwhile or can be consumed again; raises as :meth:`begin` does."""
        if self.has_news:
            self._probe.take()
            while self._ready:
                self._declared.update(self._ready.popleft())
            if self._channel.up:
                self._subscribe_missing()

    def takes(self, of: ShopLane) -> bool:
        """Whether jobs may be published to the lane, since its queue exists and every worker hears of it. If not, it is
        declared and listed now.
        """
        self._known.add([of])
        return of in self._declared and self._known.is_listed(of)

    def follow(self, now: int) -> None:
        """Once a second: follow the shops file, RabbitMQ's cancellations of consumers, and what the gate has closed.

        Raises:
          BrokerError: as :meth:`begin`, or the connection broke.
        """
        for of in self._channel.take_cancelled():
            # Its jobs in hand are carried on. If a queue of that name exists again, the next round consumes it.
            problem = f"RabbitMQ gave up on {shop_queue(*of)}: it was deleted, or a delivery lay too long"
            log.warning("consumer_cancelled", shop=of.key, problem=problem)
            self._declared.discard(of)
            self._declaring.discard(of)
        served = frozenset(self._context.shops.slugs())
        for of in self._channel.consumed:
            closed = self._stays_closed(of, now) and not self._peeks.is_open(of, now)
            if of.shop not in served or closed or self._calls_nobody():
                self._unsubscribe(of, now)
                if of.shop not in served:
                    log.info("shop_removed", shop=of.key)
                    self._removed[of] = now + FIRST_LOOK
        self._warn_of_orphans(served, now)
        for of in self.prefetches.changed(now):
            # Consumed again with another prefetch; its deliveries in hand stay.
            self._channel.unsubscribe(of)
        self._known.follow(now, self._declared, at_rest=self._declared.issuperset(self._wanted_now()))
        self._subscribe_missing()
        changed = self._changed_producers()
        if changed:
            self._declarer.declare(changed)
        for of in {ShopLane(held.shop, held.lane) for held in self._gate.held() if held.shop not in served}:
            self._requeue_lane(of)

    def make_room(self, queues: Collection[ShopLane], now: int) -> None:
        """There was no memory for a message of each of these. Stop consuming as many queues for a moment: those that
        hold most, if that is more than their share, else these.

        Raises:
          BrokerError: the connection broke.
        """
        for of in self.prefetches.crowding(self._channel.held_by_queue(), queues):
            if not self.prefetches.is_narrow(of):
                problem = "its messages take much memory, so it gets one at a time"
                log.warning("shop_crowded", shop=of.key, problem=problem)
            self._channel.unsubscribe(of)
            self._requeue_lane(of)
            self.prefetches.rest(of, now)

    def holds_uncalled(self, of: ShopLane, now: int) -> None:
        """An uncalled job has come by the queue; where its shop is closed, there may be more behind it."""
        self._peeks.prolong(of, now)

    def peek_everywhere(self) -> None:
        """Peek into every closed shop's queue for such jobs."""
        self._peeks.hurry()

    def close(self) -> None:
        """Declare no more queues; waits for the batch that is under way."""
        self._declarer.close()

    def _producers_of(self, shop: str) -> tuple[str, ...] | None:
        config = self._context.shops.get(shop)
        return config.producers if config is not None else None

    def _changed_producers(self) -> list[ShopLane]:
        # Queues of the shops whose producers have changed since the last time: those that are declared or about to be,
        # and those of shops that have left the file.
        version = self._context.shops.version
        if version == self._version:
            return []
        before, self._version = self._producers, version
        now = {shop: self._producers_of(shop) for shop in self._context.shops.slugs()}
        self._producers = {shop: producers for shop, producers in now.items() if producers is not None}
        left = before.keys() - self._producers.keys()
        bound = [ShopLane(shop, lane) for shop in sorted(left) if before[shop] for lane in LANES]
        # A shop that comes back is declared again: somebody may have deleted its queue meanwhile.
        self._declaring = {of for of in self._declaring if of.shop not in left}
        self._declared = {of for of in self._declared if of.shop not in left}
        changed = {shop for shop, producers in self._producers.items() if producers != before.get(shop, ())}
        return [*bound, *(of for of in sorted(self._declaring) if of.shop in changed)]

    def _on_ready(self, queues: list[ShopLane]) -> None:
        # On the declarer's thread.
        self._ready.append(queues)
        self._channel.wake()

    def _wanted_now(self) -> list[ShopLane]:
        # Made anew only after a change: it is asked for each second, and there may be 10,000.
        shops = self._context.shops
        version, lanes, wanted = self._wanted
        if version != shops.version or lanes is not self._known.lanes:
            wanted = [ShopLane(shop) for shop in shops.slugs()]
            served = set(wanted)
            wanted += [of for of in sorted(self._known.lanes) if ShopLane(of.shop) in served]
            self._wanted = shops.version, self._known.lanes, wanted
        return wanted

    def _subscribe_missing(self) -> None:
        now = self._context.clock.now()
        before = self._channel.consumed
        missing = [of for of in self._wanted_now() if of not in before]
        new = [of for of in missing if of not in self._declaring]
        if new:
            self._began_at = now if self._began_at is None else self._began_at
            self._declaring.update(new)
            self._declarer.declare(new)
        for of in missing:
            rests = self._calls_nobody() or self.prefetches.rests(of)
            if of not in self._declared or rests or not self._probe.is_usable(of):
                continue
            if self._stays_closed(of, now):
                if not self._peeks.is_due(of, now):
                    continue
                self._peeks.begin(of, now)
            self._subscribe(of)
        if not self._declared.issuperset(missing):
            return
        after = self._channel.consumed
        if after != before:
            took = {} if self._began_at is None else {"seconds": round((now - self._began_at) / SECOND, 1)}
            log.info("subscribed", shops=len({of.shop for of in after}), queues=len(after), **took)
        # A queue that is consumed later was closed until then, so its time says nothing about RabbitMQ.
        self._began_at = None

    def _subscribe(self, of: ShopLane) -> None:
        try:
            self._channel.subscribe(of, prefetch=self.prefetches.of(of), priority=self._priority(of))
        except BrokerError as error:
            if was_asked_too_much(error.__cause__):
                # Over this queue RabbitMQ has closed the channel or the connection, or we have since it didn't answer,
                # and with it every queue's consumer. Next time the others are consumed first.
                self._probe.failed(of, error)
            raise
        self._probe.consumed(of)

    def _priority(self, of: ShopLane) -> int:
        # Of bulk alone: an urgent job is not to wait for a process that is busy while another is not.
        config = self._context.shops.get(of.shop) if of.lane == "bulk" else None
        return self._priorities.draw(config) if config is not None else 0

    def _unsubscribe(self, of: ShopLane, now: int) -> None:
        self._channel.unsubscribe(of)
        held_here = (held for held in self._gate.held() if held.shop == of.shop and held.lane == of.lane)
        deadlines = (held.job.not_after for held in held_here)
        first = min((from_datetime(deadline) for deadline in deadlines if deadline is not None), default=None)
        self._peeks.plan(of, now, first - self._context.clock.ahead() if first is not None else None)
        self._requeue_lane(of)

    def _stays_closed(self, of: ShopLane, now: int) -> bool:
        return self._gate.shop(of.shop).closed_until(of.lane) > now + LONG_CLOSED

    def _warn_of_orphans(self, served: frozenset[str], now: int) -> None:
        for of, look_at in list(self._removed.items()):
            if of.shop in served:
                del self._removed[of]
            elif look_at <= now:
                self._removed[of] = now + LOOK_AGAIN
                messages = self._channel.waiting(shop_queue(*of))
                if messages:
                    log.warning("removed_shop_has_jobs", shop=of.shop, messages=messages, queue=shop_queue(*of))
