"""Erases a person's results from the database."""

from worker.results.mentions import Mentions
from worker.results.postgres import connection as connections
from worker.results.postgres import rights
from worker.results.postgres.columns import hashed
from worker.results.postgres.failures import mapped
from worker.results.postgres.location import Location
from worker.results.postgres.schema import version

_LONGEST_SECONDS = 3600

# No index has the fields that only mention somebody, so every row is read.
_FOUND = """
    SELECT job_id, result FROM referrals.results
    WHERE keys && %s::bigint[] OR EXISTS (SELECT FROM unnest(%s::text[]) AS n WHERE strpos(lower(result::text), n) > 0)
"""


def erase(location: Location, who: Mentions) -> int:
    """Delete the results that mention a person, and return how many there were; none where there are no results.

    Blocks while the whole table is read.

    Raises:
      DatabaseError: the database can't be reached, or it refuses; nothing was deleted.
    """
    connection = connections.connected(location, writing=True)
    try:
        with (
            mapped(location.place, rights.to_erase(connection)),
            connections.bounded(connection, _LONGEST_SECONDS),
        ):
            if version(connection) is None:
                return 0
            with connections.transaction(connection, writing=True):
                connection.execute("SELECT set_config('statement_timeout', '0', true)")
                needles = [needle.decode() for needle in who.needles] or [""]
                keys = [hashed(key) for key in who.keys]
                found = connection.execute(_FOUND, (keys, needles)).fetchall()
                ids = [job_id for job_id, result in found if who.document(result)]
                connection.execute("DELETE FROM referrals.results WHERE job_id = ANY(%s)", (ids,))
        return len(ids)
    finally:
        connections.close(connection)
