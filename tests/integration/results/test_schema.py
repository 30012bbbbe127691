"""The schema is made and migrated once, by whoever comes first, with no more rights than it needs."""

import threading

import pytest

from tests.integration.results.results import body, stored
from tests.services import PostgreSQL
from worker.errors import ConfigurationError, DatabaseError, InputError
from worker.results.postgres.connection import Connection, connected
from worker.results.postgres.location import Location
from worker.results.postgres.schema import MIGRATIONS, NEWEST, migrate, version
from worker.results.postgres.source import TableSource
from worker.results.postgres.table import ResultsTable

PASSWORD = "a password of nobody else"

RIGHTS = (
    "GRANT USAGE ON SCHEMA referrals TO collector",
    "GRANT SELECT ON referrals.migrations TO collector",
    "GRANT SELECT, INSERT, UPDATE ON referrals.results TO collector",
)
"""As docs/results-in-postgresql.md says."""


@pytest.fixture
def collector(postgresql: PostgreSQL, postgres_url: str) -> "Location":
    """The database as a role sees it that may do nothing yet."""
    postgresql.sql(
        "DO $$BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'collector') THEN "
        "DROP OWNED BY collector CASCADE; DROP ROLE collector; END IF; END$$",
        postgres_url,
    )
    postgresql.sql(f"CREATE ROLE collector LOGIN PASSWORD '{PASSWORD}'")
    return Location(postgresql.url_of(postgres_url.rsplit("/", 1)[1], "collector", PASSWORD), "--postgres", ())


def test_several_that_start_together_migrate_once(
    location: Location, postgresql: PostgreSQL, postgres_url: str
) -> None:
    """Each finds the schema whole when it goes on."""
    failures: list[Exception] = []

    def start(number: int) -> None:
        try:
            table = ResultsTable(location)
            table.store([stored(body(number))])
            table.close()
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert postgresql.sql("SELECT version FROM referrals.migrations", postgres_url) == "1"
    assert postgresql.sql("SELECT count(*) FROM referrals.results", postgres_url) == "6"


def test_a_later_version_is_reached_step_by_step(location: Location) -> None:
    """Rows stay, each step is noted, and a step that fails leaves nothing of itself."""
    table = ResultsTable(location)
    table.store([stored(body(1))])
    table.close()
    connection: Connection = connected(location, writing=True)
    added = ("ALTER TABLE referrals.results ADD COLUMN colour text",)
    with pytest.raises(Exception, match="nonsense"):
        migrate(connection, (*MIGRATIONS, added, ("nonsense",)))
    assert version(connection) == NEWEST
    migrate(connection, (*MIGRATIONS, added))
    assert version(connection, NEWEST + 1) == NEWEST + 1
    assert connection.execute("SELECT count(colour), count(*) FROM referrals.results").fetchone() == (0, 1)
    connection.close()


def test_a_newer_schema_is_refused(
    table: ResultsTable, location: Location, postgresql: PostgreSQL, postgres_url: str
) -> None:
    """In one line, by who writes and by who reads: a column may mean something else by now."""
    postgresql.sql(f"INSERT INTO referrals.migrations (version) VALUES ({NEWEST + 1})", postgres_url)
    with pytest.raises(ConfigurationError, match=f"has version {NEWEST + 1}, and this program knows up to {NEWEST}"):
        ResultsTable(location)
    with pytest.raises(ConfigurationError, match="use the version that migrated it"):
        TableSource(location)


def test_a_reader_makes_nothing(location: Location) -> None:
    """Where no collector has been, a reader says so, and how one is started, as a person has to type it."""
    with pytest.raises(InputError, match="holds no results: run `referrals collect` with this --postgres first"):
        TableSource(location)


def test_the_rights_that_are_needed(
    collector: Location, location: Location, postgresql: PostgreSQL, postgres_url: str
) -> None:
    """A role without any is told what to ask for; with that it stores into a schema that another role has made."""
    with pytest.raises(DatabaseError, match=r"too few rights: GRANT CREATE ON DATABASE test_\w+ TO collector, or"):
        ResultsTable(collector)
    ResultsTable(location).close()
    with pytest.raises(DatabaseError) as refused:
        ResultsTable(collector)
    assert str(refused.value).endswith(f"too few rights: {'; '.join(RIGHTS)}")
    with pytest.raises(
        DatabaseError, match="rights: GRANT USAGE ON SCHEMA referrals TO collector; GRANT SELECT ON ALL"
    ):
        TableSource(collector)
    for right in RIGHTS:
        postgresql.sql(right, postgres_url)
    table = ResultsTable(collector)
    assert table.store([stored(body(1, "expired"))])[0] == ["new"]
    assert table.store([stored(body(1))])[0] == ["superseding"]
    table.close()


def test_a_schema_that_an_administrator_has_made(
    collector: Location, postgresql: PostgreSQL, postgres_url: str
) -> None:
    """A role that may make no schema fills an empty one that is its own."""
    postgresql.sql("CREATE SCHEMA referrals AUTHORIZATION collector", postgres_url)
    table = ResultsTable(collector)
    assert table.store([stored(body(1))])[0] == ["new"]
    table.close()
