"""Which job of those at hand may ask for a call next: fair between shops, closed where calling is pointless.

Pure: no I/O, no thread, the time is an argument (microseconds). Limits are the store's to judge; the gate remembers
what the store said, so that a closed shop costs no round trip.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from worker.instants import SECOND

Reason = Literal[
    "rate",
    "throttled",
    "day_quota",
    "halted",
    "breaker",
    "unlisted_code",
    "backing_off",
    "paused",
    "store_down",
    "broker_blocked",
]

HOLDS_ALL: Reason = "backing_off"
"""The reason of a shop that holds back also what needs no call: its results have nowhere to go."""

FOREVER = 1 << 62
"""Until somebody opens it again."""

EXTRA_GRANTS = 2
"""Jobs granted beyond the free threads, so that none idles while the next grant is on its way: worth 8 % of the
capacity on short calls, and a grant still starts within milliseconds."""

MAX_ASIDE_PER_CUSTOMER = 4
"""Jobs of one customer that wait in memory; more would fill the prefetch with a single customer's wall."""

MOST_ASKING = 64
"""Jobs of one shop that may ask at once, after as many were granted in a row. A shop that was just told to wait begins
with one: whatever else it asked would be told the same."""

LONGEST_ASIDE = 30 * SECOND
"""A job that waits longer is better off in a delay queue, where it costs no process anything."""


class Ticket(Protocol):
    """A job at hand."""

    @property
    def shop(self) -> str: ...

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
class _Shop(Generic[T]):
    name: str
    weight: float = 1.0
    max_in_flight: int = 12
    ready: deque[T] = field(default_factory=deque)
    uncalled_jobs: deque[T] = field(default_factory=deque)
    in_flight: int = 0
    served: float = 0.0
    turn: float | None = None
    probing: bool = False
    rather_not: Callable[[T], bool] | None = None
    window: int = MOST_ASKING
    asking: set[int] = field(default_factory=set)
    closed: dict[Reason, int] = field(default_factory=dict)
    aside: Counter[str] = field(default_factory=Counter)

    def closed_until(self) -> int:
        return max(self.closed.values(), default=0)

    def line(self) -> deque[T] | None:
        """The jobs of which the first may ask, if any may."""
        if self.uncalled_jobs and HOLDS_ALL not in self.closed:
            return self.uncalled_jobs
        cap = 1 if self.probing else self.max_in_flight
        if self.ready and not self.closed and self.in_flight < cap and len(self.asking) < self.window:
            return self.ready
        return None

    def take(self, line: deque[T]) -> T:
        """The job of the line that is to go."""
        if self.rather_not is not None and line is self.ready:
            # From the end: what is alike mostly comes one after the other, and those before it have been tried.
            for index in reversed(range(len(line))):
                ticket = line[index]
                if not self.rather_not(ticket):
                    del line[index]
                    return ticket
        return line.popleft()

    def line_of(self, ticket: T) -> deque[T]:
        return self.uncalled_jobs if ticket.uncalled else self.ready


