"""The table of results, as a collector writes to it."""

from collections.abc import Iterator, Sequence
from typing import Any

from worker.model.outcomes import UNCALLED
from worker.results.index import ResultSighting
from worker.results.postgres import connection as connections
from worker.results.postgres import rights
from worker.results.postgres.columns import TYPES, Row
from worker.results.postgres.failures import UnstorableError, mapped
from worker.results.postgres.location import Location
from worker.results.postgres.schema import NEWEST, migrate, version

_MOST_CHARACTERS = 16 * 1024 * 1024
"""Of results in a statement. A usual batch has 1 MB."""

_UNCALLED = ", ".join(f"'{outcome}'" for outcome in sorted(UNCALLED))


def _upsert() -> str:
    names = list(Row._fields)
    plain = [name for name in names if name != "keys"]
    # One statement a batch, whatever its size. unnest takes apart arrays of arrays to their last element, so the keys
    # travel as the text of an array each.
    arrays = ", ".join(f"%s::{TYPES[name]}[]" for name in names)
    selected = ", ".join("keys::bigint[]" if name == "keys" else name for name in names)
    assigned = ", ".join(f"{name} = excluded.{name}" for name in [*plain, "keys", "collected_at"] if name != "job_id")
    return f"""
        INSERT INTO referrals.results AS kept ({", ".join(names)})
        SELECT {selected} FROM unnest({arrays}) AS given({", ".join(names)})
        ORDER BY job_id COLLATE "C"
        ON CONFLICT (job_id) DO UPDATE SET {assigned}
        WHERE kept.outcome IN ({_UNCALLED}) AND excluded.outcome NOT IN ({_UNCALLED})
        RETURNING job_id, xmax = 0
    """  # noqa: S608 - made of names that stand in this program


_UPSERT = _upsert()


class ResultsTable:
    """One connection that writes results. Belongs to one thread, and every call may block for some seconds.

    After a :class:`DatabaseError` make a new one: what became of the last batch is then unknown, and storing it again
    changes nothing.
    """

    def __init__(self, location: Location) -> None:
        """Connect, and make the schema or bring it up to date.

        Raises:
          DatabaseError: the database can't be reached, or it refuses.
          ConfigurationError: it has a newer schema, or another encoding than UTF-8.
        """
        self.place = location.place
        self._connection = connections.connected(location, writing=True)
        try:
            with mapped(self.place, rights.to_collect(self._connection)), connections.bounded(self._connection):
                found = version(self._connection)
            if found != NEWEST:
                with mapped(self.place, rights.to_migrate(self._connection, found)):
                    migrate(self._connection)
        except BaseException:
            self.close()
            raise

    def store(self, rows: Sequence[Row]) -> tuple[list[ResultSighting], list[int]]:
        """Commit a batch; returns how each row was met, and the indexes of those that the database can't keep.

        A job that is there stays as it is, unless it ended without a call and this row is of a call. The same job twice
        in a batch is no error. A row that can't be kept holds up no other.

        Raises:
          DatabaseError: whether anything was stored is unknown.
        """
        sightings: list[ResultSighting] = ["repeated"] * len(rows)
        bad: list[int] = []
        ahead = list(_portions(rows, self._winners(rows)))
        while ahead:
            some = ahead.pop()
            try:
                self._insert(rows, some, sightings)
            except UnstorableError:
                if len(some) == 1:
                    bad += some
                else:
                    ahead += [some[len(some) // 2 :], some[: len(some) // 2]]
        return sightings, sorted(bad)

    def close(self) -> None:
        """Disconnect."""
        connections.close(self._connection)

    def _winners(self, rows: Sequence[Row]) -> list[int]:
        """The index of the row that counts for each job of the batch: the first of a call, else the first."""
        chosen: dict[str, int] = {}
        for index, row in enumerate(rows):
            present = chosen.get(row.job_id)
            if present is None or (rows[present].outcome in UNCALLED and row.outcome not in UNCALLED):
                chosen[row.job_id] = index
        # Sorted, so that collectors side by side take the same jobs' locks in the same order.
        return [chosen[job_id] for job_id in sorted(chosen)]

    def _insert(self, rows: Sequence[Row], some: Sequence[int], sightings: list[ResultSighting]) -> None:
        if not some:
            return
        columns: list[list[Any]] = [list(column) for column in zip(*(rows[index] for index in some), strict=True)]
        keys = Row._fields.index("keys")
        columns[keys] = [f"{{{','.join(map(str, each))}}}" for each in columns[keys]]
        with (
            mapped(self.place, rights.to_collect(self._connection)),
            connections.bounded(self._connection),
            connections.transaction(self._connection, writing=True),
        ):
            done = self._connection.execute(_UPSERT, columns).fetchall()
        by_job = {rows[index].job_id: index for index in some}
        for job_id, inserted in done:
            sightings[by_job[job_id]] = "new" if inserted else "superseding"


def _portions(rows: Sequence[Row], winners: Sequence[int]) -> Iterator[list[int]]:
    """The same in portions that one statement can carry: 1,000 results of 4 MB would be too much for PostgreSQL."""
    portion: list[int] = []
    size = 0
    for index in winners:
        size += len(rows[index].result)
        if portion and size > _MOST_CHARACTERS:
            yield portion
            portion, size = [], len(rows[index].result)
        portion.append(index)
    yield portion
