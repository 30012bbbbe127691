"""``--urgent``: has the shops' queues for urgent jobs made before the first of them is published."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from worker.cli import console
from worker.clock import SystemClock
from worker.errors import ConfigurationError
from worker.model.lanes import ShopLane
from worker.rabbitmq.connection import parameters
from worker.rabbitmq.lane_making import make_lanes
from worker.settings import Settings
from worker.shops.config import ListedShop
from worker.store.factory import build_store
from worker.store.protocol import Store


@contextmanager
def urgent_queues(
    loaded: Settings, shops: Mapping[str, ListedShop], *, urgent: bool
) -> Iterator[Callable[[ShopLane], None] | None]:
    """What makes such a queue, for a shop's first ``urgent`` job; the store stays open meanwhile.

    It raises :class:`ConfigurationError` where no worker would hear of the queue.
    """
    if not urgent:
        yield None
        return
    params = parameters(loaded.amqp_url.get_secret_value(), name="referral-dispatch publish")
    store: Store | None = build_store(loaded, SystemClock()) if loaded.redis_url is not None else None

    def make(of: ShopLane) -> None:
        if store is None and not shops[of.shop].urgent:
            raise ConfigurationError(
                f"shop {of.shop} has no queue for urgent jobs: set `urgent = true` for it in the shops file, or "
                "REFERRALS_REDIS_URL, by which workers hear of a new queue"
            )
        for difference in make_lanes(params, [of], store):
            console.note(difference)

    try:
        yield make
    finally:
        if store is not None:
            store.close()
