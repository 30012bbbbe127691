"""Erases a person's results from the database."""

from worker.results.postgres import connection as connections
from worker.results.postgres import rights
from worker.results.postgres.columns import hashed
from worker.results.postgres.failures import mapped
from worker.results.postgres.location import Location
from worker.results.postgres.schema import version
from worker.results.wanted import Wanted

_FOUND = "SELECT job_id, result FROM referrals.results WHERE keys && %s::bigint[]"


def erase(location: Location, what: Wanted) -> int:
    """Delete the results that match, and return how many there were; none where the database holds no results.

    Raises:
      DatabaseError: the database can't be reached, or it refuses; nothing was deleted.
    """
    connection = connections.connected(location, writing=True)
    try:
        with mapped(location.place, rights.to_erase(connection)), connections.bounded(connection):
            if version(connection) is None:
                return 0
            with connections.transaction(connection, writing=True):
                found = connection.execute(_FOUND, ([hashed(key) for key in what.keys],)).fetchall()
                # Two keys may have one hash.
                ids = [job_id for job_id, result in found if what.matches(result)]
                connection.execute("DELETE FROM referrals.results WHERE job_id = ANY(%s)", (ids,))
        return len(ids)
    finally:
        connections.close(connection)
