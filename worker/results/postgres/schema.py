"""The schema ``referrals``: its migrations, and the version that a database has.

Versions only go up. A migration that has been released is never changed: the next one changes what it made.
"""

from worker.errors import ConfigurationError
from worker.results.postgres.connection import Connection

SCHEMA = "referrals"

_FIRST = (
    """
    CREATE TABLE referrals.results (
        job_id text COLLATE "C" PRIMARY KEY,
        campaign text NOT NULL,
        shop text NOT NULL,
        run bigint NOT NULL,
        line bigint,
        reference text,
        customer_bhid text,
        customer_shopid text,
        customer_email text,
        channel text NOT NULL,
        destination text,
        sender text,
        outcome text NOT NULL,
        code text,
        status integer,
        link text,
        message text,
        attempts bigint NOT NULL,
        published_at timestamptz,
        called_at timestamptz,
        finished_at timestamptz NOT NULL,
        latency_seconds double precision,
        sandbox boolean NOT NULL,
        collected_at timestamptz NOT NULL DEFAULT now(),
        keys bigint[] NOT NULL,
        result json NOT NULL
    )
    """,
    "CREATE INDEX results_keys ON referrals.results USING gin (keys)",
    "CREATE INDEX results_campaign ON referrals.results (campaign, shop)",
    "COMMENT ON COLUMN referrals.results.result IS 'the result as it came; docs/result.schema.json describes it'",
    "COMMENT ON COLUMN referrals.results.keys IS 'hashes of what the result is found by'",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""The statements that lead to each version, from 1 on."""

NEWEST = len(MIGRATIONS)

# Any number, as long as nobody else in the database takes the same.
_LOCK = 0x5245464552524C53


def migrate(connection: Connection, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Make the schema, or bring it up to date; does nothing if it is.

    Several that start together wait for the first. All of it is one transaction, so nobody sees half a schema.

    Raises:
      ConfigurationError: a newer version of this command has made the schema.
      psycopg.Error: as the server says, such as a missing right.
    """
    if version(connection, len(migrations)) == len(migrations):
        return
    with connection.transaction():
        # An index over many rows takes its time.
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL lock_timeout = 0")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        present = version(connection, len(migrations))
        if present is None:
            # Who may use the schema, but not make one, is helped by an administrator who has made it.
            if not _has(connection, "SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'referrals'"):
                connection.execute("CREATE SCHEMA referrals")
            connection.execute(
                "CREATE TABLE referrals.migrations "
                "(version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
            )
        for number, statements in enumerate(migrations[present or 0 :], start=(present or 0) + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute("INSERT INTO referrals.migrations (version) VALUES (%s)", (number,))


def version(connection: Connection, newest: int = NEWEST) -> int | None:
    """The version of the schema; None if there is none.

    Raises:
      ConfigurationError: it is newer than ``newest``.
      psycopg.Error: as the server says.
    """
    # Not to_regclass: it answers from a cache that a transaction doesn't renew after it has waited for the lock.
    if not _has(
        connection, "SELECT FROM pg_catalog.pg_tables WHERE schemaname = 'referrals' AND tablename = 'migrations'"
    ):
        return None
    row = connection.execute("SELECT max(version) FROM referrals.migrations").fetchone()
    found = row[0] if row is not None else None
    if found is not None and found > newest:
        raise ConfigurationError(
            f"the schema {SCHEMA} of this database has version {found}, and this program knows up to {newest}: use the "
            "version that migrated it, or a later one"
        )
    return found


def _has(connection: Connection, query: str) -> bool:
    return connection.execute(f"SELECT EXISTS ({query})").fetchone() == (True,)
