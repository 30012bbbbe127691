"""Counting what producers and repairs do under their campaigns, for ``referrals status``."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from worker.clock import SystemClock
from worker.errors import StoreError
from worker.model.job import Job
from worker.settings import Settings
from worker.store.factory import build_store

Counts = Mapping[tuple[str, str], Mapping[str, int]]
"""By shop and campaign: a counter's name, and by how much it grows."""


def counted(jobs: Iterable[Job], counter: str) -> Counts:
    """One for each job."""
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for job in jobs:
        counts[job.shop, job.campaign][counter] += 1
    return counts


def tally(settings: Settings, counts: Counts) -> StoreError | None:
    """Add to the counters in the store that workers share, if there is one; blocks for some time-outs of it at most.

    Nothing fails for it: out of reach, the counts are lost, and why is returned.
    """
    if settings.redis_url is None or not counts:
        return None
    problems: list[StoreError] = []
    store = build_store(settings, SystemClock())
    for (shop, campaign), counters in counts.items():
        store.tally(shop, campaign, counters, lost=problems.append)
    # It sends what is waiting.
    store.close()
    return problems[0] if problems else None
