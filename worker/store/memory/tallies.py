"""Counters of a shop's campaigns, of which only so many have a name of their own: as lua/tallies.lua does it."""

from collections import Counter
from collections.abc import Mapping
from itertools import islice

from worker.store.counting import MOST_CAMPAIGNS, MOST_COUNTERS, OTHER_CAMPAIGNS

_LOOKED_AT = 10
"""Campaigns that are looked at for one that is over, so that a new name costs no more than that."""

Tallies = dict[str, Counter[str]]


def counts_of(tallies: Tallies, campaign: str) -> Counter[str]:
    """The counters to count a campaign's jobs in; for a new one beyond the bound another is added to the nameless."""
    counts = tallies.get(campaign)
    if counts is not None:
        return counts
    if len(tallies) >= MOST_CAMPAIGNS and not _make_room(tallies):
        campaign = OTHER_CAMPAIGNS
    return tallies.setdefault(campaign, Counter())


def left_of(counts: Mapping[str, int]) -> int:
    """How many of a campaign's jobs have no end yet; 0 or less where all have, or they were published uncounted."""
    ended = sum(number for counter, number in counts.items() if counter not in {"published", "removed"})
    return counts.get("published", 0) - ended


def _make_room(tallies: Tallies) -> bool:
    made = False
    for name in list(islice(tallies, _LOOKED_AT)):
        counts = tallies.pop(name)
        if name == OTHER_CAMPAIGNS or left_of(counts) > 0:
            # The last to be looked at again.
            tallies[name] = counts
            continue
        other = tallies.setdefault(OTHER_CAMPAIGNS, Counter())
        for counter, number in counts.items():
            kind, colon, _ = counter.partition(":")
            other[f"{kind}:other" if colon and len(other) >= MOST_COUNTERS else counter] += number
        made = True
    return made
