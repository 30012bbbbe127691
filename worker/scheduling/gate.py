"""Which job of those at hand may ask for a call next: fair between shops, closed where calling is pointless.

Pure: no I/O, no thread, the time is an argument (microseconds). Runs on the consumer's thread. The limits are the
store's; the gate only remembers what the store said, so that a closed shop costs no round trip.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import Generic

from worker.model.lanes import Lane
from worker.scheduling.gate_shop import MOST_ASKING, GateShop, GateShops, Reason, ShopLoad, T
from worker.scheduling.kept_apart import KeptApart
from worker.scheduling.set_aside import SetAside

FOREVER = 1 << 62
"""Until somebody opens it again."""

EXTRA_GRANTS = 2
"""Jobs granted beyond the free threads, so that none idles while the next grant is on its way: worth 8 % of the
capacity on short calls, and a grant still starts within milliseconds."""


class Gate(Generic[T]):
    """Picks jobs that may ask the store for a call, and counts them until they are finished.

    Picks by start-time fair queueing: the open shop served least goes next, ``weight`` 2 counts half. A shop that was
    idle or closed starts level with the others: it neither claims what it missed nor pays for it.
    ``threads`` is how many calls the process can make at once, ``max_aside`` how many jobs of one shop may wait in
    memory for their customers. With ``shuffle`` the first round goes through the shops in an order of its own: if
    processes that begin together all took the same order, they would take their turns at all shops in the same order
    too, and one would have more to do than threads while others wait. Without it they go as their jobs came.

    A grant ahead of its instant holds a place as a call does. A shop that has one asks for more only while grants hold
    less than half of the places that calls leave: 8 shops at 20/s filled them, and a quiet one got a place each 50 ms.
    """

    def __init__(self, *, threads: int, max_aside: int, shuffle: Random | None = None) -> None:
        self._capacity = threads + EXTRA_GRANTS
        self._set_aside: SetAside[T] = SetAside(max_aside)
        self._shops: GateShops[T] = GateShops(shuffle)
        self.in_flight = 0
        """Jobs handed out by :meth:`next` and not yet finished, returned or set aside."""
        self._ahead = 0
        """Those of them that are granted and not started."""
        self.alone: T | None = None
        """The job that runs on its own at present, if one does."""
        self.closed: dict[Reason, int] = {}
        """Why every shop is closed, and until when for each reason."""
        self._virtual_time = 0.0
        self._order = count()
        self._start_tags: list[tuple[float, int, str]] = []
        self._openings: list[tuple[int, int, str]] = []
        self._suspects: deque[T] = deque()
        self._apart: KeptApart[T] = KeptApart()

    def shop(self, name: str) -> GateShop[T]:
        """The shop of that name, to look at; one that is not known yet is open and without jobs."""
        return self._shops[name]

    def configure(self, shop: str, *, weight: float, max_in_flight: int) -> None:
        """Make a shop known, or change its share."""
        state = self._shops[shop]
        state.weight, state.max_in_flight = weight, max_in_flight
        self._enlist(state)

    def offer(self, ticket: T) -> None:
        """A job has arrived."""
        state = self._shops[ticket.shop]
        state.queue_of(ticket).append(ticket)
        self._enlist(state)

    def regroup(self, shop: str) -> None:
        """Some of the shop's jobs at hand have become uncalled: they wait no longer for the shop or a customer."""
        state = self._shops[shop]
        state.uncalled_jobs.extend(self._set_aside.remove(shop, only_uncalled=True))
        state.uncalled_jobs = state.take_out(lambda ticket: ticket.uncalled)
        state.uncalled_jobs += self._apart.remove(shop, lambda ticket: ticket.uncalled)
        self._enlist(state)

    def next(self, now: int) -> T | None:
        """The job that may ask for a call now, or None.

        The caller reports what became of it: :meth:`granted` and later one of the others, or at once :meth:`finished`,
        :meth:`returned`, :meth:`set_aside` or :meth:`isolate`.
        """
        # Asked after every grant, and mostly nothing has become due since, so only the first of each heap is looked at.
        due_at = self._set_aside.next_at
        if self.closed or (self._openings and self._openings[0][0] <= now) or (due_at is not None and due_at <= now):
            self._come_due(now)
        if self.closed or self.in_flight >= self._capacity:
            return None
        if self._suspects:
            self._drop_closed_suspects()
        if self._suspects or self.alone is not None:
            return self._next_alone()
        while self._start_tags:
            tag, _, name = heapq.heappop(self._start_tags)
            state = self._shops[name]
            if tag != state.start_tag:
                # An entry that an earlier tag has replaced; see `_enlist`.
                continue
            state.start_tag = None
            queue = state.askable()
            # A shop that grants ahead hold back asks again once one of its own starts.
            held_back = state.ahead and self.in_flight + self._ahead >= self._capacity
            if queue is None or (held_back and queue is not state.uncalled_jobs and queue is not state.urgent):
                continue
            if tag > self._virtual_time:
                self._virtual_time = tag
            ticket = state.take(queue)
            self._hand_out(state, ticket)
            self._enlist(state)
            return ticket
        return None

    def asked(self, shop: str, *, under_way: bool, urgent: bool = False) -> None:
        """A question about the shop's urgent or its other jobs is under way, or no longer; meanwhile no more of them
        ask.
        """
        if urgent:
            self._shops[shop].urgent_asked = under_way
        else:
            self._shops[shop].asked = under_way

    def granted(self, ticket: T) -> None:
        """The call may start at its instant. From now on one more job of the shop may ask at the same time."""
        state = self._shops[ticket.shop]
        state.ahead += 1
        self._ahead += 1
        if id(ticket) in state.asking:
            state.asking.discard(id(ticket))
            if state.window < MOST_ASKING:
                state.window += 1
        self._enlist(state)

    def started(self, ticket: T) -> None:
        """A granted job goes to a worker thread, or its grant is released: it is no longer ahead."""
        state = self._shops[ticket.shop]
        state.ahead -= 1
        self._ahead -= 1
        self._enlist(state)

    def isolate(self, ticket: T) -> None:
        """The job is a suspect: it did not run, and is next once nothing is in flight, then alone.

        If its shop is closed by then, it waits in its shop's queue like any other job.
        """
        self._shops[ticket.shop].served -= 1 / self._shops[ticket.shop].weight
        self.finished(ticket)
        self._suspects.append(ticket)

    def finished(self, ticket: T) -> None:
        """The call is over, or the job needed none: another job may ask in its stead."""
        if ticket is self.alone:
            self.alone = None
        state = self._shops[ticket.shop]
        state.asking.discard(id(ticket))
        state.in_flight -= 1
        self.in_flight -= 1
        self._enlist(state)

    def returned(self, ticket: T) -> None:
        """The job did not run: it is its shop's first again, and its shop is not charged for it."""
        state = self._shops[ticket.shop]
        state.served -= 1 / state.weight
        state.queue_of(ticket).insert(0, ticket)
        self.finished(ticket)

    def passed_over(self, ticket: T) -> None:
        """The job did not run and leaves the gate; its shop is not charged for it."""
        state = self._shops[ticket.shop]
        state.served -= 1 / state.weight
        self.finished(ticket)

    def keep_apart(self, ticket: T, until: int = FOREVER) -> None:
        """The job may not ask before ``until`` or :meth:`let_go`; other jobs of its shop may."""
        self.take_back(ticket, until)
        self.passed_over(ticket)

    def take_back(self, ticket: T, until: int) -> None:
        """A job that had left the gate stays in hand after all, as one that is kept apart."""
        self._apart.add(ticket, until)
        if until < FOREVER:
            heapq.heappush(self._openings, (until, next(self._order), ticket.shop))

    def let_go(self, now: int = FOREVER) -> None:
        """What was kept apart, until ``now`` at the latest, may ask again: each job is its lane's first, in the order
        in which they came.
        """
        for ticket in reversed(self._apart.due(now)):
            self._bring_back(ticket)

    def let_go_first(self, shop: str, is_meant: Callable[[T], bool]) -> None:
        """The first job of the shop that was kept apart, of those for which this is true, may ask again."""
        ticket = self._apart.first(shop, is_meant)
        if ticket is not None:
            self._bring_back(ticket)

    def set_aside(self, ticket: T, now: int, until: int) -> bool:
        """Keep the job in memory until its customer may be called.

        False where that would crowd out the shop's other customers or last too long: the job has left the gate and
        is the caller's to delay.
        """
        self.passed_over(ticket)
        return self._set_aside.add(ticket, now, until)

    def close(self, shop: str, until: int, reason: Reason, *, then_ask: int = 1) -> None:
        """No job of the shop may ask before ``until`` (see :data:`FOREVER`). The shop opens once no reason is left.

        ``then_ask`` is how many jobs may ask at once when it opens.
        """
        state = self._shops[shop]
        state.window = min(then_ask, MOST_ASKING)
        state.closed[reason] = max(until, state.closed.get(reason, 0))
        heapq.heappush(self._openings, (state.closed[reason], next(self._order), shop))

    def close_urgent(self, shop: str, until: int) -> None:
        """No urgent job of the shop may ask before ``until``; all others may."""
        self._shops[shop].urgent_until = until
        heapq.heappush(self._openings, (until, next(self._order), shop))

    def open(self, shop: str, reason: Reason) -> None:
        """This reason no longer closes the shop."""
        state = self._shops[shop]
        if state.closed.pop(reason, None) is not None:
            self._enlist(state)

    def close_all(self, reason: Reason, until: int = FOREVER) -> None:
        """No job of any shop may ask until ``until``, or until :meth:`open_all`."""
        self.closed[reason] = max(until, self.closed.get(reason, 0))

    def open_all(self, reason: Reason) -> None:
        """This reason no longer closes every shop."""
        self.closed.pop(reason, None)

    def probe(self, shop: str, *, probing: bool, rather_not: Callable[[T], bool] | None = None) -> None:
        """Let one job of the shop go at a time (``probing``), or as many as usual.

        With ``rather_not`` the probe is the newest job for which this is false; the oldest job if it is true for all.
        """
        state = self._shops[shop]
        state.probing = probing
        state.rather_not = rather_not
        self._enlist(state)

    def reasons(self, shop: str) -> dict[Reason, int]:
        """Why the shop is closed, and until when for each reason; empty for an open one."""
        return dict(self._shops[shop].closed) | self.closed

    def loads(self) -> Iterator[ShopLoad]:
        """Every shop that has jobs here or is closed on its own account, in no particular order."""
        for state in self._shops.values():
            ready, aside = state.waiting(), self._set_aside.of(state.name)
            if ready or state.in_flight or state.closed or aside:
                yield ShopLoad(state.name, ready, aside, state.in_flight, tuple(state.closed))

    def wake_at(self) -> int | None:
        """When :meth:`next` is worth asking again if nothing else happens; None: not before something does."""
        # Asked after every grant too: the first of each heap is enough.
        first = self._openings[0][0] if self._openings else FOREVER
        due_at = self._set_aside.next_at
        if due_at is not None and due_at < first:
            first = due_at
        first = min(first, *self.closed.values()) if self.closed else first
        return first if first < FOREVER else None

    def remove(self, shop: str, lane: Lane | None = None) -> list[T]:
        """Take out all jobs of the shop, or of one of its lanes, that haven't been handed out, waiting or set aside."""
        state = self._shops[shop]

        def is_meant(ticket: T) -> bool:
            return ticket.shop == shop and lane in (None, ticket.lane)

        taken = state.take_out(is_meant) + self._set_aside.remove(shop, lane=lane) + self._apart.remove(shop, is_meant)
        taken += [ticket for ticket in self._suspects if is_meant(ticket)]
        self._suspects = deque(ticket for ticket in self._suspects if not is_meant(ticket))
        return taken

    def held(self) -> Iterator[T]:
        """Every job that waits here, in no particular order."""
        for state in self._shops.values():
            yield from (*state.uncalled_jobs, *(ticket for queue in state.queues() for ticket in queue))
        yield from self._set_aside
        yield from self._suspects
        yield from self._apart

    def waiting(self, shop: str) -> int:
        """How many jobs of the shop wait here, set aside or not."""
        state = self._shops[shop]
        return state.waiting() + self._set_aside.of(shop)

    def _bring_back(self, ticket: T) -> None:
        state = self._shops[ticket.shop]
        state.queue_of(ticket).insert(0, ticket)
        self._enlist(state)

    def _next_alone(self) -> T | None:
        if self.in_flight:
            return None
        ticket = self.alone = self._suspects.popleft()
        self._hand_out(self._shops[ticket.shop], ticket)
        return ticket

    def _hand_out(self, state: GateShop[T], ticket: T) -> None:
        # The shop is charged now. For a job that did not run after all, `returned`, `isolate` and `set_aside` take the
        # charge back.
        started = state.served if state.served > self._virtual_time else self._virtual_time
        state.served = started + 1 / state.weight
        state.in_flight += 1
        self.in_flight += 1
        # Urgent ones are not what a turn is for.
        if ticket.lane != "urgent":
            state.asking.add(id(ticket))

    def _drop_closed_suspects(self) -> None:
        # A suspect keeps every other job from starting, and must not do so while its own shop is closed.
        for ticket in list(self._suspects):
            state = self._shops[ticket.shop]
            if state.closed:
                self._suspects.remove(ticket)
                self._bring_back(ticket)

    def _come_due(self, now: int) -> None:
        # What ends by itself: reasons of all shops, reasons of one shop, and waits for customers.
        for reason in [reason for reason, until in self.closed.items() if until <= now]:
            del self.closed[reason]
        while self._openings and self._openings[0][0] <= now:
            state = self._shops[heapq.heappop(self._openings)[2]]
            for reason in [reason for reason, until in state.closed.items() if until <= now]:
                del state.closed[reason]
            if state.urgent_until <= now:
                state.urgent_until = 0
            self._enlist(state)
        self.let_go(now)
        # Backwards, so that the one that was due first is its shop's first.
        for ticket in reversed(self._set_aside.due(now)):
            self._bring_back(ticket)

    def _enlist(self, state: GateShop[T]) -> None:
        # A shop has one valid entry in the heap, that of its start tag; whatever lets it run again adds it. A shop that
        # was not served after all gets an earlier tag, and the entry of the later one is skipped when it comes up.
        # A condition in place of `max`, which takes as long as all the rest: each job comes by four to six times.
        tag = state.served if state.served > self._virtual_time else self._virtual_time
        if (state.start_tag is None or tag < state.start_tag) and state.askable() is not None:
            state.start_tag = tag
            heapq.heappush(self._start_tags, (tag, next(self._order), state.name))
