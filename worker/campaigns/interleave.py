"""The order in which a campaign's jobs are sent: one customer's far apart, the shops by turns.

A customer may be called twice a second, a shop a hundred times; jobs in the order of an export sorted by customer
would wait for each other.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, islice, pairwise
from typing import TypeVar

T = TypeVar("T")
ShopCustomer = tuple[str, str]
"""Shop and customer."""

WINDOW = 50_000


def interleave(jobs: Iterable[T], window: int = WINDOW, *, who: Callable[[T], ShopCustomer]) -> Iterator[T]:
    """The jobs, reordered within each ``window`` of them; the same input gives the same order.

    A customer's jobs lie evenly over the window, a shop's too, and no customer's follow each other where that can
    be avoided. Where each customer has one job, a shop's jobs keep their order. Holds one window; O(n log n) in its
    size.
    """
    source = iter(jobs)
    while batch := list(islice(source, window)):
        order = _arranged([who(job) for job in batch])
        batch = [batch[index] for index in reversed(order)]
        while batch:
            yield batch.pop()  # a slow consumer should not keep what it has had


def _arranged(whose: Sequence[ShopCustomer]) -> list[int]:
    total = len(whose)
    by_customer: dict[ShopCustomer, list[int]] = {}
    for index, customer in enumerate(whose):
        by_customer.setdefault(customer, []).append(index)
    alike: dict[tuple[str, int], list[list[int]]] = {}
    for (shop, _), indexes in by_customer.items():
        alike.setdefault((shop, len(indexes)), []).append(indexes)
    place = [0.0] * total
    for (_, jobs_each), customers in alike.items():
        # A shop's customers with as many jobs each take turns, in the order of the export: their jobs lie evenly
        # from 0 to 1, each customer's too, and so does whatever is merged from such rows.
        gap = 1 / (jobs_each * len(customers))
        for rank, indexes in enumerate(customers):
            for turn, index in enumerate(indexes):
                place[index] = (turn * len(customers) + rank + 0.5) * gap
    by_shop: dict[str, list[int]] = {}
    for index in sorted(range(total), key=place.__getitem__):
        by_shop.setdefault(whose[index][0], []).append(index)
    for indexes in by_shop.values():
        for turn, index in enumerate(indexes):
            place[index] = (turn + 0.5) / len(indexes)
    order = sorted(chain.from_iterable(by_shop.values()), key=place.__getitem__)
    if any(whose[one] == whose[next_one] for one, next_one in pairwise(order)):
        return _apart(order, whose)
    return order


def _apart(order: list[int], whose: Sequence[ShopCustomer]) -> list[int]:
    """The order with as few changes as it takes to part equal neighbours; as it is where one owns over half of it."""
    left = Counter(whose)
    if max(left.values()) > (len(order) + 1) // 2:
        return order
    turns: dict[ShopCustomer, list[int]] = {}
    for rank in range(len(order) - 1, -1, -1):
        turns.setdefault(whose[order[rank]], []).append(rank)  # the next one last
    upcoming = [(ranks[-1], customer) for customer, ranks in turns.items()]
    # Ranks are unique, so customers are never compared; ties among the most frequent are settled by their next rank.
    frequent = [(-len(ranks), ranks[-1], customer) for customer, ranks in turns.items()]
    heapify(upcoming)
    heapify(frequent)
    result: list[int] = []
    last: ShopCustomer | None = None
    for remaining in range(len(order), 0, -1):
        while -frequent[0][0] != left[frequent[0][2]]:
            _, rank, customer = heappop(frequent)
            if left[customer]:
                heappush(frequent, (-left[customer], rank, customer))
        # Who owns more than half of what is left goes now, or two of its jobs meet at the end.
        most = frequent[0][2]
        customer = most if 2 * left[most] > remaining else _next_other(upcoming, turns, last)
        result.append(order[turns[customer].pop()])
        left[customer] -= 1
        if turns[customer]:
            heappush(upcoming, (turns[customer][-1], customer))
        last = customer
    return result


def _next_other(
    upcoming: list[tuple[int, ShopCustomer]], turns: dict[ShopCustomer, list[int]], last: ShopCustomer | None
) -> ShopCustomer:
    """The customer other than the last one whose turn comes first; drops turns that were taken out of line."""
    kept: tuple[int, ShopCustomer] | None = None
    while True:
        rank, customer = heappop(upcoming)
        if not turns[customer] or turns[customer][-1] != rank:
            continue
        if customer != last:
            break
        kept = (rank, customer)
    if kept is not None:
        heappush(upcoming, kept)
    return customer
