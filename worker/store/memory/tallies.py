"""Counters of a shop's campaigns, of which only so many have a name of their own: as lua/tallies.lua does it."""

from collections import Counter
from collections.abc import Mapping
from itertools import islice

from worker.store.counting import MOST_CAMPAIGNS, MOST_COUNTERS, OTHER_CAMPAIGNS

_LOOKED_AT = 10
"""Campaigns that are looked at for one that is over, so that a new name costs no more than that."""

Tallies = dict[str, Counter[str]]
"""A shop's counters by campaign; the campaigns looked at longest ago come first."""


def counters_for(tallies: Tallies, campaign: str) -> Counter[str]:
    """The counters for a campaign's jobs; with no room for a new name, those of all nameless campaigns."""
    counters = tallies.get(campaign)
    if counters is not None:
        return counters
    if len(tallies) >= MOST_CAMPAIGNS and not make_room(tallies):
        campaign = OTHER_CAMPAIGNS
    return tallies.setdefault(campaign, Counter())


def is_over(counters: Mapping[str, int]) -> bool:
    """Whether all of a campaign's jobs have ended; also where they were published uncounted."""
    ended = sum(number for counter, number in counters.items() if counter not in {"published", "removed"})
    return counters.get("published", 0) <= ended


def make_room(tallies: Tallies) -> bool:
    """Add campaigns that are over to those that have no name of their own; says whether there was one."""
    made = False
    for name in list(islice(tallies, _LOOKED_AT)):
        counters = tallies.pop(name)
        if name == OTHER_CAMPAIGNS or not is_over(counters):
            # To the end, so that the next new name looks at others.
            tallies[name] = counters
            continue
        other = tallies.setdefault(OTHER_CAMPAIGNS, Counter())
        # Codes come from outside, so that the sum of many campaigns must be bounded too.
        for counter, number in counters.items():
            is_one_more = counter.startswith("rejected:") and len(other) >= MOST_COUNTERS
            other["rejected:other" if is_one_more else counter] += number
        made = True
    return made
