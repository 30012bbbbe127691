"""Merges results back into the exports that they came from."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worker.campaigns.exports.base import Export
from worker.campaigns.exports.delimited import DelimitedExport
from worker.campaigns.exports.encodings import parse_encoding
from worker.campaigns.exports.jsonl import JsonExport
from worker.campaigns.importer import Importer
from worker.errors import InputError
from worker.merging.appended import COLUMNS
from worker.merging.delimited_writer import DelimitedWriter
from worker.merging.files import MergedFiles, end_draft
from worker.merging.json_writer import JsonArrayWriter, JsonLinesWriter
from worker.merging.merged_rows import MergedRow, OptedOut, merged_rows, without_hope
from worker.merging.mismatch import Mismatch
from worker.merging.returned import ReturnedResults
from worker.merging.workbook_writer import WorkbookWriter
from worker.merging.writers import Remarks, Writer
from worker.private_files import open_problem


@dataclass
class Merged:
    """What was merged. ``names`` are the appended columns, ``outcomes`` counts the rows, and ``codes`` those that have
    one, by outcome and code."""

    paths: Sequence[Path]
    names: Sequence[str]
    outcomes: Counter[str] = field(default_factory=Counter)
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    links: int = 0
    rehearsed: int = 0
    remarks: Remarks = field(default_factory=Remarks)


class Merge:
    """One merge of the results of a campaign into its exports.

    ``merged`` counts while it is done. ``encoding`` is that of ``--encoding``. Without ``opted_out`` a row of a
    suppressed address that has no result is pending.
    """

    def __init__(
        self, importer: Importer, results: ReturnedResults, encoding: str | None, opted_out: OptedOut | None = None
    ) -> None:
        self._importer = importer
        self._results = results
        self._opted_out = opted_out
        self._encoding = parse_encoding(encoding) if encoding is not None else None
        self._mismatch = Mismatch()
        self.merged = Merged((), (*COLUMNS, *results.paths.names))

    @property
    def exports(self) -> Sequence[Export]:
        """The exports that are merged: all but suppression lists; raises as the importer's ``check``."""
        return merged_exports(self._importer)

    def __call__(self, paths: Sequence[Path]) -> Merged:
        """Write a merged file for each of :attr:`exports`, all of them or none. Blocks for minutes.

        Raises:
          UsageError: an export has been merged before, or as the importer says.
          InputError: hardly any row finds a result; or a file can't be read or written.
        """
        merged = self.merged
        merged.paths = paths
        writers = [_writer(export, self._encoding, merged.names, merged.remarks) for export in self.exports]
        every = merged_rows(self._importer, self._results)
        rows = self._counted(without_hope(every, self._opted_out) if self._opted_out is not None else every)
        following = next(rows, None)

        def own(export: Export) -> Iterator[MergedRow]:
            nonlocal following
            while following is not None and following.export is export:
                yield following
                following = next(rows, None)

        with MergedFiles(paths) as files:
            for export, writer, path in zip(self.exports, writers, paths, strict=True):
                try:
                    with files.draft(path) as draft:
                        writer.write(own(export), draft)
                        end_draft(draft)
                except OSError as error:
                    raise InputError(f"{open_problem(path, error)}; no merged export was written") from error
            self._mismatch.refuse(self._results)
            try:
                files.finish()
            except OSError as error:
                raise InputError(f"{open_problem(paths[0], error)}; not every merged export was written") from error
        return merged

    def _counted(self, rows: Iterator[MergedRow]) -> Iterator[MergedRow]:
        merged = self.merged
        for row in rows:
            merged.outcomes[row.outcome] += 1
            if row.code is not None:
                merged.codes[row.outcome, row.code] += 1
            if row.draft is not None and row.verdict == "new":
                self._mismatch.add(row.draft, found=row.returned is not None)
            if row.returned is not None:
                merged.links += row.returned.link is not None
                merged.rehearsed += row.returned.rehearsed
            yield row


def merged_exports(importer: Importer) -> Sequence[Export]:
    """The exports that are merged: all but suppression lists; raises as the importer's ``check``."""
    return [export for export in importer.exports if not export.recognised.suppresses]


def check_exports(exports: Sequence[Export], encoding: str | None) -> None:
    """Check that something can be merged into exports, whatever comes back; reads only their first rows.

    Raises:
      UsageError, InputError: an export has been merged before, or nothing can be put into its text.
    """
    named = parse_encoding(encoding) if encoding is not None else None
    for export in exports:
        _writer(export, named, COLUMNS, Remarks())


def _writer(export: Export, encoding: str | None, names: Sequence[str], remarks: Remarks) -> Writer:
    if isinstance(export, DelimitedExport):
        return DelimitedWriter(export, encoding, names, remarks)
    if isinstance(export, JsonExport):
        return (JsonArrayWriter if export.array else JsonLinesWriter)(export, encoding, names, remarks)
    return WorkbookWriter(export, names, remarks)
