"""What the commands share that stop and repair: the store that the workers share."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker import logs, settings
from worker.app import build_store
from worker.clock import SystemClock
from worker.errors import ConfigurationError
from worker.settings import Settings
from worker.store.base import Store


def load() -> Settings:
    """The settings, with logs as a command for a person writes them."""
    loaded = settings.load()
    logs.configure("WARNING" if loaded.log_level == "INFO" else loaded.log_level, "console")
    return loaded


@contextmanager
def shared_store(loaded: Settings, command: str) -> Iterator[Store]:
    """The store that the workers share.

    Raises:
      ConfigurationError: they share none.
    """
    if loaded.redis_url is None:
        raise ConfigurationError(
            f"{command} speaks to workers through the store that they share: set REFERRALS_REDIS_URL to theirs "
            "(a single worker without one keeps everything in its memory; stop it instead)"
        )
    store = build_store(loaded, SystemClock())
    try:
        yield store
    finally:
        store.close()
