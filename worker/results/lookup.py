"""Everything about one person among results."""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.model.names import canonical
from worker.model.result import check_result
from worker.results.source import ResultSource
from worker.results.wanted import Wanted, customer_texts

MOST_IDS = 20
"""Ids of customers that are looked for in turn. An address that a whole team uses could name any number."""


@dataclass(frozen=True)
class Found:
    """What a lookup came to."""

    results: list[Mapping[str, Any]]
    """The newest, the oldest of them first."""

    total: int
    """How many match in all."""

    every_id: bool
    """Whether every id of the customers was followed; otherwise there may be more of them than is counted."""


_Timed = tuple[datetime, int, Mapping[str, Any]]


def look_up(
    source: ResultSource, wanted: Wanted, *, campaign: str | None = None, shop: str | None = None, limit: int
) -> Found:
    """The newest results that match.

    What names a customer, by an id, a job id or a link, also finds what another campaign knows by the customer's other
    ids in the same shop. ``limit`` bounds what is kept in memory; ``campaign`` and ``shop`` narrow what is returned.
    Blocks while the source is read, at most twice.

    Raises:
      ReferralError: the results can't be read.
    """
    found = _Newest(limit, campaign, shop)
    of_customers: set[tuple[str, str]] = set()
    every_id = True
    for result in source.find(wanted):
        found.add(result)
        if wanted.names_customer_of(result):
            ids = of_customers | _ids(result)
            if len(ids) <= MOST_IDS:
                of_customers = ids
            else:
                every_id = False
    further = {text for _, text in of_customers}
    if further - set(wanted.texts):
        found = _Newest(limit, campaign, shop)
        for result in source.find(Wanted((*wanted.texts, *sorted(further)))):
            if wanted.matches(result) or not of_customers.isdisjoint(_ids(result)):
                found.add(result)
    return Found(found.in_order(), found.total, every_id)


def _ids(result: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(result["shop"], text) for text in customer_texts(result)}


class _Newest:
    """The newest of the results that were added, and the number of all."""

    def __init__(self, most: int, campaign: str | None, shop: str | None) -> None:
        self._most = most
        self._campaign = canonical(campaign)
        self._shop = shop
        self._kept: list[_Timed] = []
        self.total = 0

    def add(self, result: Mapping[str, Any]) -> None:
        if self._campaign not in (None, canonical(result["campaign"])) or self._shop not in (None, result["shop"]):
            return
        self.total += 1
        # The number parts results of one instant: mappings can't be compared.
        timed = (check_result(result).finished_at, self.total, result)
        if len(self._kept) < self._most:
            heapq.heappush(self._kept, timed)
        else:
            heapq.heappushpop(self._kept, timed)

    def in_order(self) -> list[Mapping[str, Any]]:
        return [result for _, _, result in sorted(self._kept, key=lambda timed: timed[:2])]
