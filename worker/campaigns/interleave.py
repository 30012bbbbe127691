"""The order in which a campaign's jobs are sent: those of one customer far apart, those of the shops by turns. Pure.

A customer may be called twice a second, a shop a hundred times. An export that is sorted by customer would make jobs
wait for each other.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, islice, pairwise
from typing import TypeVar

T = TypeVar("T")
ShopCustomer = tuple[str, str]
"""Shop and customer."""

WINDOW = 50_000
"""Jobs that are reordered together, and held in memory for that."""


def interleave(jobs: Iterable[tuple[ShopCustomer, T]], window: int = WINDOW) -> Iterator[T]:
    """The jobs, reordered within each ``window`` of them. The same input always gives the same order.

    Each comes with its shop and customer. The jobs of a customer are spread evenly over the window, and so are those of
    a shop. Two jobs of one customer are neighbours only if that can't be avoided. If each customer has one job, a
    shop's jobs keep their order. Holds one window in memory, and some 150 bytes a job while it is arranged; O(n log n)
    in its size.
    """
    source = iter(jobs)
    while batch := _arranged(islice(source, window)):
        while batch:
            yield batch.pop()  # frees each job as it is taken: a slow consumer must not hold the whole window


def _arranged(jobs: Iterable[tuple[ShopCustomer, T]]) -> list[T]:
    """A window in its order, the first job last."""
    batch: list[T] = []
    # By numbers: the names of 50,000 customers would take as much memory as their jobs. Of so many, two share a hash in
    # one of ten thousand million windows; they would be spread as one.
    keys, shops, numbers = array("q"), array("I"), dict[str, int]()
    for who, job in jobs:
        keys.append(hash(who))
        shops.append(numbers.setdefault(who[0], len(numbers)))
        batch.append(job)
    order = _order(keys, shops)
    order.reverse()
    return [batch[index] for index in order]


def _order(keys: Sequence[int], shops: Sequence[int]) -> list[int]:
    """In which order the jobs go, of which ``keys`` has the customers and ``shops`` the shops."""
    total = len(keys)
    # Of each job, the first job of its customer and how many of its customer's come before it; of each customer's
    # first, how many the customer has, and its rank among those of its shop that have equally many.
    first, turns, counts, ranks = (array("I", bytes(4 * total)) for _ in range(4))
    customer = 0
    # Sorted, those of a customer stand together in their order. A dictionary of them takes 3 MiB more.
    for index in sorted(range(total), key=keys.__getitem__):
        if keys[index] != keys[customer] or not counts[customer]:
            customer = index
        first[index], turns[index] = customer, counts[customer]
        counts[customer] += 1
    alike = Counter[tuple[int, int]]()
    for index, customer in enumerate(first):
        if index == customer:
            ranks[index] = alike[shops[index], counts[index]]
            alike[shops[index], counts[index]] += 1
    # Each job gets a position from 0 to 1; sorting by position gives the order. The customers of a shop that have
    # equally many jobs take turns, in the order of the export. Their jobs, and those of each customer, lie evenly from
    # 0 to 1. Merging several such groups keeps that.
    position = array("d")
    for index, customer in enumerate(first):
        count = counts[customer]
        customers = alike[shops[index], count]
        position.append((turns[index] * customers + ranks[customer] + 0.5) * (1 / (count * customers)))
    by_shop: dict[int, array[int]] = {}
    for index in sorted(range(total), key=position.__getitem__):
        by_shop.setdefault(shops[index], array("I")).append(index)
    for of_shop in by_shop.values():
        for turn, index in enumerate(of_shop):
            position[index] = (turn + 0.5) / len(of_shop)
    order = sorted(chain.from_iterable(by_shop.values()), key=position.__getitem__)
    if any(first[one] == first[next_one] for one, next_one in pairwise(order)):
        return _apart(order, first)
    return order


def _apart(order: list[int], whose: Sequence[int]) -> list[int]:
    """The order with the fewest changes that part neighbours of one customer; unchanged if one has over half of it."""
    left = Counter(whose)
    if max(left.values()) > (len(order) + 1) // 2:
        return order
    turns: dict[int, list[int]] = {}
    for rank in range(len(order) - 1, -1, -1):
        turns.setdefault(whose[order[rank]], []).append(rank)  # the next one last
    upcoming = [(ranks[-1], customer) for customer, ranks in turns.items()]
    # Ranks are unique, so the heaps never compare customers. Among equally frequent customers the next rank decides.
    frequent = [(-len(ranks), ranks[-1], customer) for customer, ranks in turns.items()]
    heapify(upcoming)
    heapify(frequent)
    result: list[int] = []
    last: int | None = None
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


def _next_other(upcoming: list[tuple[int, int]], turns: dict[int, list[int]], last: int | None) -> int:
    """The customer whose turn comes first, except the last one. Drops entries whose turn was already taken."""
    kept: tuple[int, int] | None = None
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
