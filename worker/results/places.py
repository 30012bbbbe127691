"""The best result of each job, and where it is, without all of them in memory."""

import sqlite3
from collections.abc import Iterator
from typing import Self

from worker.campaigns.ranked_ids import SCRATCH, no_room


class Places:
    """For each key the place that was offered with the highest rank; of equal ranks, the first.

    Keys are job ids. A place is any number, such as :data:`worker.results.source.Place`. In memory up to 1 MiB, beyond
    that in a temporary file without a name, about 45 bytes a key. May be used by several threads, but only by one at a
    time.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(
            f"{SCRATCH}"
            "CREATE TABLE best (id BLOB PRIMARY KEY, rank INTEGER NOT NULL, place INTEGER NOT NULL) WITHOUT ROWID;"
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

    def offer(self, key: str, rank: int, place: int) -> None:
        """Keep the place for the key, unless one of the same or a higher rank is kept.

        Raises:
          InputError: the temporary file can't grow.
        """
        try:
            self._cursor.execute(
                "INSERT INTO best VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE "
                "SET rank = excluded.rank, place = excluded.place WHERE excluded.rank > rank",
                (bytes.fromhex(key), rank, place),
            )
        except sqlite3.OperationalError as error:
            raise no_room(error) from error

    def get(self, key: str) -> int | None:
        """The place kept for the key."""
        row = self._cursor.execute("SELECT place FROM best WHERE id = ?", (bytes.fromhex(key),)).fetchone()
        return None if row is None else int(row[0])

    def __len__(self) -> int:
        (number,) = self._cursor.execute("SELECT count(*) FROM best").fetchone()
        return int(number)

    def items(self) -> Iterator[tuple[str, int]]:
        """Each key with its place, in the order of the keys."""
        for key, place in self._db.execute("SELECT id, place FROM best ORDER BY id"):
            yield key.hex(), place
