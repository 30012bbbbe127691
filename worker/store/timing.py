"""How long grants, turns, leases and memories last, and the deadlines of copies that state none.

All are in microseconds.
"""

from worker.instants import DAY

GRANT_LIFETIME = 250_000
"""How long a grant may lie unused. A late start would bunch calls up against the provider's window."""

HORIZON = GRANT_LIFETIME
"""How far ahead of its instant a call may be granted where several processes share a store, so that they need not come
for every single token."""

SHORTEST_TURN = 50_000
"""The time between the turns that processes are given at a busy shop. At 50 calls a second each turn finds two or three
tokens; without turns, 50 processes asked 51 times for each call."""


def turn_of(interval: int, holds: int) -> int:
    """How long a process's turn is, until the next process's: it can take all calls that fall due meanwhile.

    ``interval`` is between the shop's calls. A turn has room for the ``holds`` jobs that the process holds, in a
    :data:`SHORTEST_TURN` at the most. Were a turn longer than a process has jobs for, the rest of it would be lost:
    with 100 shops at 160 a second and 200 processes that held five jobs of each, every shop was called at half of its
    pace.
    """
    return max(interval, min(holds * interval, SHORTEST_TURN))


FARTHEST_PLACE = 20_000_000
"""How far ahead a place in a campaign's line is given. Farther ones would be given to more jobs than processes keep in
memory: with four processes of four jobs each, a campaign at 0.2 calls a second got a tenth of that, since its places
went to jobs that had been put away meanwhile. Beyond it a job has no place, and asks again once there may be one."""

LEASE_MARGIN = 10_000_000
"""Added to the longest possible call, so that a lease never ends under a worker that is alive."""

CANCELLED_FOR = 366 * DAY
"""How long a cancelled campaign is remembered at least. Its jobs may lie in a paused shop's queue for longer than the
ledger remembers finished ones."""

BRAKE_KEPT = 30 * DAY
"""How long a campaign's brake is remembered after it was last published: a million jobs at a day's quota take ten days.
"""

CLOSURE_OUTLIVES = 300_000_000
"""How much longer than it lasts a closure is shown, unless the shop opens. At its end one request or one job at a time
finds out whether the shop may open, which takes two calls at most, of 23 s each by default. As long as the longest
pause: the closure of a worker that is gone is then shown for hardly longer than that of one that is there."""

CLOSED_WORKER_KEPT = 5_000_000
"""How long a worker process counts as one that calls nobody after it has said so, which it does once a second."""

NO_DEADLINE = (1 << 53) - 1
"""The deadline of a job that has none: after all others, and a whole number that Lua holds exactly (in 2255)."""

UNKNOWN_DEADLINE = -(1 << 62)
"""Before all others: of a copy that may not come again, so that any other copy may end the job."""
