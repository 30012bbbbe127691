"""Merges results into exports and says what came of it, for the commands that do so."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.exports.delimited import DelimitedExport
from worker.campaigns.exports.jsonl import JsonExport
from worker.campaigns.importer import Importer
from worker.cli import console, options
from worker.cli.meter import Meter
from worker.cli.settings import load
from worker.errors import ConfigurationError, InputError, UsageError
from worker.merging.files import check_targets, targets
from worker.merging.merge import Merge, Merged
from worker.merging.returned import ReturnedResults
from worker.merging.share_actions import MOST
from worker.merging.writers import AsItWas
from worker.results.source import ResultSource
from worker.shops.file import listed_shops
from worker.text import quoting

_AS_IT_WAS: Mapping[AsItWas, str] = {
    "open quotes": "stand within open quotes, or may be parts of one row",
    "surplus cells": "have more cells than the header, so that cells of theirs stand below appended columns",
    "unreadable": "are no object that can be read",
}
_CAMPAIGNS_SHOWN = 5


@dataclass(frozen=True)
class Asked:
    """The options by which the exports were read when they were sent. Without campaign, shop or channel, those of the
    results are taken, if all results agree on them."""

    campaign: str | None
    shop: str | None
    channel: str | None
    mapping: list[str] | None
    consent: list[str] | None
    preset: str | None
    ignore_consent: bool
    encoding: str | None

    def importer(self, files: Sequence[ExportFile], index: JobIndex, results: ReturnedResults) -> Importer:
        """Reads the exports as they were read then; raises as :class:`Importer`."""
        campaign = self.campaign if self.campaign is not None else next(iter(results.campaigns))
        return Importer(
            files,
            options.import_options(
                shop=self.shop,
                campaign=campaign,
                channel=self.channel,
                mapping=self.mapping,
                consent=self.consent,
                preset=self.preset,
                ignore_consent=self.ignore_consent,
                encoding=self.encoding,
                limit=None,
                rejects=None,
                expires=None,
            ),
            index=index,
            published_at=None,
            allowed_shops=_allowed(results),
            keep_rejects=False,
        )

    def completed(self, results: ReturnedResults) -> "Asked":
        """With what the results alone say; a wrong guess would find no result, and never another row's."""
        if self.campaign is None and len(results.campaigns) > 1:
            raise UsageError(f"the results are of several campaigns: {_few(list(results.campaigns))}; give --campaign")
        taken = []
        found = {"campaign": self.campaign, "shop": self.shop, "channel": self.channel}
        for name, counts in (("campaign", results.campaigns), ("shop", results.shops), ("channel", results.channels)):
            if found[name] is None and len(counts) == 1:
                (found[name],) = counts
                taken.append(f"{name} {next(iter(counts))}")
        if taken:
            console.note(f"taken from the results: {', '.join(taken)}")
        return Asked(
            found["campaign"],
            found["shop"],
            found["channel"],
            self.mapping,
            self.consent,
            self.preset,
            self.ignore_consent,
            self.encoding,
        )


def check_out(files: Sequence[ExportFile], out: Path, results: Sequence[Path]) -> None:
    """Check early that no file is lost by the merge; raises as :func:`~worker.merging.files.check_targets`."""
    read = [*results, *(file.on_disk for file in files if file.on_disk is not None)]
    check_targets([] if out.is_dir() else [out], read)
    check_targets(targets(files, out), read)


@contextmanager
def opened_campaign(
    files: Sequence[ExportFile], source: ResultSource, asked: Asked
) -> Iterator[tuple[Importer, ReturnedResults]]:
    """What reads the exports as they were read when they were sent, and what came back. Shows the notes of reading.

    Raises:
      UsageError, InputError: an export or an option can't be used; or there are no results.
    """
    with ReturnedResults() as returned, JobIndex() as index:
        with Meter(None) as meter:
            returned.take(_shown(source.results(asked.campaign), meter))
        if not returned.jobs:
            raise _no_results(source, asked.campaign)
        completed = asked.completed(returned)
        try:
            importer = completed.importer(files, index, returned)
            importer.check()
        except UsageError:
            if completed.channel == asked.channel:
                raise
            # The channel was a guess, and the export has a column that contradicts it.
            importer = Asked(**{**vars(completed), "channel": None}).importer(files, index, returned)
            importer.check()
        shown = console.warn(importer)
        yield importer, returned
        console.warn(importer, shown)


