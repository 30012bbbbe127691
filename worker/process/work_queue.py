"""The queue between Dramatiq's consumer thread and its worker threads."""

from queue import SimpleQueue
from typing import Any

import dramatiq


class WorkQueue(SimpleQueue[Any]):
    """First in, first out, as Dramatiq's own queue is for messages of one priority.

    Dramatiq's is made of Python's conditions and locks: handing a job to one of 16 threads costs 13 µs with it, and 3
    with this one, which is written in C.
    """

    def task_done(self) -> None:
        """Nobody waits here for the last job, since RabbitMQ knows what is in hand. So there is no ``join`` here,
        and none of the worker, which is for tests.
        """


def hand_over_simply(worker: dramatiq.Worker) -> None:
    """Give a worker such a queue before it starts; with several actors, which may have priorities, it keeps its own."""
    if len(worker.broker.actors) == 1:
        worker.work_queue = WorkQueue()  # type: ignore[assignment] # all that Dramatiq uses of it
