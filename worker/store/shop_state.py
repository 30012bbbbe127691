"""What workers record of a shop, and what an operator can read of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Closure:
    """Why a worker closed a shop, which code among its answers led to that, and until when no worker tries it again."""

    reason: str
    code: str
    until: int


@dataclass(frozen=True, slots=True)
class ShopState:
    """What the store knows of a shop at ``at``.

    ``interval`` is between its calls at present. ``blocked_until`` is when the provider's block ends, 0 for none.
    ``calls_today`` counts since the day's reset. ``closure`` is the last one that a worker reported, None once a worker
    has reported the shop open again. Of the calls of today ``urgent_today`` were urgent, and ``campaign_today`` of the
    campaign that was asked about; those are counted while it has a pace.
    """

    at: int
    interval: int
    blocked_until: int
    calls_today: int
    closure: Closure | None
    urgent_today: int = 0
    campaign_today: int = 0
