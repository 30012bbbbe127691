"""Jobs on their way into another lane of their shop; what that lane can't take goes round by a delay queue.

A lane may be missing where nobody may declare it, be a queue of another kind, be full, or have lost its leader. Jobs
that waited in hand for it would fill the prefetch, and with it stop the shop's other jobs. So they leave by a delay
queue, come back by the lane they came by, and are looked at again.

Runs on the consumer's thread.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from worker.errors import BrokerError
from worker.instants import SECOND
from worker.model.lanes import Lane, ShopLane
from worker.rabbitmq.outbox import Outbox
from worker.rabbitmq.received import RabbitmqDelivery, Received
from worker.rabbitmq.subscriptions import Subscriptions
from worker.rabbitmq.topology import shop_queue
from worker.scheduling.context import Context

DECLARED_WITHIN = 5 * SECOND
"""How long jobs wait in hand for a lane that is being declared, so that they keep their order: mostly a second."""

CONFIRMED_WITHIN = 30 * SECOND
"""After how long a lane that has confirmed nothing counts as one that refuses. What it takes all the same is a second
copy of its job, and the ledger knows those."""

SHORTEST, LONGEST = 5 * SECOND, 60 * SECOND
"""Bounds of a round by a delay queue, and of the pause between two tries. They last as long as the lane has been
unusable: what is over soon costs little order, and what lasts costs each job a round a minute."""

FORGOTTEN_AFTER = 3 * LONGEST
"""When a lane that no job has met since counts as unusable no more."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Move:
    delivery: RabbitmqDelivery
    of: ShopLane
    until: int
    published_at: int
    confirm_by: int = 0


@dataclass(slots=True)
class _Unusable:
    # Since when, and when a job last met it; when RabbitMQ last refused one, -1 for never; when one may try it again, 0
    # where it is only not declared yet; what was logged.
    since: int
    met_at: int
    refused_at: int = -1
    try_at: int = 0
    problem: str | None = None

    def pause(self, now: int) -> int:
        return min(max(now - self.since, SHORTEST), LONGEST)


class Moves:
    """``take_back`` gives the gate a job that must stay in its lane, with the time until which it waits."""

    def __init__(
        self,
        context: Context,
        outbox: Outbox,
        subscriptions: Subscriptions,
        *,
        take_back: Callable[[RabbitmqDelivery, int], None],
    ) -> None:
        self._context = context
        self._outbox = outbox
        self._subscriptions = subscriptions
        self._take_back = take_back
        self._unusable: dict[ShopLane, _Unusable] = {}
        self._waiting: list[_Move] = []
        self._unconfirmed: dict[int, _Move] = {}

    def move(self, delivery: RabbitmqDelivery, lane: Lane, until: int) -> None:
        """Publish it there now, or once the lane's queue is declared and every worker hears of it: within seconds.

        A lane that takes nothing is tried by one job at a time.
        """
        now = self._context.clock.now()
        self._subscriptions.prefetches.skims(delivery.message.of, now)
        self._try(_Move(delivery, ShopLane(delivery.shop, lane), until, now), now)

    def take_confirm(self, message: Received, error: BrokerError | None) -> bool:
        """RabbitMQ has confirmed the move, or refused it; whether the message is to be acknowledged."""
        move = self._unconfirmed.get(message.tag)
        if move is None or move.delivery.message is not message:
            # It was given up, or came by an earlier connection.
            return False
        del self._unconfirmed[message.tag]
        if error is not None:
            self._refused(move, str(error)).refused_at = self._context.clock.now()
        elif (unusable := self._unusable.get(move.of)) and move.published_at > unusable.refused_at:
            # A confirm may come after the refusal of a later message: RabbitMQ 3.10 refused the 14th, then confirmed
            # the 13th, and the lane was full.
            self._is_usable(move.of)
        return error is None

    def follow(self, now: int, *, blocked: bool) -> None:
        """Once a second: try again what waits, and give up what has no confirm. ``blocked``: nothing can have one."""
        waiting, self._waiting = self._waiting, []
        for move in waiting:
            self._try(move, now)
        for tag, move in list(self._unconfirmed.items()):
            if blocked:
                move.confirm_by = now + CONFIRMED_WITHIN
            elif move.confirm_by < now:
                del self._unconfirmed[tag]
                self._refused(move, "RabbitMQ does not confirm what goes there")
        self._unusable = {of: each for of, each in self._unusable.items() if now < each.met_at + FORGOTTEN_AFTER}
        self._context.metrics.lanes_unusable.set(sum(each.problem is not None for each in self._unusable.values()))

    def forget(self) -> None:
        """The connection is gone: RabbitMQ delivers all of them again."""
        self._waiting.clear()
        self._unconfirmed.clear()

    def _try(self, move: _Move, now: int) -> None:
        is_ready, unusable = self._subscriptions.takes(move.of), self._unusable.get(move.of)
        if not is_ready:
            unusable = self._unusable.setdefault(move.of, _Unusable(now, now))
            if now < unusable.since + DECLARED_WITHIN:
                self._waiting.append(move)
            else:
                self._tell(move.of, unusable, "it is not declared, or the store does not list it")
                self._go_round(move, now, unusable)
            return
        if unusable is not None and not unusable.try_at:
            self._is_usable(move.of)
        elif unusable is not None and now < unusable.try_at:
            self._go_round(move, now, unusable)
            return
        elif unusable is not None:
            unusable.try_at = now + unusable.pause(now)
        move.published_at, move.confirm_by = now, now + CONFIRMED_WITHIN
        self._unconfirmed[move.delivery.message.tag] = move
        self._outbox.publish_moved(move.delivery, move.of.lane)

    def _refused(self, move: _Move, problem: str) -> _Unusable:
        now = self._context.clock.now()
        unusable = self._unusable.setdefault(move.of, _Unusable(now, now))
        unusable.try_at = now + unusable.pause(now)
        self._tell(move.of, unusable, problem)
        self._go_round(move, now, unusable)
        return unusable

    def _go_round(self, move: _Move, now: int, unusable: _Unusable) -> None:
        unusable.met_at = now
        back_at = max(now + SECOND, min(move.until, now + unusable.pause(now)))
        if move.delivery.moved_from is None:
            # A publisher put it into the held lane as the rest of a campaign: by any other it would be called.
            self._take_back(move.delivery, back_at)
        else:
            self._outbox.publish_delayed(move.delivery, back_at)

    def _tell(self, of: ShopLane, unusable: _Unusable, problem: str) -> None:
        if unusable.problem != problem:
            unusable.problem = problem
            log.error(
                "lane_unusable",
                shop=of.key,
                problem=f"jobs that are to wait in {shop_queue(*of)} go round by the delay queues: {problem}; declare "
                "it as docs/queues.md says, or move the messages of a queue that is not as it says, and delete it",
            )

    def _is_usable(self, of: ShopLane) -> None:
        unusable = self._unusable.pop(of, None)
        if unusable is not None and unusable.problem is not None:
            log.info("lane_usable", shop=of.key)
