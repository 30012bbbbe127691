"""Results into PostgreSQL."""

from typing import Any

import structlog

from worker.cli.collect.destination import Body, Tally, parsed
from worker.results.postgres.columns import Row, row
from worker.results.postgres.location import Location
from worker.results.postgres.table import ResultsTable

log = structlog.get_logger(__name__)


class TableDestination:
    """The table of results. It remembers no job itself: the database knows which it has."""

    def __init__(self, location: Location) -> None:
        self.tally = Tally()
        self._location = location
        self._table: ResultsTable | None = None

    def open(self) -> None:
        """Connect anew, and make or migrate the schema.

        Raises:
          DatabaseError: the database can't be reached, or it refuses.
          ConfigurationError: it has a newer schema, or another encoding than UTF-8.
        """
        self.close()
        self._table = ResultsTable(self._location)

    def take(self, bodies: list[Body]) -> list[int]:
        """Commit a batch.

        Raises:
          DatabaseError: whether anything was stored is unknown.
        """
        assert self._table is not None, "open comes first"
        bad: list[int] = []
        rows: list[Row] = []
        tags: list[int] = []
        for tag, body in bodies:
            found = parsed(body)
            if found is None:
                bad.append(tag)
            else:
                document, result = found
                rows.append(row(body, result, document))
                tags.append(tag)
        sightings, unstorable = self._table.store(rows)
        for index in unstorable:
            log.warning("result_not_storable", job_id=rows[index].job_id)
            bad.append(tags[index])
        self._count(rows, sightings, set(unstorable))
        self.tally.unreadable += len(bad)
        return bad

    def close(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None

    def summary(self) -> tuple[str, dict[str, Any]]:
        return f"PostgreSQL at {self._location.place}", {"results": f"postgresql://{self._location.place}"}

    def _count(self, rows: list[Row], sightings: list[Any], unstorable: set[int]) -> None:
        for index, (each, sighting) in enumerate(zip(rows, sightings, strict=True)):
            if index in unstorable:
                continue
            if sighting == "repeated":
                self.tally.repeated += 1
            else:
                self.tally.count(
                    each.outcome,
                    each.code,
                    each.campaign,
                    superseding=sighting == "superseding",
                    rehearsed=each.sandbox,
                )
