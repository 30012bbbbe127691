"""The queue between Dramatiq's consumer thread and its worker threads."""

import threading
import time
from collections import deque
from queue import Empty
from typing import Any

import dramatiq


class WorkQueue:
    """First in, first out, as Dramatiq's own queue is for messages of one priority. Safe to use from any thread.

    Dramatiq's is made of Python's conditions, which take a lock or two for each step and wake a thread for each item.
    This one wakes a thread only where none is being woken already; that one wakes the next if it leaves something.
    Python's ``SimpleQueue`` does the same, but in Python 3.11 its ``get`` may overlook that its time is up: then a
    worker that ends waits for that thread for ever.
    """

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        # Free while there may be an item that nobody has been woken for. Whoever takes it looks for one after that, so
        # that nobody sleeps beside an item.
        self._unseen = threading.Lock()
        self._unseen.acquire()

    def put(self, item: Any) -> None:
        """Add an item; never blocks."""
        self._items.append(item)
        self._wake_one()

    def get(self, timeout: float) -> Any:
        """The first item; waits for one for up to ``timeout`` seconds.

        Raises:
          queue.Empty: none has come.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                item = self._items.popleft()
            except IndexError:
                pass
            else:
                if self._items:
                    self._wake_one()
                return item
            left = deadline - time.monotonic()
            if left <= 0:
                raise Empty
            self._unseen.acquire(timeout=left)

    def get_nowait(self) -> Any:
        """The first item; raises as :meth:`get`."""
        return self.get(0)

    def qsize(self) -> int:
        """How many items wait."""
        return len(self._items)

    def task_done(self) -> None:
        """Nobody waits here for the last job, since RabbitMQ knows what is in hand. So there is no ``join`` here,
        and none of the worker, which is for tests.
        """

    def _wake_one(self) -> None:
        if self._unseen.locked():
            try:
                self._unseen.release()
            except RuntimeError:
                # Another thread has done it since.
                return


def hand_over_simply(worker: dramatiq.Worker) -> None:
    """Give a worker such a queue before it starts; with several actors, which may have priorities, it keeps its own."""
    if len(worker.broker.actors) == 1:
        worker.work_queue = WorkQueue()  # type: ignore[assignment] # all that Dramatiq uses of it
