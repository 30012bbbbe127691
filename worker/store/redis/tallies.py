"""Counters of the shops' campaigns, on the server: which results their jobs had, and what publishers counted."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from worker.errors import StoreError
from worker.store.redis.client import Server
from worker.store.redis.keys import campaigns_key, prefix
from worker.store.redis.replies import read_page

_PAGE = 100
"""Campaigns of a shop that are asked for at once."""

log = structlog.get_logger(__name__)


class RedisTallies:
    """``keep`` is how long the counters of a shop are kept after one was counted last, in microseconds."""

    def __init__(self, server: Server, keep: int) -> None:
        self._server = server
        self._tallies_kept = keep

    def tally(
        self,
        shop: str,
        campaign: str,
        counts: Mapping[str, int],
        *,
        done: Callable[[StoreError | None], None] | None = None,
    ) -> None:
        """As :class:`worker.store.protocol.CountersStore` says; ``done`` runs on the store's thread."""
        arguments: list[Any] = [prefix(shop), self._tallies_kept, campaign.encode()]
        for counter, number in counts.items():
            arguments += [counter, number]

        def replied(answer: Any) -> None:
            problem = answer if isinstance(answer, StoreError) else None
            if done is not None:
                done(problem)
            elif problem is not None:
                log.warning("tally_failed", shop=shop, problem=str(problem))

        self._server.send("tally", [campaigns_key(shop)], arguments, replied)

    def tallies(self, shop: str) -> dict[str, dict[str, int]]:
        """As :class:`worker.store.protocol.CountersStore` says, in pages: a running script holds up every worker."""
        found: dict[str, dict[str, int]] = {}
        cursor = b"0"
        while True:
            arguments = [prefix(shop), cursor, _PAGE]
            cursor, page = read_page(self._server.call("tallied", [campaigns_key(shop)], arguments))
            found |= page
            if cursor == b"0":
                return found
