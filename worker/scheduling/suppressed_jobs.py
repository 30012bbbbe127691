"""Finds those of the jobs in hand whose addresses were suppressed since they came: they end at once.

The admission looks each job up that asks for a call. Jobs that wait here, such as the first of a lane that rests, may
not ask for weeks, and nobody else gets their messages meanwhile. So all in hand are looked up when a list has changed,
and what comes into a lane of jobs that wait, once a second.

Runs on the consumer's thread. The store's answers come on the store's thread and wait in a deque until they are taken.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Generic

from worker.errors import StoreError
from worker.model.controls import EVERY_SHOP
from worker.model.lanes import ASIDE
from worker.model.suppression import Suppression
from worker.scheduling.delivery import D
from worker.scheduling.gate import Gate
from worker.store.suppression import SuppressionStore

AT_ONCE = 250
"""Jobs that are looked up in one command: with two addresses each they take the server a millisecond."""


class SuppressedJobs(Generic[D]):
    """``wake`` is called from the store's thread when there is an answer to take."""

    def __init__(self, store: SuppressionStore, gate: Gate[D], wake: Callable[[], None]) -> None:
        self._store = store
        self._gate = gate
        self._wake = wake
        self._number = 0
        self._answers: deque[tuple[list[D], list[bool] | StoreError]] = deque()

    @property
    def has_news(self) -> bool:
        """Whether :meth:`take` has something."""
        return bool(self._answers)

    def follow(self, known: Suppression) -> None:
        """Once a second, and when the lists have changed: ask for those jobs that were not looked up in them."""
        changed, self._number = known.number != self._number, known.number
        asked: defaultdict[str, list[D]] = defaultdict(list)
        for delivery in self._gate.held() if known.addresses else ():
            if delivery.looked_up == known.number or delivery.uncalled or not (changed or delivery.lane in ASIDE):
                continue
            delivery.looked_up = known.number
            for of in (delivery.shop, EVERY_SHOP) if delivery.request.addresses else ():
                if of in known.lists:
                    asked[of].append(delivery)
        for of, deliveries in asked.items():
            for first in range(0, len(deliveries), AT_ONCE):
                part = deliveries[first : first + AT_ONCE]
                addresses = [address for delivery in part for address in delivery.request.addresses]
                self._store.look_up(of, addresses, partial(self._hear, part))

    def take(self) -> None:
        """End the jobs that were found, of those that still wait here."""
        suppressed: set[int] = set()
        while self._answers:
            deliveries, found = self._answers.popleft()
            if isinstance(found, StoreError):
                # Within a second again, as if the lists had changed: these alone were not looked up in them.
                self._number = 0
                for delivery in deliveries:
                    delivery.looked_up = 0
                continue
            listed = iter(found)
            for delivery in deliveries:
                if sum(next(listed, False) for _ in delivery.request.addresses):
                    suppressed.add(id(delivery))
        if not suppressed:
            return
        shops: set[str] = set()
        for delivery in self._gate.held():
            # One that has left the gate meanwhile was looked up by the admission.
            if id(delivery) in suppressed and not delivery.uncalled:
                delivery.suppressed = True
                delivery.request = replace(delivery.request, uncalled="cancelled")
                shops.add(delivery.shop)
        for shop in shops:
            self._gate.regroup(shop)

    def _hear(self, deliveries: list[D], found: list[bool] | StoreError) -> None:
        # On the store's thread, or in the midst of `follow` where the store answers at once.
        self._answers.append((deliveries, found))
        self._wake()
