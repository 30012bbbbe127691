"""How a shop's pace gives way to a provider that allows less than the shops file says. Pure arithmetic.

A pace is an interval between two calls in microseconds. It grows by a factor at each refusal and shrinks again as the
rate (its inverse) climbs by the same amount each second, up to the one that the file gives: the fall finds the
provider's limit within seconds, the slow climb then touches it seldom.
"""

import math
from typing import NamedTuple

from worker.clock import SECOND

RECOVERY = 1200 * SECOND
"""How long the rate takes from nothing to the whole of what the file gives."""

SOON = 10 * SECOND
"""A refusal that comes sooner than this after the last one ended says that the pace is still far off."""

FAR_OFF = (5, 4)
NEAR = (20, 19)
"""By what the interval grows: a fifth of the rate is lost while far off, a twentieth where it was only just too fast.
With a climb of a whole rate in 20 minutes the pace then stays between 95 % and 100 % of what the provider allows."""

SLOWEST = 100
"""The interval grows to this many times the file's at most: a shop that is refused everything is tried now and then."""


class Slowdown(NamedTuple):
    """The interval after the last fall, 0 for none, and when that was."""

    interval: int = 0
    at: int = 0


def interval_of(slowdown: Slowdown, now: int, full: int) -> int:
    """The interval in force; ``full`` is the file's, and what it comes back to."""
    if not slowdown.interval:
        return full
    climbed = max(0, now - slowdown.at) / RECOVERY
    # In this order the store's Lua computes it too, so that both round alike.
    return max(full, math.ceil(slowdown.interval / (1 + slowdown.interval / full * climbed)))


def fall(slowdown: Slowdown, now: int, full: int, *, blocked_until: int) -> Slowdown:
    """The pace after a refusal at ``now``; ``blocked_until`` is when the block of the last refusal ended."""
    first = not slowdown.interval
    more, less = FAR_OFF if first or now < max(slowdown.at, blocked_until) + SOON else NEAR
    interval = math.ceil(interval_of(slowdown, now, full) * (more / less))
    return Slowdown(min(interval, full * SLOWEST), now)
