"""One shop at the gate: the jobs that wait for it, why it is closed, and how it stands in the fair order.

Pure: no I/O, no thread, no clock. Runs on the consumer's thread.
"""

from collections import deque
from collections.abc import Callable, MutableSequence
from dataclasses import dataclass, field
from random import Random
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from worker.model.lanes import Lane

Reason = Literal[
    "rate",
    "throttled",
    "day_quota",
    "reserve",
    "halted",
    "breaker",
    "unlisted_code",
    "backing_off",
    "paused",
    "window",
    "suppression",
    "store_down",
    "broker_blocked",
]

HOLDS_ALL: Reason = "backing_off"
"""The reason of a shop that holds back uncalled jobs too: its results have nowhere to go."""

FREE_TO_URGENT: frozenset[Reason] = frozenset({"rate", "reserve"})
"""The reasons of a shop whose urgent jobs may ask all the same."""

MOST_ASKING = 64
"""Jobs of one shop that may ask at once, after as many were granted in a row. A shop that the store has just closed
begins with one: all others would get the same answer."""


class Ticket(Protocol):
    """A job at hand."""

    @property
    def shop(self) -> str: ...

    @property
    def lane(self) -> Lane: ...

    @property
    def customer(self) -> str: ...

    @property
    def uncalled(self) -> bool:
        """Whether the job ends without a call: no closed shop holds it back."""


T = TypeVar("T", bound=Ticket)


class ShopLoad(NamedTuple):
    """A shop that has jobs here or is closed: how many wait, are set aside and are in flight, and why it is closed."""

    shop: str
    ready: int
    set_aside: int
    in_flight: int
    closed: tuple[Reason, ...]


@dataclass(slots=True)
class GateShop(Generic[T]):
    """``ready`` are jobs of the bulk lane; ``urgent``, ``held`` and ``paced`` those of the others, which go first. All
    paced lanes' jobs are together.

    ``served`` is the shop's virtual service, ``start_tag`` where it stands in the fair order (None: it doesn't).

    ``ahead`` is how many of its jobs are granted and not started, ``window`` how many may ask at once, ``asking`` which
    do. ``asked``: a question about its jobs is under way. A second one would be turned away like the first, with a turn
    that nobody takes: 20 shops on 10 processes of 64 threads lost a third of their calls so. ``closed`` holds until
    when, by reason. Urgent jobs have a question of their own, ``urgent_asked``, and may not ask before ``urgent_until``
    (0: they may).
    """

    name: str
    weight: float = 1.0
    max_in_flight: int = 12
    ready: deque[T] = field(default_factory=deque)
    # Lists, since they are nearly always empty, and a process has them for each of thousands of shops: an empty deque
    # takes 624 bytes.
    uncalled_jobs: list[T] = field(default_factory=list)
    urgent: list[T] = field(default_factory=list)
    held: list[T] = field(default_factory=list)
    paced: list[T] = field(default_factory=list)
    in_flight: int = 0
    ahead: int = 0
    served: float = 0.0
    start_tag: float | None = None
    probing: bool = False
    rather_not: Callable[[T], bool] | None = None
    window: int = MOST_ASKING
    asked: bool = False
    urgent_asked: bool = False
    urgent_until: int = 0
    asking: set[int] = field(default_factory=set)
    closed: dict[Reason, int] = field(default_factory=dict)

    def closed_until(self, lane: Lane = "bulk") -> int:
        """When the last reason of the lane ends by itself; 0 where it is open."""
        free = FREE_TO_URGENT if lane == "urgent" else ()
        return max((until for reason, until in self.closed.items() if reason not in free), default=0)

    def askable(self) -> MutableSequence[T] | None:
        """The queue of which a job may ask now, if any may."""
        if self.uncalled_jobs and HOLDS_ALL not in self.closed:
            return self.uncalled_jobs
        if self.in_flight >= (1 if self.probing else self.max_in_flight):
            return None
        if self.urgent and not self.urgent_asked and not self.urgent_until and self.closed.keys() <= FREE_TO_URGENT:
            return self.urgent
        if self.asked or self.closed or len(self.asking) >= self.window:
            return None
        return self.held or self.paced or self.ready or None

    def take(self, queue: MutableSequence[T]) -> T:
        """Take the job that goes next out of the queue that :meth:`askable` gave."""
        if self.rather_not is not None and queue is self.ready:
            # From the end: similar jobs mostly come one after the other, and the earlier ones have been tried.
            for index in reversed(range(len(self.ready))):
                ticket = self.ready[index]
                if not self.rather_not(ticket):
                    del self.ready[index]
                    return ticket
        ticket = queue[0]
        del queue[0]
        return ticket

    def queue_of(self, ticket: T) -> MutableSequence[T]:
        """The queue that the job belongs in."""
        return self.uncalled_jobs if ticket.uncalled else self.queue_of_lane(ticket.lane)

    def queue_of_lane(self, lane: Lane) -> MutableSequence[T]:
        """The jobs of the lane that are to be called."""
        if lane == "bulk":
            return self.ready
        return self.urgent if lane == "urgent" else self.held if lane == "held" else self.paced

    def queues(self) -> tuple[MutableSequence[T], ...]:
        """The jobs that are to be called, of every lane."""
        return self.urgent, self.held, self.paced, self.ready

    def take_out(self, is_meant: Callable[[T], bool]) -> list[T]:
        """Take out the jobs for which this is true, of every lane and of those that end without a call."""
        taken: list[T] = []
        for queue in (self.uncalled_jobs, *self.queues()):
            jobs = list(queue)
            queue.clear()
            for ticket in jobs:
                (taken if is_meant(ticket) else queue).append(ticket)
        return taken

    def waiting(self) -> int:
        """How many jobs wait here, of all lanes."""
        return len(self.uncalled_jobs) + sum(map(len, self.queues()))


class GateShops(dict[str, GateShop[T]]):
    """The shops by name; one that is not known yet is open and without jobs.

    ``shuffle`` gives each its place in the rounds; None: they go as their jobs came.
    """

    def __init__(self, shuffle: Random | None = None) -> None:
        super().__init__()
        self._shuffle = shuffle

    def __missing__(self, name: str) -> GateShop[T]:
        # A part of one call, which every later round keeps.
        place = self._shuffle.random() if self._shuffle is not None else 0.0
        shop = self[name] = GateShop(name, served=place)
        return shop
