"""How a shop's pace gives way to a provider that allows less than the shops file says. Pure arithmetic.

A pace is an interval between two calls, in microseconds. It grows by a factor at each refusal. Then it shrinks again:
the rate, which is its inverse, climbs by the same amount each second, up to the one that the file gives.

How far to fall is measured. At each refusal the provider's bucket is empty (or its queue of delayed calls is full), so
the calls that it took between two refusals are what it allows. Falls by fixed factors either took a dozen refusals to
arrive or went too low. A provider whose bucket holds less than what a block lets pass is measured too low, so no fall
is deeper than a fifth.

``worker/store/redis/lua/scopes.lua`` and ``slow_down.lua`` compute the same, in the same order of operations: both must
round alike, so that both stores come to the same pace.
"""

import math
from typing import NamedTuple

from worker.instants import SECOND

RECOVERY = 3600 * SECOND
"""How long the rate takes from nothing to all that the file gives. A faster climb makes the provider refuse sooner
again, and each refusal costs its `Retry-After`."""

IDLE = 10 * SECOND
"""A shop whose bucket was full for so long had nothing to do, so its calls in that time measure nothing."""

FALL = 5 / 4
"""The factor by which the interval grows, where nothing was measured yet or the measure says more. The rate loses a
fifth."""

BELOW = 51 / 50
"""The factor by which a measured interval is exceeded: the new pace is 2 % slower than what the provider took."""

SLOWEST = 100
"""The interval grows to this many times the file's at most, so that a shop whose calls are all refused is still tried
now and then."""

UNKNOWN = -1
"""In place of a count: the shop was idle, so its calls measure nothing."""


class Slowdown(NamedTuple):
    """The interval after the last fall (0: none), when that was, and how many calls were granted since; the last is
    :data:`UNKNOWN` where the shop was idle in between.
    """

    interval: int = 0
    at: int = 0
    calls: int = 0


def pace(slowdown: Slowdown, now: int, full: int) -> int:
    """The interval in force; ``full`` is the file's, and what it comes back to."""
    if not slowdown.interval:
        return full
    # A clock that steps back must not make the pace slower than it fell to.
    climbed = max(0, now - slowdown.at) / RECOVERY
    # The script computes it in this order too, so that both round alike.
    return max(full, math.ceil(slowdown.interval / (1 + slowdown.interval / full * climbed)))


def count_since(slowdown: Slowdown, at: int, full_at: int) -> Slowdown:
    """Count a call that is granted for ``at``; ``full_at`` is when the shop's bucket would be full without it."""
    if not slowdown.interval or slowdown.calls == UNKNOWN:
        return slowdown
    return slowdown._replace(calls=UNKNOWN if at > full_at + IDLE else slowdown.calls + 1)


def fall(slowdown: Slowdown, now: int, full: int) -> Slowdown:
    """The pace after a refusal at ``now``."""
    interval = pace(slowdown, now, full)
    slower = interval * FALL
    # The refused call itself was granted too, and is no measure of what the provider allows.
    if slowdown.interval and slowdown.calls > 1:
        measured = (now - slowdown.at) / (slowdown.calls - 1)
        slower = min(max(interval, measured) * BELOW, slower)
    return Slowdown(min(math.ceil(slower), full * SLOWEST), now, 0)
