"""What the commands share that stop and repair: the store that the workers share."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.app import build_store
from worker.clock import SystemClock
from worker.errors import ConfigurationError
from worker.settings import Settings
from worker.store.base import Store


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
