"""Which shops' queues a worker consumes: those of shops that are in the file, declared, and not closed for long.

Runs on the consumer's thread. Queues are declared on the declarer's thread, which reports by a deque.
"""

import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

import pika.exceptions
import structlog

from worker.errors import BrokerError
from worker.instants import SECOND, from_datetime
from worker.rabbitmq.channel import ShopChannel
from worker.rabbitmq.connection import Parameters
from worker.rabbitmq.peek_schedule import LONG_CLOSED, PeekSchedule
from worker.rabbitmq.queue_declarer import QueueDeclarer, Unusable
from worker.rabbitmq.topology import shop_queue
from worker.scheduling.context import Context
from worker.scheduling.gate import Gate
from worker.text.bounds import IN_HAND

FIRST_LOOK = 5 * SECOND
LOOK_AGAIN = 3600 * SECOND
"""When the queue of a shop that has left the file is checked for jobs that nobody will send. RabbitMQ's count lags, so
not at once."""

REST = SECOND
NARROW = 60 * SECOND
"""How long a shop whose messages filled the memory is not consumed, and how long it then gets one message at a time."""

FEWEST_SHARES = 8
"""A shop's share of the memory is at most one of so many, however few shops hold something. Three shops whose waiting
jobs were as large as allowed kept another shop's job of 3 KB, and thirty ordinary ones behind it, from being called."""

log = structlog.get_logger(__name__)


