"""Connections to PostgreSQL: what is refused, and that nothing is waited for without end."""

import time

import pytest

from tests.services import PostgreSQL
from worker.errors import ConfigurationError, DatabaseError
from worker.results.postgres.connection import bounded, connected, transaction
from worker.results.postgres.failures import mapped
from worker.results.postgres.location import Location

PASSWORD = "a password of nobody else"


def test_a_server_that_answers_nothing(location: Location) -> None:
    """Its connection is cut from our side, though the kernel keeps it alive."""
    connection = connected(location, writing=False)
    began = time.monotonic()
    with pytest.raises(DatabaseError), mapped(location.place), bounded(connection, 0.2):
        connection.execute("SELECT pg_sleep(30)")
    assert time.monotonic() - began < 10
    assert connection.closed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("guest", "wrong"), "refuses the user or the password"),
        (("/test_", "/none_"), "has no such database"),
        (("127.0.0.1", "127.0.0.1:1,127.0.0.1"), "Connection refused"),
    ],
)
def test_what_is_refused_is_told_in_one_line(postgres_url: str, change: tuple[str, str], told: str) -> None:
    """The line names the server and the cause, and no password."""
    url = postgres_url.replace(*change)
    if "127.0.0.1:1," in url:
        url = url[: url.rindex(":")] + ":2" + url[url.rindex("/") :]
    with pytest.raises(DatabaseError) as refused:
        connected(Location(url, "--postgres", ()), writing=True)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "guest" not in str(refused.value)


def test_too_many_connections(postgresql: PostgreSQL, postgres_url: str) -> None:
    """A server without a free connection is told from one that can't be reached."""
    name = postgres_url.rsplit("/", 1)[1]
    postgresql.sql(f"CREATE ROLE few LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0")
    try:
        with pytest.raises(DatabaseError, match="takes no more connections") as refused:
            connected(Location(postgresql.url_of(name, "few", PASSWORD), "--postgres", ()), writing=True)
        assert PASSWORD not in str(refused.value)
    finally:
        postgresql.sql("DROP ROLE few")


def test_a_host_of_several_takes_writes(postgres_url: str) -> None:
    """Of several hosts the first that can be reached is taken, by libpq's rules."""
    port = postgres_url.rsplit(":", 1)[1].split("/")[0]
    connection = connected(Location(postgres_url.replace("@", "@127.0.0.1:1,", 1), "--postgres", ()), writing=True)
    assert connection.info.port == int(port)
    connection.close()


def test_a_commit_is_one(postgresql: PostgreSQL, postgres_url: str, location: Location) -> None:
    """Where the server would acknowledge a commit that isn't on disk yet, our sessions wait for the disk."""
    name = postgres_url.rsplit("/", 1)[1]
    for given, had in (("off", "on"), ("local", "local")):
        postgresql.sql(f"ALTER DATABASE {name} SET synchronous_commit = {given}")
        connection = connected(location, writing=True)
        with transaction(connection, writing=True):
            assert connection.execute("SHOW synchronous_commit").fetchone() == (had,)
        # A pooler hands the session on to somebody else.
        assert connection.execute("SHOW synchronous_commit").fetchone() == (given,)
        connection.close()


def test_another_encoding_is_refused(postgresql: PostgreSQL) -> None:
    """A database that lacks most characters is refused at once, and not at the first result that holds one."""
    postgresql.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    try:
        with pytest.raises(ConfigurationError, match="the encoding LATIN1"):
            connected(Location(postgresql.url_of("latin"), "--postgres", ()), writing=True)
    finally:
        postgresql.delete_database(postgresql.url_of("latin"))
