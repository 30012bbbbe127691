"""Which store the settings ask for. Commands that need no more than that are spared the wiring and its libraries."""

from collections.abc import Callable

from worker.clock import Clock
from worker.instants import DAY
from worker.settings import Settings
from worker.store.protocol import Store


def build_store(settings: Settings, clock: Clock, watch: Callable[[float, int], None] | None = None) -> Store:
    """The store that the settings ask for; ``watch`` hears of a shared one's round trips: seconds, failed commands."""
    # Imported when used: a single process needs no client of a server, and the others no store of their own.
    retention = settings.retention_days * DAY
    if settings.redis_url is None:
        from worker.store.memory.store import MemoryStore

        return MemoryStore(clock, retention=retention)
    from worker.store.redis.store import RedisStore

    return RedisStore(settings.redis_url.get_secret_value(), clock, retention=retention, watch=watch)
