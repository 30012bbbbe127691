"""Which jobs a run has already met, without keeping all in memory."""

from collections.abc import Iterable
from typing import Literal

from worker.campaigns.ranked_ids import RankedIds

Sighting = Literal["new", "duplicate", "finished"]


class JobIndex(RankedIds):
    """The jobs that a run has met; jobs of rank 0 were finished by an earlier run."""

    def mark_finished(self, job_ids: Iterable[str]) -> int:
        """Add jobs that an earlier run finished; returns how many were new. To be called before any check.

        Raises:
          InputError: the temporary file can't be written.
        """
        return self.add_all(job_ids, rank=0)

    def check(self, job_id: str) -> Sighting:
        """Add a job: "new", or "finished" by an earlier run, or "duplicate" if it was added before.

        Raises:
          InputError: the temporary file can't be written.
        """
        if self.add(job_id, 1):
            return "new"
        return "finished" if self.promote(job_id) else "duplicate"
