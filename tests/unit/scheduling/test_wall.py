"""A wall of one customer's jobs, to its end: gate and store around a queue and its delays, on virtual time."""

import heapq
from collections import Counter, deque
from dataclasses import dataclass

from tests.unit.making import NOON, make_limits, make_request
from worker.clock import ManualClock
from worker.instants import SECOND
from worker.limits.token_bucket import Rate
from worker.model.lanes import Lane
from worker.scheduling.gate import Gate
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AlreadyAnswered, Grant, ShopClosed, Wait

WALL = 300
OTHERS = 1000
PREFETCH = 16
STEP = 2_000
"""Microseconds between two looks at the queue."""

LIMITS = make_limits(shop=Rate.per_second(50, 20), customer=Rate.per_second(2, 2))


@dataclass
class _Ticket:
    number: int
    customer: str
    shop: str = "acme"
    place: int | None = None
    uncalled: bool = False
    lane: Lane = "bulk"


def test_a_wall_behind_a_backlog_is_deferred_at_most_one_and_a_half_times_a_job() -> None:
    """Jobs that return behind the others miss their places, and still each makes hardly more than one trip."""
    clock = ManualClock(NOON)
    store = MemoryStore(clock)
    gate: Gate[_Ticket] = Gate(threads=16, max_aside=PREFETCH // 2)
    queue = deque([_Ticket(number, "wall") for number in range(WALL)])
    queue.extend(_Ticket(number, f"other {number}") for number in range(WALL, WALL + OTHERS))
    delayed: list[tuple[int, int, _Ticket]] = []
    deferrals: Counter[int] = Counter()
    calls: list[tuple[int, str]] = []
    held = 0
    while len(calls) < WALL + OTHERS:
        clock.advance(STEP)
        now = clock.now()
        assert now < NOON + 300 * SECOND
        while delayed and delayed[0][0] <= now:
            queue.append(heapq.heappop(delayed)[2])
        while queue and held < PREFETCH:
            gate.offer(queue.popleft())
            held += 1
        while (ticket := gate.next(now)) is not None:
            request = make_request(ticket.number, customer=ticket.customer, limits=LIMITS, place_in_line=ticket.place)
            match store.admit(request):
                case Grant():
                    gate.finished(ticket)
                    held -= 1
                    calls.append((now, ticket.customer))
                case ShopClosed(until, reason):
                    gate.returned(ticket)
                    assert reason != "urgent"
                    gate.close("acme", until, reason)
                case Wait(_, until):
                    ticket.place = until
                    if not gate.set_aside(ticket, now, until):
                        held -= 1
                        deferrals[ticket.number] += 1
                        heapq.heappush(delayed, (until, ticket.number, ticket))
                case AlreadyAnswered():
                    raise AssertionError("a job was offered twice")

    assert deferrals.total() <= 1.5 * WALL
    assert max(deferrals.values()) <= 2
    last = {who == "wall": at for at, who in calls}
    assert (OTHERS - 20) / (last[False] - NOON) * SECOND >= 0.85 * 50
    assert (WALL - 2) / 2 * SECOND <= last[True] - NOON <= 1.15 * WALL / 2 * SECOND
