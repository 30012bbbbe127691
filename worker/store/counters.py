"""Counts what producers and repairs do to each campaign's jobs, for ``referrals status``."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from queue import SimpleQueue

from worker.clock import SystemClock
from worker.errors import StoreError
from worker.model.job import Job
from worker.settings import Settings
from worker.store.factory import build_store
from worker.store.kept_stores import KeptStores
from worker.store.protocol import CountersStore

Counts = Mapping[tuple[str, str], Mapping[str, int]]
"""By shop and campaign: how much each counter grows, by its name."""

_REPLICA = frozenset({"read_only", "primary_away"})
"""Reasons of a server that is not the primary, and so has run nothing."""


def counted(jobs: Iterable[Job], counter: str) -> Counts:
    """The growth of one counter, by one for each job."""
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for job in jobs:
        counts[job.shop, job.campaign][counter] += 1
    return counts


def tally(settings: Settings, counts: Counts, kept: KeptStores | None = None) -> StoreError | None:
    """Add to the counters in the store that workers share, if there is one. Blocks for a few time-outs at most.

    ``kept`` lends the store; without it one is opened and closed. A command does not fail because it could not count.
    If the store is out of reach, the counts are lost, and the reason is returned.
    """
    if settings.redis_url is None or not counts:
        return None
    if kept is not None:
        with kept.lend(settings) as store:
            return _added(store, counts)
    store = build_store(settings, SystemClock())
    try:
        return _added(store, counts)
    finally:
        store.close()


def _added(store: CountersStore, counts: Counts) -> StoreError | None:
    problems = _tried(store, counts)
    demoted = {key: counts[key] for key, problem in problems.items() if problem.reason in _REPLICA}
    if demoted:
        # The server behind a connection that was kept has become a replica, and has counted nothing. The next
        # connection finds the new primary.
        problems = {key: why for key, why in problems.items() if key not in demoted} | _tried(store, demoted)
    return next(iter(problems.values()), None)


def _tried(store: CountersStore, counts: Counts) -> dict[tuple[str, str], StoreError]:
    """Ask for all at once and wait for the replies: the counts that are lost, each with the reason."""
    problems: dict[tuple[str, str], StoreError] = {}
    replies: SimpleQueue[tuple[tuple[str, str], StoreError | None]] = SimpleQueue()
    for key, counters in counts.items():
        # mypy doesn't infer the type of a lambda's default.
        store.tally(*key, counters, done=lambda problem, key=key: replies.put((key, problem)))  # type: ignore[misc]
    for _ in counts:
        key, problem = replies.get()
        if problem is not None:
            problems[key] = problem
    return problems
