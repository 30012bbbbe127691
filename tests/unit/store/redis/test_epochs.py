"""Epochs are taken by the consumer's thread and kept by the store's: neither may trip over the other."""

from collections.abc import Iterator
from threading import Thread

from tests.unit.making import NOON
from worker.clock import ManualClock
from worker.instants import SECOND
from worker.store.redis.epochs import Epochs


class Interrupted(dict[str, tuple[int, int]]):
    """Lets ``other`` run between the look at the oldest entry and what is done with it."""

    def __init__(self, other: Thread) -> None:
        super().__init__()
        self._other = other

    def __iter__(self) -> Iterator[str]:
        oldest = next(super().__iter__())
        self._other.start()
        self._other.join(0.2)
        yield oldest


def test_taken_back_while_another_is_kept() -> None:
    """The very entry that is being looked at, as when every shop asks again after an outage."""
    clock = ManualClock(NOON)
    taken: list[tuple[int, bool]] = []
    other = Thread(target=lambda: taken.append(epochs.choose("a")))
    kept = Interrupted(other)
    kept["a"] = (7, NOON + SECOND)
    epochs = Epochs(clock, kept)

    epochs.keep("b", 8, SECOND)
    other.join(10)

    assert taken == [(7, True)]
    assert epochs.choose("b") == (8, True)
