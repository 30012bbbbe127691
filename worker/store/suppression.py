"""What a store is asked about suppressed addresses."""

from collections.abc import Callable, Sequence
from typing import Protocol

from worker.errors import StoreError


class SuppressionStore(Protocol):
    """The lists of addresses that nobody may be called for. The admission looks each job up in them.

    ``shop`` is ``*`` for the list of all shops. Addresses are hashed (:class:`worker.model.suppression.AddressKey`).
    Each method but :meth:`look_up` blocks. Every change has a number, which rises by one from change to change,
    whatever its list: by it everybody can tell that a store has lost one.

    Raises:
      worker.errors.StoreError: from every method: the store is out of reach.
      worker.errors.ConfigurationError: from every method: its lists are of another key; or it is a cluster, and the
        list is that of all shops.
    """

    def suppress(
        self, shop: str, addresses: Sequence[bytes], number: int, *, to_come: int = 0, whole: bool = True
    ) -> int:
        """Put addresses on the list, and return how many were not on it yet.

        ``to_come`` is how many the caller will add after these, so that there is room for them. Without ``whole`` the
        lists lack changes still, and no process that hears of it calls anybody until one with it has followed.
        """

    def unsuppress(self, shop: str, addresses: Sequence[bytes], number: int, *, whole: bool = True) -> int:
        """Take addresses off the list, and return how many were on it; ``whole`` as in :meth:`suppress`."""

    def mark_unfinished(self) -> None:
        """Have nobody who hears of the lists call anybody, until a change that is ``whole``."""

    def suppressed(self, shop: str, addresses: Sequence[bytes]) -> list[bool]:
        """Whether each address is on the list of the shop, that of all shops left aside."""

    def look_up(self, shop: str, addresses: Sequence[bytes], reply: Callable[[list[bool] | StoreError], None]) -> None:
        """As :meth:`suppressed`, without waiting. ``reply`` is called once, at once or later on the store's thread."""

    def entries(self, shop: str) -> list[bytes]:
        """All addresses on the list of the shop, in any order."""
