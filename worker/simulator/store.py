"""The memory store of a simulated fleet: a round trip away in virtual time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from worker.clock import ManualClock
from worker.errors import StoreError
from worker.model.controls import Controls
from worker.model.orders import Origin
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest, Reply


class Asking(Protocol):
    """Who asks the store: the fleet, on whose clock round trips take their time."""

    store_round_trip: int

    def after_a_round_trip(self, answer: Callable[[], None]) -> None:
        """Answer what the process that is being stepped has asked, one round trip from now."""

    def ordered(self) -> None:
        """An order was given, by an operator or by a brake."""


class SimulatedStore(MemoryStore):
    """Counts what it is asked. ``slowed`` has the shops that an operator has limited: how far apart their calls are at
    least, and until when.
    """

    def __init__(
        self, asking: Asking, clock: ManualClock, *, horizon: int, slowed: Mapping[str, tuple[int, int]]
    ) -> None:
        super().__init__(clock, retention=0, horizon=horizon)
        self._asking = asking
        self._now = clock.now
        self._slowed = slowed
        self.requests = self.round_trips = 0

    def submit(
        self,
        requests: Sequence[AdmitRequest],
        reply: Callable[[list[Reply] | StoreError], None],
        *,
        turn: bool,
        holds: int,
    ) -> None:
        self.requests += len(requests)
        self.round_trips += 1
        interval, until = self._slowed.get(requests[0].shop, (0, 0))
        if self._now() < until:
            # In here and not by an operator's order, which the loop would log.
            limits = requests[0].limits.lowered(interval)
            requests = [replace(request, limits=limits) for request in requests]
        if self._asking.store_round_trip:
            self._asking.after_a_round_trip(partial(super().submit, requests, reply, turn=turn, holds=holds))
        else:
            super().submit(requests, reply, turn=turn, holds=holds)

    def _note(
        self, changed: Controls, origin: Origin, action: str, now: int, shop: str, campaign: str, detail: str
    ) -> None:
        super()._note(changed, origin, action, now, shop, campaign, detail)
        self._asking.ordered()
