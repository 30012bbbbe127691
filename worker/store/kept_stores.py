"""Keeps the shared store between the calls of :func:`worker.publish`, whose threads share it.

Opening it takes longer than counting does, and a web application publishes one job at a time.
"""

import atexit
import os
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from worker.clock import Clock, SystemClock
from worker.instants import SECOND
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
        self._lock = threading.Lock()
        self._kept: dict[Hashable, _Kept] = {}
        self._inherited: list[dict[Hashable, _Kept]] = []
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forked)

    @contextmanager
    def lend(self, settings: Settings) -> Iterator[Store]:
        """The store that the settings ask for, shared by all calls that ask for the same. Doesn't wait for it.

        Raises:
          ConfigurationError: no address can be read from the URL.
        """
        key = (settings.redis_url, settings.retention_days)
        unused: _Kept | None = None
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and not kept.users and self._clock.now() - kept.used_at > LONGEST_UNUSED:
                kept, unused = None, kept
            if kept is None:
                kept = self._kept[key] = _Kept(build_store(settings, self._clock), self._clock.now())
            kept.users += 1
        if unused is not None:
            unused.store.close()
        try:
            yield kept.store
        finally:
            with self._lock:
                kept.users -= 1
                kept.used_at = self._clock.now()

    def close(self) -> None:
        """Send what is waiting and disconnect from all; blocks for a few of the store's time-outs at most."""
        with self._lock:
            kept, self._kept = self._kept, {}
        for each in kept.values():
            each.store.close()

    def _forked(self) -> None:
        # The connections are the parent's. They are neither used nor closed here: a child's close would end them there.
        self._lock = threading.Lock()
        self._inherited.append(self._kept)
        self._kept = {}


@cache
def kept_stores() -> KeptStores:
    """Those of this process."""
    return KeptStores(SystemClock())