class Subscriptions:
    """Keeps the channel's consumers in step with the shops file and the gate.

    ``requeue_shop`` requeues the jobs of a shop that wait at the gate.
    """

    def __init__(
        self,
        params: Parameters,
        context: Context,
        gate: Gate[Any],
        channel: ShopChannel,
        *,
        requeue_shop: Callable[[str], None],
    ) -> None:
        self._context = context
        self._gate = gate
        self._channel = channel
        self._requeue_shop = requeue_shop
        self._declaring: set[str] = set()
        self._declared: set[str] = set()
        self._ready: deque[list[str]] = deque()
        self._unusable: dict[str, Unusable] = {}
        self._removed: dict[str, int] = {}
        self._peeks = PeekSchedule()
        self._resting: dict[str, int] = {}
        self._narrow: dict[str, int] = {}
        self._began_at: int | None = None
        self._producers: dict[str, tuple[str, ...]] = {}
        self._version = 0
        self._declarer = QueueDeclarer(params, self._on_ready, self._producers_of)

    def begin(self) -> None:
        """The channel is open again. Queues are declared on another thread: a thousand new ones take RabbitMQ seconds.

        Raises:
          BrokerError: RabbitMQ refuses one of them, and has closed the channel over it.
        """
        self._began_at = self._context.clock.now()
        self._declaring, self._declared = set(), set()
        left = self._changed_producers()
        if left:
            self._declarer.declare(left)
        self._subscribe_missing()

    @property
    def has_news(self) -> bool:
        """Whether queues have been declared since :meth:`take_declared`."""
        return bool(self._ready)

    def take_declared(self) -> None:
        """Consume the queues that were declared meanwhile; raises as :meth:`begin` does."""
        if self._ready:
            while self._ready:
                self._declared.update(self._ready.popleft())
            if self._channel.up:
                self._subscribe_missing()

    def follow(self, now: int) -> None:
        """Once a second: follow the shops file, RabbitMQ's cancellations of consumers, and what the gate has closed.

        Raises:
          BrokerError: as :meth:`begin`, or the connection broke.
        """
        for shop in self._channel.take_cancelled():
            # Its jobs in hand are carried on. If a queue of that name exists again, the next round consumes it.
            problem = f"RabbitMQ gave up on {shop_queue(shop)}: it was deleted, or a delivery lay too long"
            log.warning("consumer_cancelled", shop=shop, problem=problem)
            self._declared.discard(shop)
            self._declaring.discard(shop)
        served = frozenset(self._context.shops.slugs())
        for shop in self._channel.shops:
            if shop not in served or (self._stays_closed(shop, now) and not self._peeks.is_open(shop, now)):
                self._unsubscribe(shop, now)
                if shop not in served:
                    log.info("shop_removed", shop=shop)
                    self._removed[shop] = now + FIRST_LOOK
        self._warn_of_orphans(served, now)
        self._widen(now)
        self._subscribe_missing()
        changed = self._changed_producers()
        if changed:
            self._declarer.declare(changed)
        for shop in {held.shop for held in self._gate.held()} - served:
            self._requeue_shop(shop)

    def make_room(self, shops: Collection[str], now: int) -> None:
        """There was no memory for a message of each of these shops. Stop consuming as many shops for a moment: those
        that hold most, if that is more than their share, else these.

        Raises:
          BrokerError: the connection broke.
        """
        held = self._channel.held_by_shop()
        share = IN_HAND // max(FEWEST_SHARES, len(held.keys() | set(shops)))
        # A shop that gets one message at a time has nothing left to requeue.
        heavy = [shop for shop, weight in held.most_common() if weight > share and shop not in self._narrow]
        for shop in heavy[: len(shops)] or shops:
            self._rest(shop, now)

    def _rest(self, shop: str, now: int) -> None:
        # Its waiting jobs are requeued, and for a while it gets one at a time.
        if shop not in self._narrow:
            log.warning("shop_crowded", shop=shop, problem="its messages take much memory, so it gets one at a time")
        self._channel.unsubscribe(shop)
        self._requeue_shop(shop)
        self._resting[shop], self._narrow[shop] = now + REST, now + NARROW

    def holds_uncalled(self, shop: str, now: int) -> None:
        """An uncalled job of the shop has come; where the shop is closed, there may be more behind it."""
        self._peeks.prolong(shop, now)

    def peek_everywhere(self) -> None:
        """Peek into every closed shop's queue for such jobs."""
        self._peeks.hurry()

    def close(self) -> None:
        """Declare no more queues; waits for the batch that is under way."""
        self._declarer.close()

    def _producers_of(self, shop: str) -> tuple[str, ...] | None:
        config = self._context.shops.get(shop)
        return config.producers if config is not None else None

    def _changed_producers(self) -> list[str]:
        # Shops whose producers have changed since the last time: those whose queues are declared or about to be, and
        # those that have left the file.
        version = self._context.shops.version
        if version == self._version:
            return []
        before, self._version = self._producers, version
        now = {shop: self._producers_of(shop) for shop in self._context.shops.slugs()}
        self._producers = {shop: producers for shop, producers in now.items() if producers is not None}
        left = before.keys() - self._producers.keys()
        # A shop that comes back is declared again: somebody may have deleted its queue meanwhile.
        self._declaring -= left
        self._declared -= left
        return [
            *(shop for shop in sorted(left) if before[shop]),
            *(
                shop
                for shop, producers in self._producers.items()
                if shop in self._declaring and producers != before.get(shop, ())
            ),
        ]

    def _on_ready(self, shops: list[str]) -> None:
        # On the declarer's thread.
        self._ready.append(shops)
        self._channel.wake()

    def _subscribe_missing(self) -> None:
        now = self._context.clock.now()
        before = self._channel.shops
        missing = [shop for shop in self._context.shops.slugs() if shop not in before]
        new = [shop for shop in missing if shop not in self._declaring]
        if new:
            self._began_at = now if self._began_at is None else self._began_at
            self._declaring.update(new)
            self._declarer.declare(new)
        for shop in missing:
            if shop not in self._declared or shop in self._resting or not self._is_usable(shop):
                continue
            if self._stays_closed(shop, now):
                if not self._peeks.is_due(shop, now):
                    continue
                self._peeks.begin(shop, now)
            self._subscribe(shop)
        if not self._declared.issuperset(missing):
            return
        if self._channel.shops != before:
            took = {} if self._began_at is None else {"seconds": round((now - self._began_at) / SECOND, 1)}
            log.info("subscribed", shops=len(self._channel.shops), **took)
        # A shop that is consumed later was closed until then, so its time says nothing about RabbitMQ.
        self._began_at = None

    def _widen(self, now: int) -> None:
        self._resting = {shop: until for shop, until in self._resting.items() if until > now}
        for shop in [shop for shop, until in self._narrow.items() if until <= now]:
            del self._narrow[shop]
            # Consumed again with the full prefetch; its deliveries in hand stay.
            self._channel.unsubscribe(shop)

    def _is_usable(self, shop: str) -> bool:
        # Whether a queue that could not be consumed can be now, if it is time to check.
        before = self._unusable.get(shop)
        if before is None:
            return True
        if before.again_at > time.monotonic():
            return False
        problem = self._channel.problem_with(shop)
        if problem is None:
            log.info("shop_queue_usable", shop=shop)
            del self._unusable[shop]
            return True
        self._unusable[shop] = Unusable.found(shop, problem, before)
        return False

    def _subscribe(self, shop: str) -> None:
        try:
            self._channel.subscribe(shop, prefetch=1 if shop in self._narrow else None)
        except BrokerError as error:
            if isinstance(error.__cause__, pika.exceptions.ChannelClosedByBroker):
                # Over this shop's queue RabbitMQ has closed the channel, and with it every shop's consumer. Next time
                # the others are consumed first.
                self._unusable[shop] = Unusable.found(shop, error, None)
            raise

    def _unsubscribe(self, shop: str, now: int) -> None:
        self._channel.unsubscribe(shop)
        deadlines = (held.job.not_after for held in self._gate.held() if held.shop == shop)
        first = min((from_datetime(deadline) for deadline in deadlines if deadline is not None), default=None)
        self._peeks.plan(shop, now, first - self._context.clock.ahead() if first is not None else None)
        self._requeue_shop(shop)

    def _stays_closed(self, shop: str, now: int) -> bool:
        return self._gate.shop(shop).closed_until() > now + LONG_CLOSED

    def _warn_of_orphans(self, served: frozenset[str], now: int) -> None:
        for shop, look_at in list(self._removed.items()):
            if shop in served:
                del self._removed[shop]
            elif look_at <= now:
                self._removed[shop] = now + LOOK_AGAIN
                messages = self._channel.waiting(shop)
                if messages:
                    log.warning("removed_shop_has_jobs", shop=shop, messages=messages, queue=shop_queue(shop))
