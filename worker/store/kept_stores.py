"""Keeps the shared store between the calls of :func:`worker.publish`, whose threads share it.

Opening it takes longer than counting does, and a web application publishes one job at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from worker.clock import Clock, SystemClock
from worker.instants import SECOND
from worker.process.kept import KeptByProcess
from worker.settings import Settings
from worker.store.factory import build_store
from worker.store.protocol import Store

LONGEST_UNUSED = 60 * SECOND
"""A connection may be cut off without a word while nobody uses it: by a firewall after minutes, as a rule. What is sent
over it then has no answer, and is lost."""


@dataclass(eq=False)
class _Kept:
    store: Store
    used_at: int
    users: int = 0


class KeptStores:
    """The stores of this process. May be used by any thread, and in a child after a fork.

    A store meets the server that is behind its URL now: it connects anew after an error, and this class opens another
    one in place of one that was not used for :data:`LONGEST_UNUSED`. Between calls nothing connects.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: KeptByProcess[_Kept] = KeptByProcess(_end)

    @contextmanager
    def lend(self, settings: Settings) -> Iterator[Store]:
        """The store that the settings ask for, shared by all calls that ask for the same. Doesn't wait for it.

        Raises:
          ConfigurationError: no address can be read from the URL.
        """
        key = (settings.redis_url, settings.retention_days)
        unused: _Kept | None = None
        own = self._kept.own
        with own.lock:
            kept = own.entries.get(key)
            if kept is not None and not kept.users and self._clock.now() - kept.used_at > LONGEST_UNUSED:
                kept, unused = None, kept
            if kept is None:
                kept = own.entries[key] = _Kept(build_store(settings, self._clock), self._clock.now())
            kept.users += 1
        if unused is not None:
            unused.store.close()
        try:
            yield kept.store
        finally:
            with own.lock:
                kept.users -= 1
                kept.used_at = self._clock.now()

    def close(self) -> None:
        """Send what is waiting and disconnect from all; blocks for a few of the store's time-outs at most."""
        self._kept.close()


def _end(kept: _Kept) -> None:
    kept.store.close()


@cache
def kept_stores() -> KeptStores:
    """Those of this process."""
    return KeptStores(SystemClock())
