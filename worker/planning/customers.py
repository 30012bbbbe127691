"""How many jobs each customer has, counted in little memory: eight bytes a job. Pure."""

from array import array
from collections import Counter

_PARTS = 256
"""The jobs are counted in so many parts, one after the other, since counting needs ten times the memory of the keys."""

_SHOP_BITS = 16
_KEY_BITS = 64
_HASH_MASK = (1 << (_KEY_BITS - _SHOP_BITS)) - 1


class CustomerCounts:
    """Takes the customer of each job. A customer is a 48-bit hash within its shop.

    Of 1,000,000 customers of a shop, two share a hash in one campaign of 600. They would be counted as one.
    """

    def __init__(self) -> None:
        self._shops: dict[str, int] = {}
        self._parts = [array("Q") for _ in range(_PARTS)]

    def add(self, shop: str, customer: str) -> None:
        """A job of this customer."""
        number = self._shops.setdefault(shop, len(self._shops))
        key = hash(customer) & _HASH_MASK
        self._parts[key & (_PARTS - 1)].append(key << _SHOP_BITS | number)

    def above(self, least: dict[str, int]) -> dict[str, list[int]]:
        """By shop, how many jobs each customer has that has more than ``least`` of its shop; the largest first."""
        slugs = list(self._shops)
        found: dict[str, list[int]] = {}
        for part in self._parts:
            for key, jobs in Counter(part).items():
                slug = slugs[key & ((1 << _SHOP_BITS) - 1)]
                if jobs > least[slug]:
                    found.setdefault(slug, []).append(jobs)
        for counts in found.values():
            counts.sort(reverse=True)
        return found
