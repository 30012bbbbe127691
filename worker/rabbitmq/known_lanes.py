"""Which lanes the shops have beside their own queues, as workers and publishers tell each other through the store.

Whoever declares a lane's queue has the store list it, and every worker reads the list with the operators' orders, once
a second. A store that has lost its data lists none: each worker tells it those that it consumes, and one of them asks
RabbitMQ for all that there may be.
"""

from collections.abc import Callable, Collection, Iterable

import structlog

from worker.instants import SECOND
from worker.model.controls import Controls
from worker.model.lanes import EXTRA_LANES, ShopLane
from worker.rabbitmq.queue_declarer import OnFound
from worker.scheduling.context import Context

TELL_AGAIN = 5 * SECOND
"""After how long the store is told again of what it still doesn't list."""

SEARCH_WITHIN = 10 * SECOND
"""Processes begin to search at instants of their own, spread over so long: RabbitMQ logs an error for each queue that
doesn't exist, and it is enough if one process has searched."""

SEARCH_AGAIN = 60 * SECOND
"""When to search again if the store didn't hear what was found."""

Find = Callable[[Iterable[ShopLane], OnFound], None]

log = structlog.get_logger(__name__)


class KnownLanes:
    """Lanes to declare and consume. Used on the consumer's thread; what was searched for comes on the declarer's.

    ``controls`` gives what the store has answered last, None before its first answer. ``find`` is
    :meth:`worker.rabbitmq.queue_declarer.QueueDeclarer.find`.
    """

    def __init__(self, context: Context, controls: Callable[[], Controls | None], find: Find) -> None:
        self._context = context
        self._controls = controls
        self._find = find
        self._told_at = 0
        self._search_at: int | None = None
        self._searching = False
        self._version = 0
        self.lanes: frozenset[ShopLane] = frozenset()
        """All that are known; another object as soon as there are more."""

    def add(self, lanes: Collection[ShopLane]) -> None:
        """These are needed, whether they exist or not."""
        if not self.lanes.issuperset(lanes):
            self.lanes |= frozenset(lanes)

    def take_shops(self) -> None:
        """Take over which shops have a queue for urgent jobs by the shops file."""
        shops = self._context.shops
        if self._version != shops.version:
            self._version = shops.version
            every = (shops.get(slug) for slug in shops.slugs())
            self.add([ShopLane(shop.slug, "urgent") for shop in every if shop is not None and shop.urgent])

    def is_listed(self, of: ShopLane) -> bool:
        """Whether every worker hears of the lane, so that jobs may go there."""
        controls = self._controls()
        return controls is not None and of in controls.lanes

    def follow(self, now: int, declared: Collection[ShopLane], *, at_rest: bool) -> None:
        """Once a second: take over what the store lists, and tell it of what it doesn't.

        ``declared`` are the queues that exist; ``at_rest``: nothing is left to be declared, so there is time to search.
        """
        self.take_shops()
        controls = self._controls()
        if controls is None:
            return
        self.add(controls.lanes)
        untold = [of for of in self.lanes if of in declared and of not in controls.lanes]
        if untold and now >= self._told_at + TELL_AGAIN:
            self._told_at = now
            self._context.store.add_lanes(untold)
        if controls.all_lanes:
            self._search_at = None
        elif self._search_at is None:
            spread = self._context.shuffle.random() if self._context.shuffle is not None else 0.0
            self._search_at = now + int(spread * SEARCH_WITHIN)
        elif at_rest and now >= self._search_at and not self._searching:
            self._searching, self._search_at = True, now + SEARCH_AGAIN
            shops = self._context.shops.slugs()
            self._find([ShopLane(shop, lane) for shop in shops for lane in EXTRA_LANES], self._on_found)

    def _on_found(self, found: list[ShopLane]) -> None:
        # On the declarer's thread. They come back by the store, as those do that others have declared.
        log.info("lanes_found", lanes=len(found))
        self._context.store.add_lanes(found, are_all=True)
        self._searching = False
