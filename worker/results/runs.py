"""The runs of each job, and which of them counts, without all of them in memory."""

import sqlite3
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

from worker.campaigns.ranked_ids import SCRATCH, no_room
from worker.model.result import check_result
from worker.text.bounds import LARGEST_INTEGER

_SETUP = f"""
    {SCRATCH}
    CREATE TABLE jobs (
        id BLOB PRIMARY KEY, run INTEGER, latest INTEGER, standing INTEGER, counting INTEGER, marks INTEGER
    ) WITHOUT ROWID;
    BEGIN;
"""
_ADD = """
    INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
        latest = CASE WHEN excluded.run > run THEN excluded.latest ELSE latest END,
        run = max(run, excluded.run),
        counting = CASE WHEN excluded.standing > standing THEN excluded.counting ELSE counting END,
        standing = max(standing, excluded.standing),
        marks = marks | excluded.marks
"""
_MARKS: Final = {"sent": 1, "unknown": 2}
_ABOVE_ALL_RUNS = LARGEST_INTEGER + 1


class Known(NamedTuple):
    """What is known of a job.

    ``counting`` is the place of the run that counts: the latest one that was sent, whatever came of later ones, else
    the latest of all. ``latest`` is the place of the latest run. ``sent``, ``unknown``: whether any run has ended so.
    """

    counting: int
    latest: int
    sent: bool
    unknown: bool


class Runs:
    """Jobs by the id of their first run. In memory up to 1 MiB, beyond that in a temporary file without a name.

    For one thread.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SETUP)
        self._cursor = self._db.cursor()

    def close(self) -> None:
        """Close and remove the temporary file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, first_id: str, run: int, outcome: str, place: int) -> None:
        """Add a run of a job, how it ended, and a place by which it is found again.

        Raises:
          InputError: the temporary file can't grow.
        """
        standing = run + _ABOVE_ALL_RUNS * (outcome == "sent")
        row = (bytes.fromhex(first_id), run, place, standing, place, _MARKS.get(outcome, 0))
        try:
            self._cursor.execute(_ADD, row)
        except sqlite3.OperationalError as error:
            raise no_room(error) from error

    def known(self, first_id: str) -> Known | None:
        """What was added of a job; None if nothing was."""
        asked = self._cursor.execute(
            "SELECT counting, latest, marks FROM jobs WHERE id = ?", (bytes.fromhex(first_id),)
        )
        found = asked.fetchone()
        if found is None:
            return None
        counting, latest, marks = found
        return Known(counting, latest, bool(marks & _MARKS["sent"]), bool(marks & _MARKS["unknown"]))


def first_id(result: Mapping[str, Any]) -> str:
    """The id of the run 0 of a result's job, by which all its runs are one job; the result is its parsed JSON.

    Raises:
      DeadLetterError: it is no result.
    """
    if not result.get("run"):
        own: str = result["job_id"]
        return own
    return check_result(result).first_id()
