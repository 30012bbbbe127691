"""The workers' shared store, as the commands use it: opened, asked about many shops, or missing."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from worker.cli import console
from worker.clock import SystemClock
from worker.errors import ConfigurationError, StoreError
from worker.model.controls import Controls
from worker.model.suppression import UNUSABLE
from worker.settings import Settings
from worker.store.factory import build_store
from worker.store.protocol import Store

LISTED = 10
"""Names in one line; there may be thousands."""

ASKED_AT_ONCE = 32
"""Threads that ask about shops at the same time. The store then answers them in few round trips."""

T = TypeVar("T")


def ask_each(ask: Callable[[str], T], shops: Iterable[str]) -> list[T]:
    """The store's answers for the shops, in their order. Blocks until all are there; raises what ``ask`` raises."""
    # The store's own thread puts requests that wait together into one pipeline: 11 µs of CPU each, singly 96.
    with ThreadPoolExecutor(ASKED_AT_ONCE) as asking:
        return list(asking.map(ask, shops))


def some_of(names: Sequence[str]) -> str:
    """The names for one line: the first :data:`LISTED`, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:LISTED])} and {more:,} more"


def known_controls(loaded: Settings) -> Controls | None:
    """What operators have paused and cancelled; None without a shared store.

    None as well if the store is out of reach; then a line says so, and the command goes on.
    """
    if loaded.redis_url is None:
        return None
    with _store(loaded) as store:
        try:
            return store.controls()
        except StoreError as error:
            console.say(f"could not check whether a campaign is cancelled: {error}")
            return None


def say_uncounted(problem: StoreError | None) -> None:
    """Print that the work could not be counted in the store, if that is so. It is no failure: the work is done."""
    if problem is not None:
        console.say(f"this could not be counted in the store, so `referrals status` won't add up: {problem}")


def closed_lines(workers: Mapping[str, str]) -> list[str]:
    """A line on the worker processes that call nobody, for each reason, with what to do.

    ``workers`` are those of :meth:`worker.store.protocol.ShopStateStore.closed_workers`.
    """
    by_reason: dict[str, list[str]] = {}
    for worker, reason in sorted(workers.items()):
        by_reason.setdefault(reason, []).append(worker.rpartition(":")[0])
    return [
        f"{len(hosts):,} worker {'process calls' if len(hosts) == 1 else 'processes call'} nobody, on "
        f"{some_of(list(dict.fromkeys(hosts)))}: {UNUSABLE.get(reason, reason)}"
        for reason, hosts in by_reason.items()
    ]


def say_closed_workers(loaded: Settings) -> None:
    """Print :func:`closed_lines`, where there is a shared store that answers."""
    if loaded.redis_url is None:
        return
    with _store(loaded) as store, suppress(StoreError):
        for line in closed_lines(store.closed_workers()):
            console.say(line)


@contextmanager
def _store(loaded: Settings) -> Iterator[Store]:
    store = build_store(loaded, SystemClock())
    try:
        yield store
    finally:
        store.close()


@contextmanager
def shared_store(loaded: Settings, command: str) -> Iterator[Store]:
    """The store that the workers share, closed at the end of the ``with``. ``command`` is named in the error.

    Raises:
      ConfigurationError: no shared store is configured.
    """
    if loaded.redis_url is None:
        raise ConfigurationError(
            f"{command} reaches the workers through the store that they share: set REFERRALS_REDIS_URL to theirs "
            "(a single worker without a store keeps everything in its memory; stop that worker instead)"
        )
    with _store(loaded) as store:
        yield store
