"""Merges results into exports and says what came of it, for the commands that do so."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.dedup import JobIndex
from worker.campaigns.exports.delimited import DelimitedExport
from worker.campaigns.exports.jsonl import JsonExport
from worker.cli import console
from worker.cli.merge_campaign import Asked, opened_campaign
from worker.cli.opted_out import opted_out
from worker.cli.outcome_rows import MOST_CODES, by_code
from worker.cli.settings import load
from worker.merging.files import check_targets, targets
from worker.merging.merge import Merge, Merged, check_exports, merged_exports
from worker.merging.merged_rows import LEFT_OUT
from worker.merging.returned import ReturnedResults
from worker.merging.share_actions import MOST
from worker.merging.uploads.cells import ExportCells
from worker.merging.uploads.parts import refuse_existing
from worker.merging.uploads.tool import Tool
from worker.merging.writers import AsItWas
from worker.model.codes import explain
from worker.model.outcomes import Outcome
from worker.results.source import ResultSource

_AS_IT_WAS: Mapping[AsItWas, str] = {
    "open quotes": "stand within open quotes, or may be parts of one row",
    "surplus cells": "have more cells than the header, so that cells of theirs stand below appended columns",
    "unreadable": "are no object that can be read",
}


def check_merge(
    files: Sequence[ExportFile], asked: Asked, upload: tuple[Tool, str] | None, out: Path, results: Sequence[Path]
) -> None:
    """Check what can be checked before results are read or collected: they may take an hour to come.

    Raises:
      UsageError, InputError: an option or an export can't be used, whatever the results are; or a file would be lost.
    """
    if upload is not None:
        refuse_existing(out)
    else:
        read = _read(files, results)
        check_targets([] if out.is_dir() else [out], read)
        check_targets(targets(files, out), read)
    with JobIndex() as index:
        exports = merged_exports(asked.checked(files, index))
        if upload is None:
            check_exports(exports, asked.encoding)
        else:
            for export in exports:
                ExportCells(*upload, export)


def merge_into(
    files: Sequence[ExportFile], source: ResultSource, asked: Asked, out: Path, results: Sequence[Path]
) -> Merged:
    """Merge, and tell of what a person should know. ``results`` are the files of ``source``.

    Raises:
      UsageError, InputError: as :class:`Merge`; or there are no results.
    """
    with opened_campaign(files, source, asked) as (importer, returned), opted_out(load()) as known:
        merge = Merge(importer, returned, asked.encoding, known)
        for export in importer.exports:
            if export.recognised.suppresses:
                console.note(f"{export.file.name}: is a suppression list; nothing is merged into it")
        paths = targets([export.file for export in merge.exports], out)
        check_targets(paths, _read(files, results))
        merged = merge(paths)
        _tell(merge, merged, returned)
        return merged


def summary_rows(merged: Merged) -> list[tuple[str, str]]:
    """What was merged, for a person."""
    rows = []
    if merged.rehearsed:
        rows.append(("SANDBOX", f"{merged.rehearsed:,} rows: nobody was called, and their links lead nowhere"))
    # In the words of the summaries of plan and publish; in cells and in JSON it is one word.
    rows.append(("rows read", f"{merged.outcomes.total():,}"))
    named = merged.codes.most_common(MOST_CODES)
    for outcome, number in merged.outcomes.most_common():
        rows.append((f"  {outcome.replace('_', ' ')}", f"{number:,}"))
        rows += [
            (f"    {code}", f"{coded:,}{_meaning(outcome, code)}")
            for (theirs, code), coded in named
            if theirs == outcome
        ]
    rows.append(("rows with a link", f"{merged.links:,}"))
    where = str(merged.paths[0]) if len(merged.paths) == 1 else f"{merged.paths[0].parent} ({len(merged.paths)} files)"
    rows.append(("merged into", where))
    return rows


def _meaning(outcome: str, code: str) -> str:
    """What the code of a result means; a row that was left out has a reason, which says it by itself."""
    return "" if outcome == LEFT_OUT else f"  {explain(cast('Outcome', outcome), code).short}"


def summary_data(merged: Merged) -> dict[str, Any]:
    """What was merged, for another program."""
    return {
        "rows": merged.outcomes.total(),
        "outcomes": dict(merged.outcomes),
        "codes": by_code(merged.codes),
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
        console.note(f"rows that nothing is appended to, since they {_AS_IT_WAS[why]}: {number:,} (first in {first})")
    if merged.remarks.substituted:
        console.note(
            f"rows with ? in place of letters that the export's encoding doesn't have: {merged.remarks.substituted:,}"
        )
    if returned.paths.more:
        console.note(
            f"share actions have more than {MOST} different values, or names that are long or can't be seen; "
            f"{returned.paths.more:,} values have no column; the results have them all"
        )
    for export in merge.exports:
        name = export.file.name
        if isinstance(export, DelimitedExport):
            if export.dialect.headless:
                console.note(f"{name}: has no header; these columns are appended: {', '.join(merged.names)}")
        elif not isinstance(export, JsonExport):
            console.note(f"{name}: is a workbook, and is merged as CSV")


def _read(files: Sequence[ExportFile], results: Sequence[Path]) -> Sequence[Path]:
    """The files that a merge reads, none of which may be written."""
    return [*results, *(file.on_disk for file in files if file.on_disk is not None)]
