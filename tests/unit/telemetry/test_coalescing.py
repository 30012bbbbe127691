"""What many ask for is made once, one at a time, with a rest after each."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

from worker.telemetry.coalescing import LONGEST_REST_SECONDS, RESTS, Coalesced, PacedExecutor


def test_many_who_ask_at_once_make_one_answer() -> None:
    """All who wait while one is made share the next, which was begun after they asked."""
    begun = threading.Semaphore(0)
    go_on = threading.Event()
    made = 0

    def make() -> int:
        nonlocal made
        made += 1
        begun.release()
        assert go_on.wait(20)
        return made

    async def ask() -> list[int]:
        with ThreadPoolExecutor(1) as executor:
            gathered = Coalesced(make, PacedExecutor(executor))
            first = asyncio.create_task(gathered.get())
            await asyncio.to_thread(partial(begun.acquire, timeout=20))
            others = [asyncio.create_task(gathered.get()) for _ in range(100)]
            await asyncio.sleep(0)
            others[0].cancel()
            go_on.set()
            return [await first, *await asyncio.gather(*others[1:])]

    assert asyncio.run(ask()) == [1] + [2] * 99


def test_what_fails_to_be_made_is_made_anew() -> None:
    """All who wait get the error, and the next to ask gets an answer."""
    results: Iterator[ValueError | str] = iter([ValueError("once"), "page"])

    def make() -> str:
        result = next(results)
        if isinstance(result, ValueError):
            raise result
        return result

    async def ask() -> str:
        with ThreadPoolExecutor(1) as executor:
            gathered = Coalesced(make, PacedExecutor(executor))
            failed = await asyncio.gather(gathered.get(), gathered.get(), return_exceptions=True)
            assert [str(error) for error in failed] == ["once", "once"]
            return await gathered.get()

    assert asyncio.run(ask()) == "page"


def test_what_is_made_in_one_workshop_shares_its_rest() -> None:
    """Who asks for many things by turns has no more of the process than who asks for one."""
    made: list[tuple[float, float]] = []

    def make() -> None:
        began = time.monotonic()
        while time.monotonic() < began + 0.02:
            pass
        made.append((began, time.monotonic()))

    async def ask() -> None:
        with ThreadPoolExecutor(4) as executor:
            workshop = PacedExecutor(executor)
            await asyncio.gather(*(Coalesced(make, workshop).get() for _ in range(4)))

    asyncio.run(ask())
    for (began, ended), (next_began, _) in pairwise(made):
        assert next_began - ended >= min(RESTS * (ended - began), LONGEST_REST_SECONDS)
