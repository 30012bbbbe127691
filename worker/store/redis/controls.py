"""What an operator has ordered, on the server: one string for all shops, which each worker reads once a second."""

from collections.abc import Callable
from typing import Any

from worker.clock import Clock
from worker.errors import StoreError
from worker.model.controls import Controls
from worker.store.redis.client import Server
from worker.store.redis.keys import CONTROLS_KEY, WATCH_KEYS
from worker.store.redis.replies import read_controls
from worker.store.timing import CANCELLED_FOR


class RedisControls:
    """The orders in force. ``keep`` is the ledger's retention: no cancellation is forgotten before the jobs are."""

    def __init__(self, server: Server, clock: Clock, keep: int) -> None:
        self._server = server
        self._clock = clock
        self._keep = keep

    def watch(self, known: int, reply: Callable[[Controls | StoreError | None], None]) -> None:
        """As :class:`worker.store.protocol.ControlsReader` says; ``reply`` runs on the store's thread."""

        def done(answer: Any) -> None:
            match answer:
                case StoreError():
                    reply(answer)
                case [_, version] if version == known:
                    reply(None)
                case _:
                    news: Controls | StoreError
                    try:
                        news = read_controls(answer, self._clock.now())
                    except StoreError as error:
                        # A worker starts no call until it has had a reply, so an unreadable one is a reply too.
                        news = error
                    reply(news)

        self._server.send("watch", WATCH_KEYS, [known], done)

    def controls(self) -> Controls:
        return read_controls(self._server.call("watch", WATCH_KEYS, [-1]), self._clock.now())

    def pause(self, shop: str, reason: str) -> Controls:
        return self._order("pause", shop, reason)

    def resume(self, shop: str) -> Controls:
        return self._order("resume", shop)

    def limit(self, shop: str, interval: int, reason: str, until: int) -> Controls:
        return self._order("limit", shop, interval, reason, max(0, until - self._clock.now()))

    def unlimit(self, shop: str) -> Controls:
        return self._order("unlimit", shop)

    def cancel(self, campaign: str, shop: str) -> Controls:
        return self._order("cancel", campaign, shop, max(CANCELLED_FOR, self._keep))

    def restore(self, campaign: str, shop: str) -> Controls:
        return self._order("restore", campaign, shop)

    def _order(self, *arguments: str | int) -> Controls:
        return read_controls(self._server.call("control", [CONTROLS_KEY], arguments), self._clock.now())
