"""Finds out why the rows of an export hardly find a result, although there are results. Pure."""

from collections import Counter
from collections.abc import Mapping

from worker.campaigns.rows import DraftJob
from worker.errors import InputError
from worker.merging.returned import ReturnedResults
from worker.text import quoting

_LEAST_SHARE = 20
"""If fewer than one in so many jobs that could have a result has one, the rows are read otherwise than when they were
sent. With one option wrong it is none at all, but for rows that don't need it."""

_DISTINCT = 20


class Mismatch:
    """What the jobs of the rows are like, beside what those of the results are like."""

    def __init__(self) -> None:
        self.jobs = 0
        self.found = 0
        self._shops: Counter[str] = Counter()
        self._channels: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()

    def add(self, draft: DraftJob, *, found: bool) -> None:
        """Add the job of a row."""
        self.jobs += 1
        self.found += found
        # Rows of a campaign are alike, so the first ones tell.
        if self.jobs <= 1000:
            for counts, value in ((self._shops, draft.shop), (self._channels, draft.channel)):
                if value in counts or len(counts) < _DISTINCT:
                    counts[value] += 1
            named = {"bhid": draft.bhid, "shopid": draft.shopid, "email": draft.email}
            self._ids[", ".join(name for name, value in named.items() if value)] += 1

    def refuse(self, results: ReturnedResults) -> None:
        """Check that enough rows have found a result.

        Raises:
          InputError: hardly any has; it says what differs.
        """
        if not self.jobs or self.found * _LEAST_SHARE >= min(self.jobs, results.jobs):
            return
        differences = [
            f"the results {verb} {_named(of_results)}, the rows {_named(of_rows)}"
            for verb, of_results, of_rows in (
                ("are of the shop", results.shops, self._shops),
                ("are of the channel", results.channels, self._channels),
                ("name customers by", results.ids, self._ids),
            )
            if of_results.keys().isdisjoint(of_rows)
        ]
        raise InputError(
            f"{self.found:,} of {self.jobs:,} jobs find one of the {results.jobs:,} results of campaign "
            f"{_named(results.campaigns)}, so nothing was written: the rows are read otherwise than when they were "
            f"sent. {'; '.join(differences) or 'Shop, channel and kinds of ids agree: is it another export?'} "
            "(give the same export, --shop, --channel, --map and --campaign as then)"
        )


def _named(counts: Mapping[str, int]) -> str:
    names = sorted(counts, key=lambda name: -counts[name])[:3]
    return " or ".join(quoting.word(name) if " " not in name and "," not in name else name for name in names) or "none"
