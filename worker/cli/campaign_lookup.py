"""The campaign that a command names, and whether the store has counted any job of it."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import TYPE_CHECKING

from worker.errors import StoreError, UsageError
from worker.model.names import canonical

if TYPE_CHECKING:
    from worker.shops.file import ReadableShops
    from worker.store.protocol import CountersStore

LONGEST_CAMPAIGN = 200


def named(campaign: str) -> str:
    """The name in the form in which jobs carry it: trimmed, and in one form of Unicode.

    Raises:
      UsageError: it can be no campaign's name.
    """
    if not 0 < len(campaign.strip()) <= LONGEST_CAMPAIGN:
        raise UsageError(f"{campaign!r}: is not a campaign's name; use 1 to {LONGEST_CAMPAIGN} characters")
    return canonical(campaign) or ""


def where(shop: str | None) -> str:
    """At which shops an order holds, in words."""
    return f"in shop {shop}" if shop else "in every shop"


def uncounted(store: CountersStore, campaign: str, shops: ReadableShops, shop: str | None) -> str | None:
    """That no job of the campaign has been counted, and which may be meant; None if one has, or any name may be right.

    Raises:
      StoreError: the store could not be asked.
      ConfigurationError: some shops can't be read from the shops file, and the campaign may be one of theirs.
    """
    from worker.cli.store import ask_each
    from worker.store.counting import OTHER_CAMPAIGNS

    asked = [shop] if shop else [*shops.shops, *shops.others]
    known = {canonical(name) or "" for tallies in ask_each(store.tallies, asked) for name in tallies}
    # A shop counts a bounded number of campaigns by name and the others together: then any name may be right.
    if campaign in known or OTHER_CAMPAIGNS in known:
        return None
    if shops.problems:
        # Shops that can't be read from the file were not asked.
        raise shops.problems[0]
    where = f"in shop {shop}" if shop else "in any shop"
    return f"no job of a campaign {campaign} has been counted {where}; {_counted(campaign, known)}"


def doubt(store: CountersStore, campaign: str, shops: ReadableShops, shop: str | None) -> str | None:
    """The same as :func:`uncounted` for an order that is given all the same; an error is a doubt too."""
    from worker.errors import ConfigurationError

    try:
        return uncounted(store, campaign, shops, shop)
    except (StoreError, ConfigurationError) as error:
        return f"could not check whether there is a campaign {campaign}: {error}"


def closest(name: str, known: Collection[str]) -> str | None:
    """Which of the names may be meant."""
    close = difflib.get_close_matches(name, known, n=1)
    return close[0] if close else None


def _counted(campaign: str, known: Collection[str]) -> str:
    from worker.cli.store import some_of

    if meant := closest(campaign, known):
        return f"did you mean {meant}?"
    return f"known campaigns: {some_of(sorted(known))}." if known else "no job of any campaign has been counted."
