"""What a process keeps between calls, such as connections."""

import atexit
import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


@dataclass(eq=False)
class Own(Generic[Entry]):
    """What one process keeps, by key. Its ``lock`` guards ``entries``."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    entries: dict[Hashable, Entry] = field(default_factory=dict)

    def take_out(self) -> list[Entry]:
        """All entries, which are kept no more."""
        with self.lock:
            taken = list(self.entries.values())
            self.entries.clear()
        return taken


class KeptByProcess(Generic[Entry]):
    """What each process keeps for itself: a child after a fork begins with nothing. May be used by any thread.

    ``end`` is called with each entry of a process that ends.
    """

    def __init__(self, end: Callable[[Entry], None]) -> None:
        # By process. What belongs to a child's parent is neither used nor ended there: its threads are not in the
        # child, and the child's close would end its connections. Python's hooks would miss uWSGI's forks.
        self._owns: dict[int, Own[Entry]] = {}
        self._end = end
        atexit.register(self.close)

    @property
    def own(self) -> Own[Entry]:
        """What this process keeps."""
        process = os.getpid()
        # setdefault is atomic, and no lock of the parent's may be waited for.
        return self._owns.get(process) or self._owns.setdefault(process, Own())

    def close(self) -> None:
        """End all that this process keeps."""
        for entry in self.own.take_out():
            self._end(entry)
