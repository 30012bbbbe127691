"""What the commands share that stop and repair: the store that the workers share."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from worker.cli import console
from worker.clock import SystemClock
from worker.controls import Controls
from worker.errors import ConfigurationError, StoreError, UsageError
from worker.settings import Settings
from worker.shops import ListedShop
from worker.store.base import Store
from worker.stores import build_store

LONGEST_REASON = 200

S = TypeVar("S", bound=ListedShop)


def reason_of(text: str) -> str:
    """What --reason says.

    Raises:
      UsageError: it is no line, or too long a one.
    """
    if not text.strip() or len(text) > LONGEST_REASON or not text.isprintable():
        raise UsageError(f"--reason: must be a line of 1 to {LONGEST_REASON} characters")
    return text.strip()


def shop_of(name: str, shops: Mapping[str, S], loaded: Settings) -> S:
    """The shop of that name.

    Raises:
      ConfigurationError: the shops file has none.
    """
    if name not in shops:
        raise ConfigurationError(f"{loaded.shops}: has no shop {name!r}; it has {', '.join(shops)}")
    return shops[name]


def known_controls(loaded: Settings) -> Controls | None:
    """What is paused and cancelled; None where workers share no store, or where it is out of reach, which is said."""
    if loaded.redis_url is None:
        return None
    with _store(loaded) as store:
        try:
            return store.controls()
        except StoreError as error:
            console.say(f"whether a campaign is cancelled can't be told: {error}")
            return None


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
            f"{command} speaks to workers through the store that they share: set REFERRALS_REDIS_URL to theirs "
            "(a single worker without one keeps everything in its memory; stop it instead)"
        )
    with _store(loaded) as store:
        yield store
