"""Finds the shop that a command names in the shops file, and says which one may be meant if there is none."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from worker.cli import console
from worker.cli.store import some_of
from worker.errors import ConfigurationError
from worker.settings import Settings
from worker.shops.config import ListedShop
from worker.shops.file import ReadableShops

S = TypeVar("S", bound=ListedShop)


def shop_of(name: str, shops: Mapping[str, S], loaded: Settings) -> S:
    """The shop of that name.

    Raises:
      ConfigurationError: the shops file has no such shop.
    """
    if name not in shops:
        raise no_such_shop(name, shops, loaded)
    return shops[name]


def require_shop(name: str, shops: ReadableShops, loaded: Settings) -> None:
    """Check that the shop exists, for a command that needs nothing else from the shops file.

    A shops file that can't be read is reported and ignored: an operator must be able to stop a shop all the same.

    Raises:
      ConfigurationError: the shops file has no such shop.
    """
    if name in shops:
        return
    if not shops.problems:
        raise no_such_shop(name, shops.shops, loaded)
    console.say(f"could not check whether there is a shop {name}: {shops.problems[0]}")


def no_such_shop(name: str, shops: Iterable[str], loaded: Settings) -> ConfigurationError:
    """The error that the shops file has no shop of that name, with the shop that may be meant."""
    # A slip of the pen is the usual cause. Listing thousands of shops would hide it.
    known = sorted(shops)
    close = difflib.get_close_matches(name, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"it has {some_of(known)}"
    return ConfigurationError(f"{loaded.shops}: has no shop {name!r}; {remedy}")
