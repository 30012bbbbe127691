"""From exports to jobs: reads, validates, deduplicates and interleaves the rows, as the commands use it."""

from collections import Counter
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from worker.campaigns.consent import Consent
from worker.campaigns.containers.base import ExportFile
from worker.campaigns.containers.unchanged import FileStates
from worker.campaigns.dedup import JobIndex
from worker.campaigns.exports.base import Export, Values
from worker.campaigns.interleave import WINDOW, interleave
from worker.campaigns.judging import Judge, Judged, veto
from worker.campaigns.opening import open_exports
from worker.campaigns.options import ImportOptions
from worker.campaigns.presets.suppression import Suppressed, read_lists
from worker.campaigns.reject_files import RejectedRows
from worker.campaigns.reject_reasons import RejectReason
from worker.campaigns.rows import DraftJob, RowRules
from worker.campaigns.warnings import ImportWarnings
from worker.errors import InputError
from worker.model.job import Job


class Reject(NamedTuple):
    """A row that became no job; ``values`` is None if it is in pieces. ``row`` is the line in a spreadsheet."""

    export: str
    line: int
    row: int
    reason: str
    values: Values | None


class Importer:
    """The jobs of some exports, interleaved and without duplicates. To be iterated once.

    Iterating it reads the exports, up to ``ahead`` jobs before they are due, and writes the rejected rows. The counts
    are those of the rows read so far: ``rows`` is ``accepted + finished + rejected``. ``index`` has the jobs that were
    already met. ``published_at`` is put on each job (None: who publishes it dates it). ``allowed_shops`` are the slugs
    that rows may name (None: any). A row that names another shop is rejected; it doesn't end the campaign.
    ``on_reject`` is called with each row that became no job. Without ``keep_rejects`` no file is written.
    """

    def __init__(
        self,
        exports: Sequence[ExportFile],
        options: ImportOptions,
        *,
        index: JobIndex,
        published_at: datetime | None,
        allowed_shops: Container[str] | None,
        on_reject: Callable[[Reject], None] | None = None,
        keep_rejects: bool = True,
        ahead: int = WINDOW,
    ) -> None:
        self.rows = 0
        """Rows read, without blank ones."""
        self.accepted = 0
        """Rows that became a job."""
        self.finished = 0
        """Rows whose job was done in an earlier run."""
        self.rejected: Counter[str] = Counter()
        """Rows that became no job, by reason."""
        self.reject_files: list[Path] = []
        """The files that hold the rejected rows."""
        self.rows_of: list[int] = [0] * len(exports)
        """Rows read of each export; those of a suppression list, which become no jobs, are in no other count."""
        self.suppressed = 0
        """Addresses of the suppression lists."""
        self._files = tuple(exports)
        self._options = options
        self._index = index
        self._published_at = published_at
        self._warnings = ImportWarnings()
        self._consent = Consent(options.consent)
        self._rules = RowRules(options, allowed_shops, self._warnings, self._consent)
        self._on_reject = on_reject
        self._keep_rejects = keep_rejects
        self._ahead = ahead
        self._exports: tuple[Export, ...] | None = None
        self._states = FileStates(())
        self._suppressed: Suppressed | None = None
        self._iterated = False
        self._stopped = False

    @property
    def warnings(self) -> Sequence[str]:
        """One line for each problem that doesn't stop the import. More may come while rows are read."""
        return tuple(self._warnings.texts)

    @property
    def untold(self) -> Sequence[str]:
        """The names of the exports that don't tell consent although their tool does, and are read nevertheless."""
        return [export.file.name for export in self._opened() if export.recognised.untold]

    @property
    def exports(self) -> Sequence[Export]:
        """The exports; raises as :meth:`check`."""
        return self._opened()

    def check(self) -> None:
        """Open each export and match its header. Reads only the first rows and writes nothing.

        Raises:
          UsageError: an option or a header can't be used.
          InputError: a file can't be read.
        """
        self._opened()

    def refuse_changed(self) -> None:
        """Check that the exports are still the files that :meth:`check` opened, for whoever reads them a second time.

        Raises:
          InputError: one was changed since.
        """
        changed = self._states.changed()
        if changed is not None:
            raise InputError(f"{changed}: changed while it was read, and nothing was written; run this command again")

    def count(self) -> int:
        """How many jobs the exports can make at most: their rows with consent, before any other rule.

        Reads all exports, so it may take seconds.

        Raises:
          UsageError: as :meth:`check`, or no row has the consent that the options ask for.
          InputError: as :meth:`check`.
        """
        limit = self._options.limit
        consent = Consent(self._options.consent)
        total = 0
        # Consent alone is cheap to check. The other rules would make the count exact and take as long as the import.
        exports = self._opened()
        suppressed = self._suppression(exports)
        for export in exports:
            if export.recognised.suppresses:
                continue
            for record in export.records():
                if limit is not None and total >= limit:
                    return total
                values = record.values
                if values is not None and veto(export, values, suppressed) is None:
                    total += consent.given(values.consent)
            consent.end_export(export.file.name, ImportWarnings())
        consent.end()
        return total

    def stop(self) -> None:
        """Stop reading. Jobs that were already read are still yielded. May be called from any thread."""
        self._stopped = True

    def __iter__(self) -> Generator[Job, None, None]:
        """The jobs. If it isn't iterated to its end, it must be closed: then the last rejected rows are written.

        Raises:
          UsageError: as :meth:`check`; or, at the end, no row had the consent that the options ask for.
          InputError: a file can't be read or written; the jobs before are not affected.
        """
        for packed in interleave(((draft.who(), draft.packed()) for draft in self.drafts()), self._ahead):
            yield self._rules.job(DraftJob.unpacked(packed), self._published_at)

    def drafts(self) -> Generator[DraftJob, None, None]:
        """The jobs as drafts, in the order of the rows, in place of iterating the importer; for counting them.

        Raises:
          UsageError, InputError: as iterating it.
        """
        exports = self._opened()
        suppressed = self._suppression(exports)
        rejected = RejectedRows(exports, self._options.rejects) if self._keep_rejects else None
        if rejected is not None:
            self.reject_files = rejected.paths
        try:
            for export, record, draft, verdict in self._rows(exports, suppressed):
                if draft is not None and verdict == "new":
                    yield draft
                elif verdict != "new" and verdict != "finished":
                    path = rejected.add(export, record, verdict) if rejected is not None else None
                    if verdict == "doubtful_row":
                        self._warn_of_doubt(export.file.name, record.line, path)
        finally:
            if rejected is not None:
                rejected.close()

    def rows_judged(self) -> Generator[Judged, None, None]:
        """Every row with what becomes of it, in place of iterating the importer; no file of rejected rows is written.

        Raises:
          UsageError, InputError: as iterating it.
        """
        exports = self._opened()
        yield from self._rows(exports, self._suppression(exports))

    def _rows(self, exports: Sequence[Export], suppressed: Suppressed) -> Generator[Judged, None, None]:
        if self._iterated:
            raise RuntimeError("an Importer is iterated once")
        self._iterated = True
        judge = Judge(self._rules, suppressed, self._index)
        for index, export in enumerate(exports):
            if export.recognised.suppresses:
                continue
            before = self.rows
            yield from self._rows_of(export, judge)
            self.rows_of[index] = self.rows - before
            if self.rows == before and not self._is_full() and not self._stopped:
                self._warnings.once(f"no rows {export.file.name}", f"{export.file.name}: has no rows")
        # After a stop the rows with consent may be among those that were not read.
        if not self._stopped:
            self._consent.end()

    def _is_full(self) -> bool:
        return self._options.limit is not None and self.accepted >= self._options.limit

    def _rows_of(self, export: Export, judge: Judge) -> Iterator[Judged]:
        if self._is_full():
            return
        for record in export.records():
            if self._stopped:
                return
            self.rows += 1
            judged = judge.judge(export, record)
            verdict = judged.verdict
            if verdict == "new":
                self.accepted += 1
                yield judged
                if self._is_full():
                    return
                continue
            # Not rejected: the same command run again after an interruption must not list all its done rows.
            if verdict == "finished":
                self.finished += 1
            else:
                self._count_reject(judged, verdict)
            yield judged
        self._consent.end_export(export.file.name, self._warnings)

    def _count_reject(self, judged: Judged, reason: RejectReason) -> None:
        export, record, _, _ = judged
        self.rejected[reason] += 1
        if reason == "no_consent" and record.values is not None:
            self._note_unknown(export, record.values)
        if self._on_reject is not None:
            self._on_reject(Reject(export.file.name, record.line, export.row_of(record.line), reason, record.values))

    def _opened(self) -> Sequence[Export]:
        if self._exports is None:
            self._states = FileStates(self._files)
            exports = open_exports(self._files, self._options, self._warnings, writes_rejects=self._keep_rejects)
            # With the headers matched, and before any job is made: one bad column would concern every row.
            for export in exports:
                if not export.recognised.suppresses:
                    self._rules.channels.check(export)
            self._exports = exports
        return self._exports

    def _warn_of_doubt(self, name: str, line: int, rejects: Path | None) -> None:
        self._warnings.once(
            f"doubtful {name}",
            f"{name}: rows are left out as doubtful_row, because they stand beside pieces of a torn "
            f"row (first in line {line}); check them in {rejects or 'the file that --rejects names'}, delete the "
            "reason of those that are whole, and run that file",
        )

    def _note_unknown(self, export: Export, values: Values) -> None:
        # The text is a template, and a file may be called anything.
        name = export.file.name.replace("{", "{{").replace("}", "}}")
        for column, value in export.recognised.unknown(values.consent, values.channel):
            self._warnings.value(
                f"{column} of {export.file.name}",
                value,
                f"{name}: rows with the {column} {{}} are left out, since {export.preset} is not known to "
                "mean consent by it",
            )

    def _suppression(self, exports: Sequence[Export]) -> Suppressed:
        """Whom no export may write to. Reads the exports that say so whole, once."""
        if self._suppressed is None:
            self._suppressed, rows = read_lists(exports)
            for index, number in rows.items():
                self.rows_of[index] = number
            self.suppressed = rows.total()
        return self._suppressed
