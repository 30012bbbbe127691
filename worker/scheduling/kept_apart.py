"""Jobs that may not ask for now, although their shop is open: others of it may.

Pure: no I/O, no thread, no clock. Runs on the consumer's thread.
"""

from collections.abc import Callable, Iterator
from typing import Generic

from worker.scheduling.gate_shop import T


class KeptApart(Generic[T]):
    """By shop, in the order in which they came, each with the time until which it waits at most."""

    def __init__(self) -> None:
        self._shops: dict[str, list[tuple[int, T]]] = {}
        self._next_at: int | None = None

    def add(self, ticket: T, until: int) -> None:
        """Keep the job until then at most."""
        self._shops.setdefault(ticket.shop, []).append((until, ticket))
        self._next_at = until if self._next_at is None else min(self._next_at, until)

    def due(self, now: int) -> list[T]:
        """Take out the jobs whose time has come."""
        if self._next_at is None or self._next_at > now:
            return []
        taken = [ticket for entries in self._shops.values() for until, ticket in entries if until <= now]
        kept = {shop: [entry for entry in entries if entry[0] > now] for shop, entries in self._shops.items()}
        self._shops = {shop: entries for shop, entries in kept.items() if entries}
        self._next_at = min((until for entries in self._shops.values() for until, _ in entries), default=None)
        return taken

    def first(self, shop: str, is_meant: Callable[[T], bool]) -> T | None:
        """Take out the shop's first job for which this is true."""
        entries = self._shops.get(shop, [])
        for place, (_, ticket) in enumerate(entries):
            if is_meant(ticket):
                del entries[place]
                return ticket
        return None

    def remove(self, shop: str, is_meant: Callable[[T], bool]) -> list[T]:
        """Take out the shop's jobs for which this is true."""
        entries = self._shops.pop(shop, [])
        taken = [ticket for _, ticket in entries if is_meant(ticket)]
        if kept := [entry for entry in entries if not is_meant(entry[1])]:
            self._shops[shop] = kept
        return taken

    def __iter__(self) -> Iterator[T]:
        return (ticket for entries in self._shops.values() for _, ticket in entries)
