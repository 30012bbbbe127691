"""Results as commands read them back from the database."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.errors import InputError
from worker.model.names import canonical
from worker.results.parsing import from_json
from worker.results.postgres import connection as connections
from worker.results.postgres import rights
from worker.results.postgres.columns import as_text, hashed
from worker.results.postgres.connection import Connection
from worker.results.postgres.failures import mapped
from worker.results.postgres.location import Location
from worker.results.postgres.schema import NEWEST, version
from worker.results.wanted import Wanted

_AT_A_TIME = 100
"""Rows that the server hands over together if they are small: a result has about 1 KB, and 4 MB at the most."""

_AT_A_TIME_CHARACTERS = 1024 * 1024
"""Of results that are as large as those before them."""

_CHOSEN = """
    SELECT job_id, result::text FROM referrals.results
    WHERE (%(campaign)s::text IS NULL OR campaign = %(campaign)s) AND (%(shop)s::text IS NULL OR shop = %(shop)s)
"""

_FOUND = "SELECT job_id, result::text FROM referrals.results WHERE keys && %s::bigint[]"


class TableSource:
    """The results in the database: a :class:`~worker.results.source.ResultSource`. Changes nothing there."""

    def __init__(self, location: Location) -> None:
        """Connect, and look at the schema.

        Raises:
          DatabaseError: the database can't be reached, or it refuses.
          ConfigurationError: it has a newer schema, or another encoding than UTF-8.
          InputError: it has no schema for results, or an older one.
        """
        self._location = location
        self._connection = connections.connected(location, writing=False)
        try:
            with mapped(location.place, rights.to_read(self._connection)), connections.bounded(self._connection):
                found = version(self._connection)
        except BaseException:
            self.close()
            raise
        if found != NEWEST:
            self.close()
            problem = "holds no results" if found is None else f"has the schema of an earlier version ({found})"
            raise InputError(f"the database {location.place} {problem}: run {location.remedy('collect')} first")

    def close(self) -> None:
        """Disconnect."""
        connections.close(self._connection)

    def results(self, campaign: str | None = None, shop: str | None = None) -> Iterator[Mapping[str, Any]]:
        """See :class:`~worker.results.source.ResultSource`; they are as they were at the first of them.

        Raises:
          DatabaseError: the database fails meanwhile.
        """
        name = canonical(campaign)
        wanted = {
            "campaign": None if name is None else as_text(name),
            "shop": None if shop is None else as_text(shop),
        }
        # A connection of its own, since what is asked for meanwhile can't be answered on one that streams.
        streaming = connections.connected(self._location, writing=False)
        try:
            for result in self._streamed(streaming, _CHOSEN, wanted):
                # Two campaigns may be one as PostgreSQL holds their names.
                if name is None or canonical(result["campaign"]) == name:
                    yield result
        finally:
            connections.close(streaming)

    def find(self, what: Wanted) -> Iterator[Mapping[str, Any]]:
        """See :class:`~worker.results.source.ResultSource`; raises as :meth:`results`.

        Ask for the next only once this has ended.
        """
        for result in self._streamed(self._connection, _FOUND, ([hashed(key) for key in what.keys],)):
            # Two keys may have one hash.
            if what.matches(result):
                yield result

    def _streamed(self, connection: Connection, query: str, values: Any) -> Iterator[dict[str, Any]]:
        with (
            mapped(self._location.place, rights.to_read(connection)),
            connections.transaction(connection, writing=False),
            connection.cursor("results") as cursor,
        ):
            cursor.execute(query, values)
            # The first tell how large they are.
            size = _AT_A_TIME // 10
            while rows := cursor.fetchmany(size):
                for job_id, text in rows:
                    yield _parsed(job_id, text)
                size = max(1, min(_AT_A_TIME, _AT_A_TIME_CHARACTERS * len(rows) // sum(len(text) for _, text in rows)))


def _parsed(job_id: str, text: str) -> dict[str, Any]:
    # Checked as a file's row is: nobody is written to by what somebody has edited.
    try:
        return from_json(text.encode())
    except ValueError as error:
        raise InputError(f"job {job_id}: what the database holds is no result: {error}") from None