class Gate(Generic[T]):
    """Picks jobs that may ask the store for a call, and counts them until they are finished.

    Picks by start-time fair queueing: the open shop served least goes next, ``weight`` 2 counts half.

    A shop that was idle or closed starts level with the others: it neither claims what it missed nor pays for it.
    ``threads`` is how many calls the process can make at once, ``max_aside`` how many jobs of one shop may wait in
    memory for their customers.
    """

    def __init__(self, *, threads: int, max_aside: int) -> None:
        self._capacity = threads + EXTRA_GRANTS
        self._max_aside = max_aside
        self._shops: dict[str, _Shop[T]] = {}
        self._closed: dict[Reason, int] = {}
        self._in_flight = 0
        self._clock = 0.0
        self._order = count()
        self._turns: list[tuple[float, int, str]] = []
        self._openings: list[tuple[int, int, str]] = []
        self._aside: list[tuple[int, int, T]] = []
        self._suspects: deque[T] = deque()
        self._alone: T | None = None

    @property
    def in_flight(self) -> int:
        """Jobs handed out by :meth:`next` and not yet finished, given back or set aside."""
        return self._in_flight

    def configure(self, shop: str, *, weight: float, max_in_flight: int) -> None:
        """Make a shop known, or change its share."""
        state = self._shop(shop)
        state.weight, state.max_in_flight = weight, max_in_flight
        self._enlist(state)

    def offer(self, ticket: T) -> None:
        """A job has arrived."""
        state = self._shop(ticket.shop)
        state.line_of(ticket).append(ticket)
        self._enlist(state)

    def regroup(self, shop: str) -> None:
        """Some of the shop's jobs at hand need no call any more: nothing but their results' way holds them back."""
        state = self._shop(shop)
        aside = [entry[2] for entry in self._aside if entry[2].shop == shop and entry[2].uncalled]
        for ticket in aside:
            self._leave_aside(state, ticket)
        if aside:
            self._aside = [entry for entry in self._aside if entry[2].shop != shop or not entry[2].uncalled]
            heapq.heapify(self._aside)
        state.uncalled_jobs.extend([*aside, *(ticket for ticket in state.ready if ticket.uncalled)])
        state.ready = deque(ticket for ticket in state.ready if not ticket.uncalled)
        self._enlist(state)

    def next(self, now: int) -> T | None:
        """The job that may ask for a call now, or None.

        The caller says what came of it: `granted` and later one of the others, or `finished`, `returned` or
        `set_aside` at once.
        """
        # Asked after every grant, and mostly nothing has become due since.
        if self._closed or (self._openings and self._openings[0][0] <= now):
            self._reopen(now)
        if self._aside and self._aside[0][0] <= now:
            self._recall(now)
        if self._closed or self._in_flight >= self._capacity:
            return None
        if self._suspects:
            self._drop_closed_suspects()
        if self._suspects or self._alone is not None:
            return self._next_alone()
        while self._turns:
            turn, _, name = heapq.heappop(self._turns)
            state = self._shops[name]
            if turn != state.turn:
                continue
            state.turn = None
            line = state.line()
            if line is None:
                continue
            self._clock = max(self._clock, turn)
            state.served = max(state.served, self._clock) + 1 / state.weight
            state.in_flight += 1
            self._in_flight += 1
            ticket = state.take(line)
            state.asking.add(id(ticket))
            self._enlist(state)
            return ticket
        return None

    def granted(self, ticket: T) -> None:
        """The call may start; the next time, one more job of the shop may ask along with the others."""
        state = self._shop(ticket.shop)
        state.asking.discard(id(ticket))
        state.window = min(state.window + 1, MOST_ASKING)
        self._enlist(state)

    def isolate(self, ticket: T) -> None:
        """The job did not run, and is not to run beside others: it is next once nothing is in flight, then on its own.

        Should its shop be closed by then, it waits in its shop's line like any other.
        """
        self._shop(ticket.shop).served -= 1 / self._shop(ticket.shop).weight
        self.finished(ticket)
        self._suspects.append(ticket)

    def is_alone(self, ticket: T) -> bool:
        """Whether this is the job that runs on its own."""
        return self._alone is ticket

    def finished(self, ticket: T) -> None:
        """The call is over, or the job needed none: its place is free again."""
        if ticket is self._alone:
            self._alone = None
        state = self._shop(ticket.shop)
        state.asking.discard(id(ticket))
        state.in_flight -= 1
        self._in_flight -= 1
        self._enlist(state)

    def returned(self, ticket: T) -> None:
        """The job did not run; it is the first of its shop when the shop's turn comes again."""
        state = self._shop(ticket.shop)
        state.served -= 1 / state.weight
        state.line_of(ticket).appendleft(ticket)
        self.finished(ticket)

    def set_aside(self, ticket: T, now: int, until: int) -> bool:
        """Keep the job in memory until its customer may be called.

        False where that would crowd out the shop's other customers or last too long: the job has left the gate and
        is the caller's to defer.
        """
        state = self._shop(ticket.shop)
        state.served -= 1 / state.weight
        self.finished(ticket)
        if (
            until > now + LONGEST_ASIDE
            or state.aside[ticket.customer] >= MAX_ASIDE_PER_CUSTOMER
            or state.aside.total() >= self._max_aside
        ):
            return False
        state.aside[ticket.customer] += 1
        heapq.heappush(self._aside, (until, next(self._order), ticket))
        return True

    def close(self, shop: str, until: int, reason: Reason, *, then_ask: int = 1) -> None:
        """No job of the shop may ask before ``until`` (see :data:`FOREVER`); several reasons add up.

        ``then_ask`` is how many may ask at once when it opens.
        """
        state = self._shop(shop)
        state.window = min(then_ask, MOST_ASKING)
        state.closed[reason] = max(until, state.closed.get(reason, 0))
        heapq.heappush(self._openings, (state.closed[reason], next(self._order), shop))

    def open(self, shop: str, reason: Reason) -> None:
        """The reason holds no longer."""
        state = self._shop(shop)
        if state.closed.pop(reason, None) is not None:
            self._enlist(state)

    def close_all(self, reason: Reason, until: int = FOREVER) -> None:
        """No job of any shop may ask until ``until``, or until :meth:`open_all`."""
        self._closed[reason] = max(until, self._closed.get(reason, 0))

    def open_all(self, reason: Reason) -> None:
        """The reason that closed every shop holds no longer."""
        self._closed.pop(reason, None)

    def probe(self, shop: str, *, probing: bool, rather_not: Callable[[T], bool] | None = None) -> None:
        """Let one job of the shop go at a time, or as many as it may.

        With ``rather_not`` it is the last that has come of those that this doesn't hold for, the first where it holds
        for all.
        """
        state = self._shop(shop)
        state.probing = probing
        state.rather_not = rather_not
        self._enlist(state)

    def is_probing(self, shop: str) -> bool:
        """Whether the shop's jobs go one at a time to find out whether its calls work again."""
        return self._shop(shop).probing

    def closed_until(self, shop: str) -> int:
        """When the shop opens by itself; 0 for an open one."""
        return self._shop(shop).closed_until()

    def reasons(self, shop: str) -> dict[Reason, int]:
        """Why the shop is closed, and until when for each reason; empty for an open one."""
        return dict(self._shop(shop).closed) | self._closed

    def reasons_for_all(self) -> frozenset[Reason]:
        """Why every shop is closed; empty where there is no such reason."""
        return frozenset(self._closed)

    def loads(self) -> Iterator[ShopLoad]:
        """Every shop that has jobs here or is closed on its own account, in no particular order."""
        for state in self._shops.values():
            ready, aside = len(state.uncalled_jobs) + len(state.ready), state.aside.total()
            if ready or state.in_flight or state.closed or aside:
                yield ShopLoad(state.name, ready, aside, state.in_flight, tuple(state.closed))

    def wake_at(self) -> int | None:
        """When :meth:`next` is worth asking again if nothing else happens; None: not before something does."""
        # Asked after every grant too.
        first = self._openings[0][0] if self._openings else FOREVER
        if self._aside and self._aside[0][0] < first:
            first = self._aside[0][0]
        if self._closed:
            first = min(first, *self._closed.values())
        return first if first < FOREVER else None

    def remove(self, shop: str) -> list[T]:
        """Take out all jobs of the shop that haven't been handed out, waiting or set aside."""
        state = self._shop(shop)
        taken = [*state.uncalled_jobs, *state.ready]
        state.uncalled_jobs.clear()
        state.ready.clear()
        taken += [ticket for _, _, ticket in self._aside if ticket.shop == shop]
        if state.aside:
            self._aside = [entry for entry in self._aside if entry[2].shop != shop]
            heapq.heapify(self._aside)
            state.aside.clear()
        taken += [ticket for ticket in self._suspects if ticket.shop == shop]
        self._suspects = deque(ticket for ticket in self._suspects if ticket.shop != shop)
        return taken

    def held(self) -> Iterator[T]:
        """Every job that waits here, in no particular order."""
        for state in self._shops.values():
            yield from state.uncalled_jobs
            yield from state.ready
        for _, _, ticket in self._aside:
            yield ticket
        yield from self._suspects

    def waiting(self, shop: str) -> int:
        """How many jobs of the shop wait here, set aside or not."""
        state = self._shop(shop)
        return len(state.uncalled_jobs) + len(state.ready) + (state.aside.total() if state.aside else 0)

    def _next_alone(self) -> T | None:
        if self._in_flight:
            return None
        ticket = self._alone = self._suspects.popleft()
        state = self._shop(ticket.shop)
        state.served = max(state.served, self._clock) + 1 / state.weight
        state.in_flight += 1
        self._in_flight += 1
        state.asking.add(id(ticket))
        return ticket

    def _drop_closed_suspects(self) -> None:
        # The other shops needn't wait for one that is closed.
        for ticket in list(self._suspects):
            state = self._shop(ticket.shop)
            if state.closed:
                self._suspects.remove(ticket)
                state.line_of(ticket).appendleft(ticket)
                self._enlist(state)

    def _reopen(self, now: int) -> None:
        for reason in [reason for reason, until in self._closed.items() if until <= now]:
            del self._closed[reason]
        while self._openings and self._openings[0][0] <= now:
            _, _, name = heapq.heappop(self._openings)
            state = self._shops[name]
            for reason in [reason for reason, until in state.closed.items() if until <= now]:
                del state.closed[reason]
            self._enlist(state)

    def _recall(self, now: int) -> None:
        due: list[T] = []
        while self._aside and self._aside[0][0] <= now:
            due.append(heapq.heappop(self._aside)[2])
        for ticket in reversed(due):
            state = self._shops[ticket.shop]
            self._leave_aside(state, ticket)
            state.line_of(ticket).appendleft(ticket)
            self._enlist(state)

    @staticmethod
    def _leave_aside(state: _Shop[T], ticket: T) -> None:
        state.aside[ticket.customer] -= 1
        if not state.aside[ticket.customer]:
            del state.aside[ticket.customer]

    def _shop(self, name: str) -> _Shop[T]:
        state = self._shops.get(name)
        if state is None:
            state = self._shops[name] = _Shop(name)
        return state

    def _enlist(self, state: _Shop[T]) -> None:
        # A shop stands in line with the service it has had; whatever lets it run again puts it there. One that was
        # not served after all moves forward, and `turn` tells its place from the one it leaves behind.
        turn = max(state.served, self._clock)
        if (state.turn is None or turn < state.turn) and state.line() is not None:
            state.turn = turn
            heapq.heappush(self._turns, (turn, next(self._order), state.name))
