"""Suppressed addresses in the memory of a single process."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from worker.model.controls import EVERY_SHOP


class SuppressedAddresses:
    """The lists. Nothing here locks: the store holds its lock around each call."""

    def __init__(self) -> None:
        self._lists: defaultdict[str, set[bytes]] = defaultdict(set)

    def add(self, shop: str, addresses: Sequence[bytes]) -> tuple[int, int]:
        """Put addresses on the shop's list; how many are new, and how many it has now."""
        listed = self._lists[shop]
        before = len(listed)
        listed.update(addresses)
        return len(listed) - before, len(listed)

    def remove(self, shop: str, addresses: Sequence[bytes]) -> tuple[int, int]:
        """Take addresses off the shop's list; how many were on it, and how many it has now."""
        listed = self._lists[shop]
        before = len(listed)
        listed.difference_update(addresses)
        return before - len(listed), len(listed)

    def of(self, shop: str, addresses: Sequence[bytes]) -> list[bool]:
        """Whether each address is on the shop's own list."""
        listed = self._lists.get(shop, set())
        return [address in listed for address in addresses]

    def all_of(self, shop: str) -> list[bytes]:
        """Every address on the shop's own list."""
        return list(self._lists.get(shop, ()))

    def is_suppressed(self, shop: str, addresses: Iterable[bytes]) -> bool:
        """Whether one of a job's addresses is on its shop's list or on that of all shops."""
        lists = [found for of in (shop, EVERY_SHOP) if (found := self._lists.get(of))]
        return bool(lists) and any(address in listed for listed in lists for address in addresses)
