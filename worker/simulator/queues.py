"""The shops' queues as RabbitMQ delivers from them: to processes by their priorities, and to equals in turn, up to the
prefetch of each.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from worker.simulator.port import Ticket


@dataclass(slots=True)
class ShopQueue:
    """One shop's backlog. ``make`` makes the job of a number; ``total`` jobs are there from the beginning.

    ``priorities`` are those of the processes' consumers. Jobs are made when they are delivered and not before. ``back``
    holds those that were requeued or have come back from a delay.
    """

    make: Callable[[int], Ticket]
    total: int
    priorities: Sequence[int]
    prefetch: int
    offset: int
    made: int = 0
    back: deque[Ticket] = field(default_factory=deque)
    _freed: list[tuple[int, int, int]] = field(default_factory=list, init=False)
    _order: Iterator[int] = field(default_factory=count, init=False)
    _unused: Iterator[int] = field(init=False)
    _next: int | None = field(init=False)

    def __post_init__(self) -> None:
        self._unused = self._rounds()
        self._next = next(self._unused, None)

    def deal(self) -> tuple[int, Ticket] | None:
        """The next delivery, and the process it goes to; None where no job waits or nobody has room."""
        if self.made == self.total and not self.back:
            return None
        process = self._room()
        if process is None:
            return None
        if self.made < self.total:
            self.made += 1
            return process, self.make(self.made - 1)
        return process, self.back.popleft()

    def free(self, process: int) -> None:
        """A process has room for one more."""
        heapq.heappush(self._freed, (-self.priorities[process], next(self._order), process))

    def _room(self) -> int | None:
        process = self._next
        if self._freed and (process is None or -self._freed[0][0] > self.priorities[process]):
            return heapq.heappop(self._freed)[2]
        if process is not None:
            self._next = next(self._unused, None)
        return process

    def _rounds(self) -> Iterator[int]:
        # Round after round, so that the first jobs of a short queue go to as many processes of a priority as possible.
        processes = len(self.priorities)
        order = [(self.offset + number) % processes for number in range(1, processes + 1)]
        for priority in sorted(set(self.priorities), reverse=True):
            equals = [process for process in order if self.priorities[process] == priority]
            for _ in range(self.prefetch):
                yield from equals
