"""Counts what producers and repairs do to each campaign's jobs, for ``referrals status``."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from worker.clock import SystemClock
from worker.errors import StoreError
from worker.model.job import Job
from worker.settings import Settings
from worker.store.factory import build_store

Counts = Mapping[tuple[str, str], Mapping[str, int]]
"""By shop and campaign: how much each counter grows, by its name."""


def counted(jobs: Iterable[Job], counter: str) -> Counts:
    """The growth of one counter, by one for each job."""
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for job in jobs:
        counts[job.shop, job.campaign][counter] += 1
    return counts


def tally(settings: Settings, counts: Counts) -> StoreError | None:
    """Add to the counters in the store that workers share, if there is one. Blocks for a few time-outs at most.

    A command does not fail because it could not count. If the store is out of reach, the counts are lost, and the
    reason is returned.
    """
    if settings.redis_url is None or not counts:
        return None
    problems: list[StoreError] = []
    store = build_store(settings, SystemClock())
    for (shop, campaign), counters in counts.items():
        store.tally(shop, campaign, counters, lost=problems.append)
    # Closing sends what is waiting, and waits for the replies.
    store.close()
    return problems[0] if problems else None
