"""What the commands share that stop and repair: the store that the workers share."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from worker.cli import console
from worker.clock import SystemClock
from worker.errors import ConfigurationError, StoreError, UsageError
from worker.model.controls import Controls
from worker.settings import Settings
from worker.shops.config import ListedShop
from worker.shops.file import ReadableShops
from worker.store.factory import build_store
from worker.store.protocol import Store

LONGEST_REASON = 200

LISTED = 10
"""Names that one line tells; there may be thousands."""

ASKED_AT_ONCE = 32
"""Questions about shops that wait for the store together, which then come to it in few round trips."""

S = TypeVar("S", bound=ListedShop)
T = TypeVar("T")


def reason_of(text: str) -> str:
    """What --reason says.

    Raises:
      UsageError: it is no line, or too long a one.
    """
    if not text.strip() or len(text) > LONGEST_REASON or not text.isprintable():
        raise UsageError(f"--reason: must be one line of 1 to {LONGEST_REASON} characters")
    return text.strip()


def shop_of(name: str, shops: Mapping[str, S], loaded: Settings) -> S:
    """The shop of that name.

    Raises:
      ConfigurationError: the shops file has none.
    """
    if name not in shops:
        raise no_such_shop(name, shops, loaded)
    return shops[name]


def check_shop(name: str, shops: ReadableShops, loaded: Settings) -> None:
    """See that there is a shop of that name, for an order that goes to workers and needs nothing of the file but that.

    A file that can't be used is told, and keeps nobody from stopping a shop.

    Raises:
      ConfigurationError: the shops file has none.
    """
    if name in shops:
        return
    if not shops.problems:
        raise no_such_shop(name, shops.shops, loaded)
    console.say(f"could not check whether there is a shop {name}: {shops.problems[0]}")


def ask_each(ask: Callable[[str], T], shops: Iterable[str]) -> list[T]:
    """What the store answers for each shop, in their order; raises what ``ask`` does."""
    with ThreadPoolExecutor(ASKED_AT_ONCE) as asking:
        return list(asking.map(ask, shops))


def no_such_shop(name: str, shops: Iterable[str], loaded: Settings) -> ConfigurationError:
    """That the shops file has none of that name, with the one that may be meant."""
    known = sorted(shops)
    close = difflib.get_close_matches(name, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"it has {some_of(known)}"
    return ConfigurationError(f"{loaded.shops}: has no shop {name!r}; {remedy}")


def some_of(names: Sequence[str]) -> str:
    """Names for a line; of many the first."""
    more = len(names) - LISTED
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:LISTED])} and {more:,} more"


def known_controls(loaded: Settings) -> Controls | None:
    """What is paused and cancelled; None where workers share no store, or where it is out of reach, which is said."""
    if loaded.redis_url is None:
        return None
    with _store(loaded) as store:
        try:
            return store.controls()
        except StoreError as error:
            console.say(f"could not check whether a campaign is cancelled: {error}")
            return None


def say_uncounted(problem: StoreError | None) -> None:
    """Say that what was done could not be counted under its campaigns, if so; nothing fails for it."""
    if problem is not None:
        console.say(f"this could not be counted in the store, so `referrals status` won't add up: {problem}")


@contextmanager
def _store(loaded: Settings) -> Iterator[Store]:
    store = build_store(loaded, SystemClock())
    try:
        yield store
    finally:
        store.close()


@contextmanager
def shared_store(loaded: Settings, command: str) -> Iterator[Store]:
    """The store that the workers share.

    Raises:
      ConfigurationError: they share none.
    """
    if loaded.redis_url is None:
        raise ConfigurationError(
            f"{command} reaches the workers through the store that they share: set REFERRALS_REDIS_URL to theirs "
            "(a single worker without a store keeps everything in its memory; stop that worker instead)"
        )
    with _store(loaded) as store:
        yield store
