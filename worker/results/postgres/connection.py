"""Connections to the database, and a bound on how long anything waits for it."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from worker.errors import ConfigurationError, DatabaseError
from worker.results.postgres.failures import mapped
from worker.results.postgres.location import Location

STATEMENT_SECONDS = 15
"""Longest statement that writes: a batch of 1,000 takes some 0.1 s. It is given up then, and its results are given back
to RabbitMQ, long before a ``consumer_timeout`` (30 minutes unless changed)."""

_SILENT_SECONDS = STATEMENT_SECONDS + 5
"""A server that has stopped answers nothing, not even that the statement took too long; the kernel keeps its connection
alive all the same. After this the connection is cut from our side."""

Connection = psycopg.Connection[tuple[Any, ...]]


def connected(location: Location, *, writing: bool) -> Connection:
    """A new connection, each statement of which is a transaction of its own. Blocks for some seconds a host at most.

    Raises:
      DatabaseError: no server can be reached, or it refuses.
      ConfigurationError: the database has another encoding than UTF-8.
    """
    with mapped(location.place):
        # No prepared statements: a pooler between us may give each transaction another session.
        connection: Connection = psycopg.connect(
            "",
            autocommit=True,
            prepare_threshold=None,
            **location.parameters(writing=writing),  # type: ignore[arg-type]  # psycopg types them one by one
        )
    try:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding not in (None, "UTF8"):
            raise ConfigurationError(
                f"the database {location.database} has the encoding {encoding}, which lacks characters that results "
                "hold; make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        with mapped(location.place), bounded(connection):
            if writing:
                _make_safe(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_safe(connection: Connection) -> None:
    """Bound how long a statement may take, and see that a commit is one."""
    connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
    connection.execute("SET lock_timeout = '10s'")
    connection.execute("SET idle_in_transaction_session_timeout = '60s'")
    # With `off` a crash takes back what was committed, after RabbitMQ has forgotten it. Others promise more than `on`.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )


@contextmanager
def bounded(connection: Connection, seconds: float = _SILENT_SECONDS) -> Iterator[None]:
    """Cut the connection if what is inside takes longer; it then fails as one that was lost."""
    try:
        duplicate = os.dup(connection.fileno())
    except (OSError, psycopg.Error):
        # It is closed already, and whatever is asked of it says so.
        yield
        return
    with socket.socket(fileno=duplicate) as twin:
        # A socket's shutdown is for all who hold it, so libpq's wait ends too.
        timer = threading.Timer(seconds, _shut, (twin,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _shut(twin: socket.socket) -> None:
    with suppress(OSError):
        twin.shutdown(socket.SHUT_RDWR)


def close(connection: Connection) -> None:
    """Close it; that it is lost already is no error."""
    with suppress(psycopg.Error, DatabaseError):
        connection.close()
