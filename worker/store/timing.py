"""How long grants, turns, leases and memories last, and the deadlines of copies that state none."""

from worker.instants import DAY

GRANT_LIFETIME = 250_000
"""How long a grant may lie unused. A late start would bunch calls up against the provider's window."""

HORIZON = GRANT_LIFETIME
"""How far ahead of its instant a call may be granted where several processes share a store, so that they need not come
for every single token."""

SHORTEST_TURN = 50_000
"""Microseconds between the turns that processes are given at a busy shop. At 50 calls a second each turn finds two or
three tokens; without turns, 50 processes asked 51 times for each call."""


def turn_of(interval: int, holds: int) -> int:
    """Microseconds between the turn that a process is given and the next one, so that it can take what falls due
    meanwhile: ``holds`` calls of a shop that has one every ``interval``, no more than in a :data:`SHORTEST_TURN`.

    Were a turn longer than a process has jobs for, the rest of it would be lost: with 100 shops at 160 a second and 200
    processes that held five jobs of each, every shop was called at half of its pace.
    """
    return max(interval, min(holds * interval, SHORTEST_TURN))


LEASE_MARGIN = 10_000_000
"""Added to the longest possible call, so that a lease never ends under a living worker."""

CANCELLED_FOR = 366 * DAY
"""How long a cancelled campaign is remembered at least: its jobs may lie in a paused shop's queue for longer than the
ledger remembers finished ones."""

CLOSURE_OUTLIVES = 300_000_000
"""How much longer than it lasts a closure is told of, unless the shop opens: then one question or one job at a time
finds out whether it may, which takes two calls at most, of 23 s each by default. As long as the longest pause, so that
a worker that has gone is not believed for much longer than one that is there."""

NO_DEADLINE = (1 << 53) - 1
"""The deadline of a job that has none: after all others, and a whole number that Lua holds exactly (in 2255)."""

UNKNOWN_DEADLINE = -(1 << 62)
"""Before all others: of a copy that can't be relied on to come again, so that any other may end the job."""
