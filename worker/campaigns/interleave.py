"""The order in which a campaign's jobs are sent: those of one customer far apart, those of the shops by turns. Pure.

A customer may be called twice a second, a shop a hundred times. An export that is sorted by customer would make jobs
wait for each other.
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
"""Jobs that are reordered together, and held in memory for that."""


def interleave(jobs: Iterable[T], window: int = WINDOW, *, who: Callable[[T], ShopCustomer]) -> Iterator[T]:
    """The jobs, reordered within each ``window`` of them. The same input always gives the same order.

    The jobs of a customer are spread evenly over the window, and so are those of a shop. Two jobs of one customer are
    neighbours only if that can't be avoided. If each customer has one job, a shop's jobs keep their order. Holds one
    window in memory; O(n log n) in its size. ``who`` gives a job's shop and customer.
    """
    source = iter(jobs)
    while batch := list(islice(source, window)):
        order = _arranged([who(job) for job in batch])
        batch = [batch[index] for index in reversed(order)]
        while batch:
            yield batch.pop()  # frees each job as it is taken: a slow consumer must not hold the whole window


def _arranged(whose: Sequence[ShopCustomer]) -> list[int]:
    total = len(whose)
    by_customer: dict[ShopCustomer, list[int]] = {}
    for index, customer in enumerate(whose):
        by_customer.setdefault(customer, []).append(index)
    alike: dict[tuple[str, int], list[list[int]]] = {}
    for (shop, _), indexes in by_customer.items():
        alike.setdefault((shop, len(indexes)), []).append(indexes)
    # Each job gets a position from 0 to 1; sorting by position gives the order.
    position = [0.0] * total
    for (_, jobs_each), customers in alike.items():
        # The customers of a shop that have equally many jobs take turns, in the order of the export. Their jobs, and
        # those of each customer, lie evenly from 0 to 1. Merging several such groups keeps that.
        gap = 1 / (jobs_each * len(customers))
        for rank, indexes in enumerate(customers):
            for turn, index in enumerate(indexes):
                position[index] = (turn * len(customers) + rank + 0.5) * gap
    by_shop: dict[str, list[int]] = {}
    for index in sorted(range(total), key=position.__getitem__):
        by_shop.setdefault(whose[index][0], []).append(index)
    for indexes in by_shop.values():
        for turn, index in enumerate(indexes):
            position[index] = (turn + 0.5) / len(indexes)
    order = sorted(chain.from_iterable(by_shop.values()), key=position.__getitem__)
    if any(whose[one] == whose[next_one] for one, next_one in pairwise(order)):
        return _apart(order, whose)
    return order


def _apart(order: list[int], whose: Sequence[ShopCustomer]) -> list[int]:
    """The order with the fewest changes that part neighbours of one customer; unchanged if one has over half of it."""
    left = Counter(whose)
    if max(left.values()) > (len(order) + 1) // 2:
        return order
    turns: dict[ShopCustomer, list[int]] = {}
    for rank in range(len(order) - 1, -1, -1):
        turns.setdefault(whose[order[rank]], []).append(rank)  # the next one last
    upcoming = [(ranks[-1], customer) for customer, ranks in turns.items()]
    # Ranks are unique, so the heaps never compare customers. Among equally frequent customers the next rank decides.
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
        # A customer with more than half of what is left must go now, or two of its jobs would meet at the end.
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
    """The customer whose turn comes first, except the last one. Drops entries whose turn was already taken."""
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
