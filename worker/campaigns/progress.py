"""The progress of a campaign at a shop, and whether all its jobs are accounted for. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.instants import DAY, SECOND
from worker.limits.token_bucket import ShopLimits, next_reset
from worker.model.outcomes import OUTCOMES
from worker.model.windows import Window
from worker.store.shop_state import ShopState

_REJECTED = "rejected:"
_SUPPRESSED = "cancelled:suppressed"

FARTHEST = 366 * DAY
"""How far ahead an end is looked for day by day."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of a campaign's jobs at one shop.

    ``duplicates`` are messages of jobs that were already answered. ``dead`` are messages that were counted when they
    went into the dead queue or left it, and ``removed`` those that a person took out of it. Of those that ended as
    cancelled, ``suppressed`` have somebody of a suppression list.
    """

    campaign: str
    shop: str
    published: int
    duplicates: int
    dead: int
    removed: int
    outcomes: Mapping[str, int]
    rejected: Mapping[str, int]
    suppressed: int = 0

    @classmethod
    def of(cls, campaign: str, shop: str, counters: Mapping[str, int]) -> "Progress":
        """The progress by the store's counters, whose keys are those of
        :func:`worker.store.counting.counter_of` and some more.
        """
        rejected = {key.removeprefix(_REJECTED): n for key, n in counters.items() if key.startswith(_REJECTED)}
        outcomes: dict[str, int] = {outcome: counters.get(outcome, 0) for outcome in OUTCOMES}
        outcomes["rejected"] = sum(rejected.values())
        suppressed = counters.get(_SUPPRESSED, 0)
        outcomes["cancelled"] += suppressed
        published, duplicates, dead, removed = (
            counters.get(key, 0) for key in ("published", "duplicate", "dead", "removed")
        )
        return cls(campaign, shop, published, duplicates, dead, removed, outcomes, rejected, suppressed)

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


def seconds_to_go(
    jobs: int,
    limits: ShopLimits,
    state: ShopState,
    *,
    closed_until: int,
    window: Window | None = None,
    interval: int = 0,
    per_day: int = 0,
) -> float | None:
    """Seconds that so many jobs of a shop take at the rate allowed now, with waits for the next day's quota and for the
    hours of ``window``. ``interval`` and ``per_day`` are those of a campaign's pace, 0 for none.

    None: more than :data:`FARTHEST` away, or never.
    """
    if jobs <= 0:
        return 0.0
    interval = max(state.interval, interval)
    begin = max(state.at, closed_until)
    # What a pace has used of today is not known.
    today = max(0, limits.shop_per_day - state.calls_today)
    today, every_day = min(today, per_day or today), min(limits.shop_per_day, per_day or limits.shop_per_day)
    reset = next_reset(state.at, limits.resets_at)
    if window is not None:
        end = _end_within(window, jobs, interval, begin, today, every_day, reset)
        return (end - state.at) / SECOND if end is not None else None
    if jobs <= today:
        return (begin - state.at + jobs * interval) / SECOND
    days, rest = divmod(jobs - today - 1, every_day)
    return (max(reset, begin) - state.at + days * DAY + (rest + 1) * interval) / SECOND


def _end_within(
    window: Window, jobs: int, interval: int, begin: int, today: int, every_day: int, reset: int
) -> int | None:
    """When the last of the jobs is done if calls start within the window alone; each ``reset`` gives ``every_day``."""
    at, left = begin, today
    while at < begin + FARTHEST:
        if at >= reset:
            left, reset = every_day, reset + DAY
        elif not window.is_open(at):
            at = window.opens_at(at)
        else:
            until = min(window.closes_at(at), reset)
            calls = min(left, -(-(until - at) // interval))
            if jobs <= calls:
                return at + jobs * interval
            jobs, left = jobs - calls, left - calls
            at = until if left else reset
    return None
