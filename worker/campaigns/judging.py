"""What becomes of a row: a new job, one that was met before, or a reject with its reason. No I/O of its own."""

from typing import Literal, NamedTuple

from worker.campaigns.dedup import JobIndex
from worker.campaigns.exports.base import Export, Record, Values
from worker.campaigns.presets.suppression import Suppressed
from worker.campaigns.reject_reasons import RejectReason
from worker.campaigns.rows import DraftJob, RowRules

Verdict = Literal["new", "finished"] | RejectReason


# Named tuples, since one is made for every row.
class Judged(NamedTuple):
    """A row and what becomes of it. ``verdict`` is "new", "finished" by an earlier run, or why it is rejected.

    ``draft`` is its job; None if it makes none. A ``duplicate_row`` has the draft of the job that an earlier row makes.
    """

    export: Export
    record: Record
    draft: DraftJob | None
    verdict: Verdict


class Judge:
    """Judges the rows of a campaign in their order: by their flaws, by vetoes, by the rules, and as duplicates."""

    def __init__(self, rules: RowRules, suppressed: Suppressed, index: JobIndex) -> None:
        self._rules = rules
        self._suppressed = suppressed
        self._index = index

    def judge(self, export: Export, record: Record) -> Judged:
        """The row's job or the reason why it makes none. Of equal jobs only the first is new.

        Raises:
          InputError: the temporary file of job ids can't be written.
        """
        values = record.values
        if values is None:
            # If nobody in the file may be written to, neither may who is in a row that can't be read.
            return Judged(export, record, None, export.recognised.every_row or record.flaw)
        line = record.line
        judged = veto(export, values, self._suppressed) or self._rules.judge(
            export.file.name, line, export.row_of(line), values
        )
        if not isinstance(judged, DraftJob):
            return Judged(export, record, None, judged)
        sighting = self._index.check(judged.job_id)
        return Judged(export, record, judged, "duplicate_row" if sighting == "duplicate" else sighting)


def veto(export: Export, values: Values, suppressed: Suppressed) -> RejectReason | None:
    """Why the row must not become a job, whatever else is in it: by its export, or by a suppression list beside it."""
    # The friend too: who gets the e-mail of such a job is the destination.
    return export.recognised.veto(values.consent, values.channel) or suppressed.reason(
        values.customer_email, values.destination
    )
