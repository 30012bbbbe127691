"""What an operator has ordered, in the memory of a single process."""

import threading
from collections.abc import Callable

from worker.clock import Clock
from worker.errors import StoreError
from worker.model.controls import Controls
from worker.store.timing import CANCELLED_FOR


class MemoryControls:
    """The orders in force. Each change replaces them as a whole, so that a reader needs no lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changing = threading.Lock()
        self._controls = Controls()

    def watch(self, known: int, reply: Callable[[Controls | StoreError | None], None]) -> None:
        """As :class:`worker.store.protocol.ControlsReader` says; replies at once, on the caller's thread."""
        # Read once: another thread may replace it between the comparison and the reply.
        controls = self._controls
        reply(None if controls.version == known else controls)

    def controls(self) -> Controls:
        return self._controls

    def pause(self, shop: str, reason: str) -> Controls:
        return self._change(lambda controls, now: controls.with_pause(shop, reason, now))

    def resume(self, shop: str) -> Controls:
        return self._change(lambda controls, now: controls.without_pause(shop, now))

    def limit(self, shop: str, interval: int, reason: str, until: int) -> Controls:
        return self._change(lambda controls, now: controls.with_limit(shop, interval, reason, now, until))

    def unlimit(self, shop: str) -> Controls:
        return self._change(lambda controls, now: controls.without_limit(shop, now))

    def cancel(self, campaign: str, shop: str) -> Controls:
        return self._change(lambda controls, now: controls.with_cancelled(campaign, shop, now, now + CANCELLED_FOR))

    def restore(self, campaign: str, shop: str) -> Controls:
        return self._change(lambda controls, now: controls.without_cancelled(campaign, shop, now))

    def _change(self, change: Callable[[Controls, int], Controls]) -> Controls:
        # The time is read under the lock, so that versions, which are times, never go back.
        with self._changing:
            self._controls = change(self._controls, self._clock.now())
            return self._controls
