import sys
import threading
from collections import Counter
from collections.abc import Iterator
from queue import Empty

import pytest

from tests.services.wait import wait_until
from worker.process.work_queue import WorkQueue

ITEMS = 4000


@pytest.fixture
def _switching() -> Iterator[None]:
    """Threads take turns as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_first_in_first_out() -> None:
    """Nothing is there, then two items in their order, then nothing again."""
    queue = WorkQueue()
    for number in (1, 2):
        queue.put(number)
    assert queue.qsize() == 2
    assert [queue.get(timeout=1), queue.get_nowait()] == [1, 2]
    for timeout in (0, 0.01):
        with pytest.raises(Empty):
            queue.get(timeout)


def test_items_that_come_at_once_wake_as_many_threads() -> None:
    """Each thread that waits gets one, long before its time is up."""
    queue = WorkQueue()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(queue.get(60)), daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(4):
        queue.put(number)
    wait_until(lambda: len(found) == 4, 10, "all of them")
    assert sorted(found) == [0, 1, 2, 3]


@pytest.mark.usefixtures("_switching")
def test_threads_whose_time_is_up_lose_nothing_and_end() -> None:
    """Each item is got once, however short the waits are; and none of them lasts for ever once nothing comes."""
    queue = WorkQueue()
    got: Counter[int] = Counter()
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            try:
                number = queue.get(timeout=0.0005)
            except Empty:
                continue
            with counting:
                got[number] += 1

    counting = threading.Lock()
    takers = [threading.Thread(target=take, daemon=True) for _ in range(8)]

    def give(first: int) -> None:
        for number in range(first, ITEMS, 2):
            queue.put(number)

    givers = [threading.Thread(target=give, args=(first,), daemon=True) for first in (0, 1)]
    for thread in (*takers, *givers):
        thread.start()
    wait_until(lambda: len(got) == ITEMS, 60, "all items")
    done.set()
    for thread in takers:
        thread.join(10)
    assert not any(thread.is_alive() for thread in takers)
    assert got == Counter(range(ITEMS))
