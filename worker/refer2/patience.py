"""Waits out the 429 of a read that nobody else is waiting for."""

from collections.abc import Callable

from worker.instants import SECOND
from worker.model.verdicts import Throttled

LONGEST_RETRY_AFTER_SECONDS = 600
MOST_THROTTLES = 10
"""How long, and how often, a 429 is waited for before the command ends: somebody may sit before it."""

_UNNAMED_RETRY_AFTER_SECONDS = 10
"""The pause after a 429 that names none."""


class Patience:
    """Waits for one answer. ``sleep`` waits out a 429, and ``say`` tells a person that it does."""

    def __init__(self, sleep: Callable[[float], None], say: Callable[[str], None]) -> None:
        self._sleep = sleep
        self._say = say
        self._throttles = 0

    def wait(self, throttled: Throttled, what: str) -> int | None:
        """Wait as long as the 429 asks for; ``what`` is over its limit, for a person.

        Returns the seconds instead of waiting if they are too many, or came too often.
        """
        named = throttled.retry_after
        seconds = _UNNAMED_RETRY_AFTER_SECONDS if named is None else max(1, -(-named // SECOND))
        if seconds > LONGEST_RETRY_AFTER_SECONDS or self._throttles >= MOST_THROTTLES:
            return seconds
        self._throttles += 1
        self._say(f"{what} is over its rate limit; waiting {seconds:,} s")
        self._sleep(seconds)
        return None
