import threading
import time
from collections import Counter
from queue import Empty

import pytest

from tests.services.wait import wait_until
from worker.process.work_queue import WorkQueue

ITEMS = 60


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


def test_threads_whose_time_is_up_lose_nothing_and_end() -> None:
    """Each item is got once; and no wait lasts for ever once nothing comes, also if its time was up while the thread
    that was woken waited for the interpreter, and another one got the item.
    """
    queue = WorkQueue()
    got: Counter[int] = Counter()
    done = threading.Event()
    counting = threading.Lock()

    def take() -> None:
        while not done.is_set():
            try:
                number = queue.get(timeout=0.001)
            except Empty:
                continue
            with counting:
                got[number] += 1

    def keep_the_interpreter() -> None:
        while not done.is_set():
            pass

    takers = [threading.Thread(target=take, daemon=True) for _ in range(8)]
    for thread in (*takers, threading.Thread(target=keep_the_interpreter, daemon=True)):
        thread.start()
    for number in range(ITEMS):
        queue.put(number)
        if number % 3 == 0:
            time.sleep(0.001)  # in step with the takers' time-outs, and no condition to wait for
    wait_until(lambda: len(got) == ITEMS, 60, "all items")
    done.set()
    for thread in takers:
        thread.join(10)
    assert not any(thread.is_alive() for thread in takers)
    assert got == Counter(range(ITEMS))