def merge_into(
    files: Sequence[ExportFile], source: ResultSource, asked: Asked, out: Path, results: Sequence[Path]
) -> Merged:
    """Merge, and tell of what a person should know. ``results`` are the files of ``source``.

    Raises:
      UsageError, InputError: as :class:`Merge`; or there are no results.
    """
    with opened_campaign(files, source, asked) as (importer, returned):
        merge = Merge(importer, returned, asked.encoding)
        for export in importer.exports:
            if export.recognised.suppresses:
                console.note(f"{export.file.name}: is a suppression list; nothing is merged into it")
        paths = targets([export.file for export in merge.exports], out)
        check_targets(paths, [*results, *(file.on_disk for file in files if file.on_disk is not None)])
        merged = merge(paths)
        _tell(merge, merged, returned)
        return merged


def summary_rows(merged: Merged) -> list[tuple[str, str]]:
    """What was merged, for a person."""
    rows = []
    if merged.rehearsed:
        rows.append(("SANDBOX", f"{merged.rehearsed:,} rows: nobody was called, and their links lead nowhere"))
    rows.append(("rows", f"{merged.outcomes.total():,}"))
    rows += [(f"  {outcome}", f"{number:,}") for outcome, number in merged.outcomes.most_common()]
    rows += [(f"    {code}", f"{number:,}") for code, number in merged.codes.most_common(20)]
    rows.append(("rows with a link", f"{merged.links:,}"))
    where = str(merged.paths[0]) if len(merged.paths) == 1 else f"{merged.paths[0].parent} ({len(merged.paths)} files)"
    rows.append(("merged into", where))
    return rows


def summary_data(merged: Merged) -> dict[str, Any]:
    """What was merged, for another program."""
    return {
        "rows": merged.outcomes.total(),
        "outcomes": dict(merged.outcomes),
        "codes": dict(merged.codes),
        "links": merged.links,
        "sandbox": merged.rehearsed,
        "columns": list(merged.names),
        "left_as_they_are": dict(merged.remarks.as_it_was),
        "substituted": merged.remarks.substituted,
        "merged": [str(path) for path in merged.paths],
    }


def _tell(merge: Merge, merged: Merged, returned: ReturnedResults) -> None:
    for why, number in merged.remarks.as_it_was.items():
        first = merged.remarks.first[why]
        console.note(f"nothing is appended to {number:,} rows that {_AS_IT_WAS[why]} (first in {first})")
    if merged.remarks.substituted:
        console.note(
            f"{merged.remarks.substituted:,} rows have ? in place of letters that the export's encoding doesn't have"
        )
    if returned.paths.more:
        console.note(
            f"share actions have more than {MOST} different values, or long names; {returned.paths.more:,} values have "
            "no column; the results file has them all"
        )
    for export in merge.exports:
        name = export.file.name
        if isinstance(export, DelimitedExport):
            if export.dialect.headless:
                console.note(f"{name}: has no header; these columns are appended: {', '.join(merged.names)}")
        elif not isinstance(export, JsonExport):
            console.note(f"{name}: is a workbook, and is merged as CSV")


def _shown(results: Any, meter: Meter) -> Any:
    for number, result in enumerate(results, start=1):
        if number % 1000 == 0:
            meter.show(number, 0.0, {})
        yield result


def _no_results(source: ResultSource, campaign: str | None) -> InputError:
    """Why there is nothing to merge; reads the results once more."""
    campaigns: dict[str, None] = {}
    for result in source.results():
        campaigns[result["campaign"]] = None
        if len(campaigns) > _CAMPAIGNS_SHOWN:
            break
    if not campaigns:
        return InputError("there are no results yet, so nothing was written")
    return InputError(
        f"there is no result of campaign {campaign}, so nothing was written; the results are of {_few(list(campaigns))}"
    )


def _few(names: Sequence[str]) -> str:
    more = " and more" if len(names) > _CAMPAIGNS_SHOWN else ""
    return f"{', '.join(map(quoting.word, names[:_CAMPAIGNS_SHOWN]))}{more}"


def _allowed(results: ReturnedResults) -> frozenset[str] | None:
    """The shops that rows may name, as it was when they were sent; None for any, if that isn't known any more."""
    shops = load().shops
    if not shops.exists() or len(results.shops) > 1:
        return None
    try:
        return frozenset(listed_shops(shops)) | frozenset(results.shops)
    except ConfigurationError:
        return None
