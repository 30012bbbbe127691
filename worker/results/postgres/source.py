"""Results as commands read them back from the database."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.errors import InputError
from worker.model.names import canonical
from worker.results.parsing import from_json
from worker.results.postgres import connection as connections
from worker.results.postgres.columns import hashed
from worker.results.postgres.failures import mapped
from worker.results.postgres.location import Location
from worker.results.postgres.schema import NEWEST, version
from worker.results.wanted import Wanted

_AT_A_TIME = 100
"""Rows that the server hands over together: a result has about 1 KB, and 4 MB at the most."""

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
            with mapped(location.place):
                found = version(self._connection)
        except BaseException:
            self.close()
            raise
        if found != NEWEST:
            self.close()
            problem = "holds no results" if found is None else f"has the schema of an earlier version ({found})"
            raise InputError(f"the database {location.place} {problem}: run `referrals collect --postgres` first")

    def close(self) -> None:
        """Disconnect."""
        connections.close(self._connection)

    def results(self, campaign: str | None = None, shop: str | None = None) -> Iterator[Mapping[str, Any]]:
        """See :class:`~worker.results.source.ResultSource`; they are as they were at the first of them.

        Raises:
          DatabaseError: the database fails meanwhile.
        """
        wanted = {"campaign": canonical(campaign), "shop": shop}
        # A connection of its own, since what is asked for meanwhile can't be answered on one that streams.
        streaming = connections.connected(self._location, writing=False)
        try:
            with mapped(self._location.place), streaming.transaction(), streaming.cursor("results") as cursor:
                cursor.itersize = _AT_A_TIME
                for job_id, text in cursor.execute(_CHOSEN, wanted):
                    yield _parsed(job_id, text)
        finally:
            connections.close(streaming)

    def find(self, what: Wanted) -> Iterator[Mapping[str, Any]]:
        """See :class:`~worker.results.source.ResultSource`; raises as :meth:`results`."""
        with mapped(self._location.place):
            found = self._connection.execute(_FOUND, ([hashed(key) for key in what.keys],)).fetchall()
        for job_id, text in found:
            # Two keys may have one hash.
            result = _parsed(job_id, text)
            if what.matches(result):
                yield result


def _parsed(job_id: str, text: str) -> dict[str, Any]:
    # Checked as a file's row is: nobody is written to by what somebody has edited.
    try:
        return from_json(text.encode())
    except ValueError as error:
        raise InputError(f"job {job_id}: what the database holds is no result: {error}") from None
