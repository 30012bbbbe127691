"""Which results are already there, without keeping all in memory."""

from typing import Literal

from worker.campaigns.ranked_ids import RankedIds
from worker.model.outcomes import UNCALLED

ResultSighting = Literal["new", "superseding", "repeated"]


class ResultIndex(RankedIds):
    """The jobs of which a file holds a result; jobs of rank 0 ended without a call."""

    def check(self, job_id: str, outcome: str) -> ResultSighting:
        """Add a result: "new", "superseding" if it replaces an end without a call, or "repeated".

        `expired` and `cancelled` are ends without a call: such a job may be called later, and that result counts.

        Raises:
          InputError: the temporary file can't grow.
        """
        final = outcome not in UNCALLED
        if self.add(job_id, int(final)):
            return "new"
        return "superseding" if final and self.promote(job_id) else "repeated"
