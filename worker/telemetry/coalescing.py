"""Pages and probes that many ask for are made once, and no more often than the process can bear.

All of it runs in one asyncio loop; only what is made runs in the executor's thread.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

RESTS = 4
"""After each answer the executor rests for so many times as long as making the answer took."""

LONGEST_REST_SECONDS = 2.0
"""The longest rest. A page of 1,000 shops takes a second and more to make, and Prometheus gives up after 10 s."""

T = TypeVar("T")


class PacedExecutor:
    """An executor that makes things one at a time, with a rest after each.

    Clients that ask all the time then take a fifth of a core at most, or more where one thing takes longer than half a
    second. Everything that is made here shares the rests.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._under_way = asyncio.Lock()
        self._rests_until = 0.0

    async def make(self, make: Callable[[], T], begun: Callable[[], None]) -> T:
        """Wait for a turn, call ``begun``, and run ``make`` in the executor. Raises what ``make`` raises."""
        loop = asyncio.get_running_loop()
        async with self._under_way:
            await asyncio.sleep(self._rests_until - loop.time())
            begun()
            began = loop.time()
            try:
                return await loop.run_in_executor(self._executor, make)
            finally:
                self._rests_until = loop.time() + min(RESTS * (loop.time() - began), LONGEST_REST_SECONDS)


class Coalesced(Generic[T]):
    """Makes something once for all who wait for it, so that nobody makes the process work by asking often.

    A caller never gets an old answer: it gets one whose making began after the call.
    """

    def __init__(self, make: Callable[[], T], executor: PacedExecutor) -> None:
        """``make`` runs in the executor's thread, never at the same time as anything else that is made there."""
        self._make = make
        self._executor = executor
        self._next: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The answer, once it is made. Raises what ``make`` raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._executor.make(self._make, self._begun))
        # A caller that is cancelled must not cancel it for the others.
        return await asyncio.shield(self._next)

    def _begun(self) -> None:
        self._next = None
