"""Processes that share one shop's limits through a store, on virtual time.

Each does what the gate does: asks while it has a free thread, begins with as few jobs as the refusal says,
asks for one more after each grant, and comes back when its turn is.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from tests.integration.store.worlds import World, submitted
from tests.unit.making import make_request
from worker.limits.token_bucket import ShopLimits
from worker.store.protocol import Grant, ShopClosed

MOST_ASKING = 64


@dataclass
class Process:
    """One worker process. It has jobs until ``leaves_at``, when it vanishes with the turn that it was given."""

    threads: int
    leaves_at: int
    free: int = 0
    window: int = MOST_ASKING
    closed_until: int = 0
    turn: bool = False

    def __post_init__(self) -> None:
        self.free = self.threads


@dataclass
class Fleet:
    """``latency`` is how long a call takes, ``stamps`` the instants of all calls, ``calls`` those of each process."""

    world: World
    limits: ShopLimits
    processes: list[Process]
    latency: int
    stamps: list[int] = field(default_factory=list)
    calls: Counter[int] = field(default_factory=Counter)
    requests: int = 0

    def run(self, until: int) -> None:
        """Let all work until then."""
        order = count()
        jobs = count(1)
        start = self.world.now
        events = [(start, next(order), number, 0) for number in range(len(self.processes))]
        while events and events[0][0] < until:
            now, _, number, freed = heapq.heappop(events)
            process = self.processes[number]
            process.free += freed
            if now != self.world.now:
                self.world.set(now)
            while now < process.leaves_at and now >= process.closed_until and process.free:
                asked = min(process.free, process.window)
                requests = [make_request(next(jobs), customer="", limits=self.limits) for _ in range(asked)]
                replies = submitted(self.world.store, requests, turn=process.turn)
                process.turn = False
                self.requests += 1
                for reply in replies:
                    if isinstance(reply, Grant):
                        process.free -= 1
                        process.window = min(process.window + 1, MOST_ASKING)
                        self.stamps.append(reply.start_at)
                        self.calls[number] += 1
                        heapq.heappush(events, (reply.start_at + self.latency, next(order), number, 1))
                    elif isinstance(reply, ShopClosed) and process.closed_until <= now:
                        process.closed_until, process.window, process.turn = reply.until, reply.batch, True
                        heapq.heappush(events, (reply.until, next(order), number, 0))

    def between(self, start: int, end: int) -> int:
        """How many calls start in this time."""
        return sum(start <= stamp < end for stamp in self.stamps)
