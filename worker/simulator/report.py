"""What a simulation came to."""

from array import array
from collections import Counter
from dataclasses import dataclass, field

from worker.limits.token_bucket import ShopLimits, day_of


@dataclass(slots=True)
class ShopReport:
    """One shop. ``starts`` are the instants for which its calls were granted, ``begun`` those at which they were made,
    ``customers`` their customers.

    ``longest_wait`` is the longest time from a job's publication to its call, ``ended`` when its last job was done,
    ``late`` how many of its jobs were called after the scenario's deadline.
    ``urgent_waits`` are the times from the publication of its urgent jobs to their calls.
    ``jobs`` leaves out those that were ahead; the other figures don't. ``first_call`` does: it is the first call of one
    of the others, 0 if there was none.
    """

    jobs: int
    limits: ShopLimits
    starts: "array[int]" = field(default_factory=lambda: array("q"))
    begun: "array[int]" = field(default_factory=lambda: array("q"))
    customers: list[str] = field(default_factory=list)
    longest_wait: int = 0
    ended: int = 0
    late: int = 0
    first_call: int = 0
    urgent_waits: list[int] = field(default_factory=list)

    def ideal(self) -> int:
        """The shortest time, in microseconds, in which the shop's own limit lets all of its jobs start."""
        return max(0, self.jobs - self.limits.shop.burst) * self.limits.shop.interval

    def took(self, began: int) -> int:
        """From the beginning to its last call's start."""
        return (max(self.starts) if self.starts else began) - began

    def over(self) -> int:
        """By how many calls the worst window or day of the shop exceeds its limits; 0 where none does.

        Recomputed from the starts alone, so that it does not share an error with the buckets that it checks.
        """
        interval, burst = self.limits.shop.interval, self.limits.shop.burst
        # A bucket that calls fill and the rate drains: what is in it beyond the burst was too much.
        full_until = fullest = 0
        for start in sorted(self.starts):
            full_until = (full_until if full_until > start else start) + interval
            if full_until - start > fullest:
                fullest = full_until - start
        worst = -(-(fullest - burst * interval) // interval)
        days = Counter(day_of(start, self.limits.resets_at) for start in self.starts)
        return max(worst, *(calls - self.limits.shop_per_day for calls in days.values()), 0)


@dataclass(slots=True)
class Report:
    """A whole simulation; times in microseconds of virtual time, ``seconds`` of real time."""

    began: int
    ended: int
    shops: dict[str, ShopReport]
    calls: int
    requests: int
    round_trips: int
    deferrals: int
    returned: int
    busy: int
    seconds: float

    @property
    def admits_per_call(self) -> float:
        """Round trips to the store for each call; each may ask for several jobs of a shop."""
        return self.round_trips / max(1, self.calls)

    @property
    def used(self) -> float:
        """The shortest time that the slowest shop's limit allows, as a share of the time that it took: 1 is ideal."""
        longest = max((shop.ideal() for shop in self.shops.values()), default=0)
        took = max((shop.took(self.began) for shop in self.shops.values()), default=0)
        return longest / took if took else 1.0

    @property
    def steady(self) -> float:
        """The share of what the limits allow that all shops together got in the middle: three fifths of their time.

        Beginning and end are left out, where threads or jobs are short.
        """
        made = allowed = 0.0
        for shop in self.shops.values():
            first, last = self.began + 0.2 * shop.ideal(), self.began + 0.8 * shop.ideal()
            made += sum(first <= start < last for start in shop.starts)
            allowed += (last - first) / shop.limits.shop.interval
        return made / allowed if allowed else 1.0

    def over(self) -> int:
        """The worst excess over any shop's limits; 0 where none was exceeded."""
        return max((shop.over() for shop in self.shops.values()), default=0)
