"""The latest run of each job, without all of them in memory."""

import sqlite3
from typing import NamedTuple, Self

from worker.campaigns.ranked_ids import SCRATCH, no_room

_ADD = """
    INSERT INTO jobs VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
        place = CASE WHEN excluded.run > run THEN excluded.place ELSE place END,
        run = max(run, excluded.run),
        marks = marks | excluded.marks
"""


class Latest(NamedTuple):
    """What is known of a job: a place that belongs to its latest run, and the marks of all its runs."""

    place: int
    marks: int


class Runs:
    """Jobs by the id of their first run. In memory up to 64 MiB, beyond that in a temporary file without a name.

    For one thread.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            f"{SCRATCH}"
            "CREATE TABLE jobs (id BLOB PRIMARY KEY, run INTEGER, place INTEGER, marks INTEGER) WITHOUT ROWID;"
            "BEGIN;"
        )
        self._cursor = self._db.cursor()

    def close(self) -> None:
        """Close and remove the temporary file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, first_id: str, run: int, place: int, marks: int = 0) -> None:
        """Add a run of a job; ``marks`` are bits, which add up over its runs.

        Raises:
          InputError: the temporary file can't grow.
        """
        try:
            self._cursor.execute(_ADD, (bytes.fromhex(first_id), run, place, marks))
        except sqlite3.OperationalError as error:
            raise no_room(error) from error

    def latest(self, first_id: str) -> Latest:
        """What was added of a job.

        Raises:
          KeyError: nothing was.
        """
        asked = self._cursor.execute("SELECT place, marks FROM jobs WHERE id = ?", (bytes.fromhex(first_id),))
        found = asked.fetchone()
        if found is None:
            raise KeyError(first_id)
        return Latest(*found)
