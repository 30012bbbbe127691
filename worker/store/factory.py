"""Builds the store that the settings ask for. A command that needs only that imports no wiring and no other library."""

from collections.abc import Callable

from worker.clock import Clock
from worker.instants import DAY
from worker.model.suppression import NO_KEY
from worker.settings import Settings
from worker.store.protocol import Store


def build_store(settings: Settings, clock: Clock, watch: Callable[[float, int], None] | None = None) -> Store:
    """The store that the settings ask for.

    ``watch`` is called after each round trip of a shared store, with its seconds and how many commands failed.
    """
    # Imported when used: a single process needs no client of a server, and the others no store in memory.
    retention = settings.retention_days * DAY
    if settings.redis_url is None:
        from worker.store.memory.store import MemoryStore

        return MemoryStore(clock, retention=retention)
    from worker.store.redis.store import RedisStore

    key = settings.address_key
    return RedisStore(
        settings.redis_url.get_secret_value(),
        clock,
        retention=retention,
        watch=watch,
        address_key=key.fingerprint if key is not None else NO_KEY,
    )
