"""What of a shop's limits is kept for urgent jobs, and what of it bulk gets all the same. Integer microseconds, no I/O.

``worker/store/redis/lua/scopes.lua`` has the same.

- Of the shop's bucket some tokens are left alone by bulk. They come back at the shop's rate, so bulk gets the whole
  rate while nobody is urgent.
- Of the day's quota bulk leaves what urgent jobs may still need: the day's reserve less what they had, and no more than
  the part of the reserve that belongs to the rest of the day. So the reserve melts towards the reset, and what nobody
  needed is bulk's.
- While bulk waits, urgent jobs get four of five calls at the most, after a first burst.
"""

from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate

URGENT_AHEAD = 7 * SECOND // 10
"""How far ahead of its instant an urgent call may be granted where processes share a store: farther than any call of
bulk, so that an urgent job asks once and its token can't be taken by others meanwhile. With the lifetime of a grant it
makes less than the second after which nobody is called who was suppressed."""

BULK_WAITS = SECOND
"""For how long bulk counts as waiting after the instant at which a process of it was to come back."""


def of_bulk(rate: Rate, reserve: int) -> Rate:
    """The bucket as bulk sees it: without the tokens that are kept for urgent jobs."""
    return Rate(rate.interval, rate.burst - reserve) if reserve else rate


def beside_bulk(rate: Rate) -> Rate:
    """The bucket of urgent jobs while bulk waits: four fifths of the rate."""
    return Rate(rate.interval + (rate.interval + 3) // 4, rate.burst)


def kept_of_day(reserve: int, urgent_calls: int, left: int) -> int:
    """How many calls of the day are kept for urgent jobs, ``left`` microseconds before its reset."""
    # Rounded to the nearest: neither is the first one bulk's at once, nor is the last one nobody's.
    step = DAY // reserve
    return max(0, min(reserve - urgent_calls, (2 * left + step) // (2 * step)))


def bulk_opens_at(reserve: int, remaining: int, reset: int) -> int:
    """When so much of the reserve has melted that bulk may have one of the day's ``remaining`` calls."""
    return reset + 1 - ((2 * remaining - 1) * (DAY // reserve) + 1) // 2
