"""The HTTP exchange that a thread is making: its time, and how far it has come."""

import math
import threading
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Begun:
    """An exchange that was begun without urllib3, for urllib3 to end it: the bytes that came, and what went wrong.

    ``unsent`` is why the request could not be sent whole, ``unread`` why no more of the answer could be read.
    """

    connection: object
    pieces: list[bytes] = field(default_factory=list)
    unsent: OSError | None = None
    unread: OSError | None = None


class Exchange(threading.local):
    """The exchange that the current thread is making.

    It is thread-local because neither requests nor http.client can pass anything to the connection that it picks. It
    goes by real time and not by a Clock, since it bounds what the kernel does. ``sent`` becomes true once the kernel
    has taken the whole request; before that, no server can have more than a part of it.
    """

    deadline = math.inf
    read_timeout = math.inf
    longest_idle = 0.0
    sent = False
    begun: Begun | None = None

    def start(self, *, read_timeout: float, longest_idle: float, seconds: float) -> None:
        """Begin an exchange of at most ``seconds``, on a connection that was idle for less than ``longest_idle``."""
        self.sent = False
        # What another exchange left must never be taken for this one's: it would be another customer's answer.
        self.begun = None
        self.read_timeout = read_timeout
        self.longest_idle = longest_idle
        self.deadline = time.monotonic() + seconds

    def extend(self, *, seconds: float) -> None:
        """Let the exchange go on for ``seconds`` from now: a part of a long answer has come."""
        self.deadline = time.monotonic() + seconds

    def expired(self) -> bool:
        """Whether its deadline has passed."""
        return time.monotonic() >= self.deadline

    def wait(self) -> float:
        """Seconds that the next read may block.

        Raises:
          TimeoutError: the deadline has passed.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the exchange took longer than it may")
        return min(left, self.read_timeout)


exchange = Exchange()
"""Each thread sees its own."""
