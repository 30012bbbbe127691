"""The shops' queues as RabbitMQ delivers from them: to each process in turn, up to its prefetch."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.simulator.port import Ticket


@dataclass(slots=True)
class ShopQueue:
    """One shop's backlog. ``make`` makes the job of a number; ``total`` jobs are there from the beginning.

    Jobs are made when they are delivered and not before. ``back`` holds those that were requeued or have come back
    from a delay.
    """

    make: Callable[[int], Ticket]
    total: int
    processes: int
    prefetch: int
    offset: int
    made: int = 0
    dealt: int = 0
    back: deque[Ticket] = field(default_factory=deque)
    freed: deque[int] = field(default_factory=deque)

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
        self.freed.append(process)

    def _room(self) -> int | None:
        # Round after round, so that the first jobs of a short queue go to as many processes as possible.
        if self.dealt < self.processes * self.prefetch:
            self.dealt += 1
            return (self.offset + self.dealt) % self.processes
        return self.freed.popleft() if self.freed else None
