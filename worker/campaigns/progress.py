"""The progress of a campaign at a shop, and whether all its jobs are accounted for. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.instants import DAY, SECOND
from worker.limits.token_bucket import ShopLimits, next_reset
from worker.model.outcomes import OUTCOMES
from worker.store.shop_state import ShopState

_REJECTED = "rejected:"


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of a campaign's jobs at one shop.

    ``duplicates`` are messages of jobs that were already answered. ``dead`` are messages that were counted when they
    went into the dead queue or left it, and ``removed`` those that a person took out of it.
    """

    campaign: str
    shop: str
    published: int
    duplicates: int
    dead: int
    removed: int
    outcomes: Mapping[str, int]
    rejected: Mapping[str, int]

    @classmethod
    def of(cls, campaign: str, shop: str, counters: Mapping[str, int]) -> "Progress":
        """The progress by the store's counters, whose keys are outcomes, ``rejected:<code>`` and some more."""
        rejected = {key.removeprefix(_REJECTED): n for key, n in counters.items() if key.startswith(_REJECTED)}
        outcomes: dict[str, int] = {outcome: counters.get(outcome, 0) for outcome in OUTCOMES}
        outcomes["rejected"] = sum(rejected.values())
        published, duplicates, dead, removed = (
            counters.get(key, 0) for key in ("published", "duplicate", "dead", "removed")
        )
        return cls(campaign, shop, published, duplicates, dead, removed, outcomes, rejected)

    @property
    def results(self) -> int:
        """The number of final results that RabbitMQ has confirmed."""
        return sum(self.outcomes.values())

    @property
    def left(self) -> int:
        """Jobs without an end yet. Below 0 if some were published without being counted."""
        return self.published - self.duplicates - self.dead - self.results


def unaccounted(campaigns: Iterable[Progress], *, in_queues: int, dead: int) -> int:
    """By how many jobs the sum published = results + waiting + delayed + with a worker + dead is wrong.

    ``in_queues`` are the messages in the shops' queues and the delay queues, delivered to a worker or not; ``dead`` are
    those in the dead queue. Above 0, jobs are missing; below 0, there are more jobs than were counted.
    """
    # RabbitMQ dead-letters some messages itself, and these deaths are counted only when the letter is removed. But each
    # letter is in the queue or was removed, so the queue's depth and `removed` are used in place of `dead`.
    return sum(progress.left + progress.dead - progress.removed for progress in campaigns) - in_queues - dead


def seconds_to_go(jobs: int, limits: ShopLimits, state: ShopState, *, closed_until: int) -> float:
    """Seconds that so many jobs of a shop take at the rate allowed now, with waits for the next day's quota."""
    if jobs <= 0:
        return 0.0
    begin = max(state.at, closed_until)
    today = max(0, limits.shop_per_day - state.calls_today)
    if jobs <= today:
        return (begin - state.at + jobs * state.interval) / SECOND
    days, rest = divmod(jobs - today - 1, limits.shop_per_day)
    reset = next_reset(state.at, limits.resets_at)
    return (max(reset, begin) - state.at + days * DAY + (rest + 1) * state.interval) / SECOND
