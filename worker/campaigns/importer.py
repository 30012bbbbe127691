"""From exports to jobs: the whole way, as the commands use it."""

from collections import Counter
from collections.abc import Container, Generator, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from worker.campaigns.channels import check_default
from worker.campaigns.columns import ColumnMatcher
from worker.campaigns.consent import Consent
from worker.campaigns.dedup import JobIndex
from worker.campaigns.exports.base import Export
from worker.campaigns.exports.detect import open_export
from worker.campaigns.exports.encodings import parse_encoding
from worker.campaigns.exports.text import Source
from worker.campaigns.interleave import interleave
from worker.campaigns.options import ImportOptions
from worker.campaigns.rejects_file import RejectsFile
from worker.campaigns.rows import DraftJob, RowRules
from worker.campaigns.warnings import ImportWarnings
from worker.errors import UsageError
from worker.model.job import Job


class Importer:
    """The jobs of some exports, spread and without duplicates; iterate it once.

    Reads as it is iterated, up to a window of 50,000 jobs ahead, and writes the rejected rows on the way; the counts
    below tell of the rows read so far, so ``rows`` is ``accepted + finished + rejected``. ``published_at`` is put on
    each job. ``allowed_shops`` are the slugs that rows may name (None: any); a row that names another is rejected,
    for one bad row doesn't end a campaign.
    """

    def __init__(
        self,
        exports: Sequence[Path],
        options: ImportOptions,
        *,
        index: JobIndex,
        published_at: datetime | None,
        allowed_shops: Container[str] | None,
    ) -> None:
        self.rows = 0
        """Rows read, blank ones left out."""
        self.accepted = 0
        """Rows that became a job."""
        self.finished = 0
        """Rows whose job an earlier run finished."""
        self.rejected: Counter[str] = Counter()
        """Rows that became no job, by reason."""
        self.reject_files: list[Path] = []
        """The files that hold them, as far as there are any."""
        self._paths = tuple(exports)
        self._options = options
        self._index = index
        self._published_at = published_at
        self._warnings = ImportWarnings()
        self._consent = Consent(options.consent)
        self._rules = RowRules(options, allowed_shops, self._warnings, self._consent)
        self._exports: tuple[Export, ...] | None = None
        self._iterated = False
        self._stopped = False

    @property
    def warnings(self) -> Sequence[str]:
        """One line for each thing that a person should know and that stops nothing; grows while rows are read."""
        return tuple(self._warnings.texts)

    def check(self) -> None:
        """Open each export and understand its header, without reading it through and without writing anything.

        Raises:
          UsageError: an option or a header that can't be meant.
          InputError: a file that can't be read.
        """
        self._opened()

    def count(self) -> int:
        """How many jobs the exports hold at most: their rows with consent, before any other rule. Reads them through.

        Raises:
          UsageError: as :meth:`check`, or no row consents as the options say.
          InputError: as :meth:`check`.
        """
        limit = self._options.limit
        consent = Consent(self._options.consent)
        total = 0
        for export in self._opened():
            for record in export.records():
                if limit is not None and total >= limit:
                    return total
                total += record.values is not None and consent.given(record.values.consent)
            consent.end_export(export.path, ImportWarnings())
        consent.end()
        return total

    def stop(self) -> None:
        """Read no further row. What was read still comes. May be called from any thread."""
        self._stopped = True

    def __iter__(self) -> Generator[Job, None, None]:
        """The jobs. Close it where it isn't iterated to its end: the rejected rows are written then.

        Raises:
          UsageError: as :meth:`check`; or at the end, when no row consented as the options say and no job was made.
          InputError: a file can't be read or written; what came before is not affected.
        """
        if self._iterated:
            raise RuntimeError("an Importer is iterated once")
        self._iterated = True
        exports = self._opened()
        for draft in interleave(self._drafts(exports), who=DraftJob.who):
            yield self._rules.job(draft, self._published_at)

    def _drafts(self, exports: Sequence[Export]) -> Iterator[DraftJob]:
        files = self._reject_files(exports)
        try:
            for export, (file, place) in zip(exports, files, strict=True):
                before = self.rows
                yield from self._drafts_of(export, file, place)
                file.flush()
                if self.rows == before and not self._is_full() and not self._stopped:
                    self._warnings.once(f"no rows {export.path}", f"{export.path}: has no rows")
            if not self._stopped:
                self._consent.end()
        finally:
            for file in {id(file): file for file, _ in files}.values():
                file.close()

    def _is_full(self) -> bool:
        return self._options.limit is not None and self.accepted >= self._options.limit

    def _drafts_of(self, export: Export, file: RejectsFile, place: int) -> Iterator[DraftJob]:
        if self._is_full():
            return
        for line, values, cells, flaw in export.records():
            if self._stopped:
                return
            self.rows += 1
            judged = flaw if values is None else self._rules.judge(export.path, line, values)
            if isinstance(judged, DraftJob):
                sighting = self._index.check(judged.job_id)
                if sighting == "new":
                    self.accepted += 1
                    yield judged
                    if self._is_full():
                        return
                    continue
                if sighting == "finished":
                    self.finished += 1
                    continue
                judged = "duplicate_row"
            self.rejected[judged] += 1
            if judged == "doubtful_row":
                self._warnings.once(
                    f"doubtful {export.path}",
                    f"{export.path}: rows are left out as doubtful_row, because they stand beside pieces of a torn "
                    f"row (first in line {line}); check them in {file.path}, delete the reason of those that are "
                    "whole, and run that file",
                )
            file.add(place, line, judged, cells, apart=values is not None)
            if file.path not in self.reject_files:
                self.reject_files.append(file.path)
        self._consent.end_export(export.path, self._warnings)

    def _opened(self) -> Sequence[Export]:
        if self._exports is None:
            options = self._options
            options.check()
            if options.channel is not None:
                check_default(options.channel)
            self._refuse_overwriting()
            matcher = ColumnMatcher(
                options.mapping,
                [condition.column for condition in options.consent],
                has_shop=options.shop is not None,
                has_channel=options.channel is not None,
            )
            encoding = parse_encoding(options.encoding) if options.encoding is not None else None
            exports = tuple(open_export(Source(path, encoding, self._warnings), matcher) for path in self._paths)
            for export in exports:
                self._rules.channels.check(export)
            self._exports = exports
        return self._exports

    def _refuse_overwriting(self) -> None:
        exports = {path.resolve() for path in self._paths}
        for path in self._paths:
            if self._rejects_of(path).resolve() in exports:
                raise UsageError(
                    f"{self._rejects_of(path)}: is an export of this run; name another file with --rejects"
                )

    def _rejects_of(self, export: Path) -> Path:
        # Of a path without a name there is none; opening it says what is wrong with it.
        return self._options.rejects or export.parent / f"{export.name}.rejects.csv"

    def _reject_files(self, exports: Sequence[Export]) -> list[tuple[RejectsFile, int]]:
        # Exports that share a file (an explicit one, or one export given twice) share its columns.
        shared: dict[Path, list[Export]] = {}
        for export in exports:
            shared.setdefault(self._rejects_of(export.path), []).append(export)
        files = {path: RejectsFile(path, [one.columns for one in sharing]) for path, sharing in shared.items()}
        taken: Counter[Path] = Counter()
        result = []
        for export in exports:
            path = self._rejects_of(export.path)
            result.append((files[path], taken[path]))
            taken[path] += 1
        return result
