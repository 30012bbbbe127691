"""Waiting for a condition with a deadline, in place of sleeping for a duration."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], T], deadline_seconds: float, what: str) -> T:
    """Call ``condition`` until it returns something truthy, and return that.

    Raises:
      TimeoutError: it did not within ``deadline_seconds``; the text names ``what`` and the last value seen.
    """
    end = time.monotonic() + deadline_seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_seconds:g} s in vain for {what}; last seen: {value!r}")
        time.sleep(_POLL_SECONDS)
    return value
