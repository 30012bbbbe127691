"""What a forecast starts from: who makes the calls, and how each shop stands. Pure."""

from dataclasses import dataclass

from worker.limits.token_bucket import ShopLimits
from worker.model.campaign_orders import CampaignOrder
from worker.model.windows import both
from worker.store.shop_state import ShopState

CALL = 100_000
"""How long a call takes on average, in microseconds, if nobody says otherwise; docs/scaling.md counts with the same."""


@dataclass(frozen=True)
class Workers:
    """Processes with so many threads each. A call takes ``call`` microseconds on average."""

    processes: int = 1
    threads: int = 16
    prefetch: int = 16
    call: int = CALL


@dataclass(frozen=True)
class Hours:
    """The hours of a shop's ``jobs``, of those that keep to any: within its ``window`` and their ``own``."""

    jobs: int
    window: str | None
    own: str | None = None

    def opens_at(self, now: int) -> int:
        """When they may be called, ``now`` if at once; instants by the wall clock."""
        window = both(self.window, self.own)
        return window.opens_at(now) if window is not None else now

    def closed(self, begin: int, end: int) -> list[tuple[int, int]]:
        """When they may not be called, from ``begin`` to ``end``: the beginning and the end of each stretch."""
        window, found = both(self.window, self.own), []
        while window is not None and begin < end:
            opens_at = window.opens_at(begin)
            if opens_at > begin:
                found.append((begin, min(opens_at, end)))
            begin = window.closes_at(opens_at) if window.is_open(opens_at) else opens_at
        return found


@dataclass(frozen=True)
class Shop:
    """A shop's limits by the shops file, and how it stands now.

    ``ahead`` are the jobs that are queued before the campaign's. ``state`` is what the store knows of it, None if it
    could not be asked; a shop that Refer2 turns away counts as blocked until the next try. ``slowed`` is how far apart
    its calls are at least, in microseconds, by an operator's order, and until when. ``paused`` is an operator's reason
    for a pause, which has no known end. ``order`` is what is ordered about the campaign at the shop.
    """

    limits: ShopLimits
    max_in_flight: int = 12
    weight: int = 1
    ahead: int = 0
    state: ShopState | None = None
    slowed: tuple[int, int] | None = None
    paused: str | None = None
    order: CampaignOrder | None = None

    @property
    def calls_per_day(self) -> int:
        """How many calls of the campaign a day may have."""
        paced = self.order.per_day if self.order is not None else 0
        return min(self.limits.shop_per_day, paced or self.limits.shop_per_day)

    @property
    def left_of_pace(self) -> int:
        """How many calls the campaign's pace leaves for today."""
        paced = self.order is not None and self.order.per_day and self.state is not None
        return max(0, self.calls_per_day - (self.state.campaign_today if paced and self.state is not None else 0))
