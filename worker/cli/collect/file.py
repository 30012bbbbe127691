"""Results into a file."""

from pathlib import Path
from typing import Any

from worker.cli.collect.destination import Body, Tally, parsed
from worker.model.rehearsal import is_rehearsed
from worker.results.file import ResultsFile
from worker.results.index import ResultIndex


class FileDestination:
    """The results file, and the jobs that it holds."""

    def __init__(self, path: Path, file: ResultsFile, seen: ResultIndex) -> None:
        """Continue the file if it exists; raises as :meth:`~worker.results.file.ResultsFile.resume`."""
        self.tally = Tally()
        self._path = path
        self._file = file
        self._seen = seen
        self._known = 0
        for job_id, outcome in file.resume():
            self._known += 1
            seen.check(job_id, outcome)

    def open(self) -> None:
        """The file stays open."""

    def take(self, bodies: list[Body]) -> list[int]:
        """Write a batch, and sync it to disk. One fsync serves the whole batch, since it takes milliseconds.

        Raises:
          InputError: the disk is full or broken.
        """
        bad = []
        for tag, body in bodies:
            found = parsed(body)
            if found is None:
                bad.append(tag)
                continue
            result, _ = found
            if (sighting := self._seen.check(result["job_id"], result["outcome"])) == "repeated":
                self.tally.repeated += 1
            else:
                self._file.add(result)
                self.tally.count(
                    result["outcome"],
                    result.get("code"),
                    result["campaign"],
                    superseding=sighting == "superseding",
                    rehearsed=is_rehearsed(result),
                )
        self._file.sync()
        self.tally.unreadable += len(bad)
        return bad

    def close(self) -> None:
        self._file.close()

    def summary(self) -> tuple[str, dict[str, Any]]:
        rows = self._known + self.tally.outcomes.total()
        return f"{self._path} ({rows:,} rows)", {"results": str(self._path), "results_rows": rows}
