"""The rows of an export, each with what came back for it: what every merged file and every upload is made of."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from worker.campaigns.exports.base import Export, Record
from worker.campaigns.importer import Importer
from worker.campaigns.judging import Verdict
from worker.campaigns.rows import DraftJob
from worker.merging.returned import Returned, ReturnedResults

PENDING: Literal["pending"] = "pending"
"""The outcome of a row whose job has no result yet."""

SUPPRESSED: Literal["suppressed"] = "suppressed"
"""The outcome of such a row whose customer or destination is suppressed, so that nobody is called for it any more: no
link is to come. Its result was erased, or there was none. A job that still waits in a queue ends as ``cancelled``, and
its result then counts."""

LEFT_OUT: Literal["left_out"] = "left_out"
"""The outcome of a row that made no job, or the same one as an earlier row."""


OptedOut = Callable[[Sequence[DraftJob]], Sequence[bool]]
"""Says of each job whether one of its addresses is suppressed."""

_ASKED_AT_ONCE = 500
"""Rows that are looked up together, and so the most that are held: for each alone a million would take minutes."""

_HELD_AT_ONCE = 1 << 20
"""Characters of such rows after which no further one is held: 500 of the largest allowed would be two gigabytes."""


class MergedRow(NamedTuple):
    """A row as the export has it, and what came back for it.

    ``record`` has its cells in the order of ``export.columns``, or the text of its object. ``draft`` is its job, None
    if it makes none; ``verdict`` is "new" or why it was left out. A ``duplicate_row`` has what came back for the job of
    the earlier row that it equals.
    """

    export: Export
    record: Record
    draft: DraftJob | None
    verdict: Verdict
    returned: Returned | None
    suppressed: bool = False

    @property
    def outcome(self) -> str:
        """The result's, or :data:`PENDING`, :data:`SUPPRESSED` or :data:`LEFT_OUT`."""
        if self.verdict != "new":
            return LEFT_OUT
        if self.returned is None:
            return SUPPRESSED if self.suppressed else PENDING
        return self.returned.outcome

    @property
    def code(self) -> str | None:
        """The result's error code, or why the row was left out."""
        if self.verdict != "new":
            return self.verdict
        return None if self.returned is None else self.returned.code


def merged_rows(importer: Importer, results: ReturnedResults) -> Iterator[MergedRow]:
    """Every row that isn't blank, in the order of the exports and of their rows; one is held at a time.

    The importer must read the exports as they were read when they were sent: its options make the jobs' ids.

    Raises:
      UsageError, InputError: as the importer does; or an export was changed meanwhile, after the last row.
    """
    for export, record, draft, verdict in importer.rows_judged():
        returned = results.of(draft.job_id) if draft is not None else None
        yield MergedRow(export, record, draft, verdict, returned)
    # Its bytes are read apart from its rows, and of another file they would be another person's.
    importer.refuse_changed()


def without_hope(rows: Iterator[MergedRow], opted_out: OptedOut) -> Iterator[MergedRow]:
    """The rows, of which those without a result are marked if they are ``suppressed``."""
    while some := _held(rows):
        waiting = [row.draft for row in some if row.outcome == PENDING and row.draft is not None]
        found = iter(opted_out(waiting) if waiting else ())
        for row in some:
            is_asked = row.outcome == PENDING and row.draft is not None
            yield row._replace(suppressed=next(found)) if is_asked else row


def _held(rows: Iterator[MergedRow]) -> list[MergedRow]:
    some: list[MergedRow] = []
    characters = 0
    for row in rows:
        some.append(row)
        characters += sum(map(len, row.record.cells))
        if len(some) == _ASKED_AT_ONCE or characters > _HELD_AT_ONCE:
            break
    return some
