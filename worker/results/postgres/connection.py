"""Connections to the database, and a bound on how long anything waits for it.

A pooler between us may give each transaction another session, so nothing is set for a session or prepared in one.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import IsolationLevel

from worker.errors import ConfigurationError, DatabaseError
from worker.results.postgres.failures import mapped
from worker.results.postgres.location import Location

STATEMENT_SECONDS = 15
"""Longest statement that writes: a batch of 1,000 takes some 0.1 s. It is given up then, and its results are given back
to RabbitMQ, long before a ``consumer_timeout`` (30 minutes unless changed)."""

LOCK_SECONDS = 10
"""Longest wait for a lock, such as that of a VACUUM FULL."""

_SILENT_SECONDS = STATEMENT_SECONDS + 5
"""A server that has stopped answers nothing, not even that the statement took too long; the kernel keeps its connection
alive all the same. After this the connection is cut from our side."""

_WRITING = f"""
    SELECT set_config('statement_timeout', '{STATEMENT_SECONDS}s', true),
        set_config('lock_timeout', '{LOCK_SECONDS}s', true),
        set_config('idle_in_transaction_session_timeout', '60s', true),
        set_config('synchronous_commit', CASE current_setting('synchronous_commit')
            WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)
"""
"""With `off` for ``synchronous_commit`` a crash takes back what was committed, after RabbitMQ has forgotten it. Others
promise more than `on`."""

_READING = f"""
    SELECT set_config('lock_timeout', '{LOCK_SECONDS}s', true),
        set_config('idle_in_transaction_session_timeout', '0', true)
"""
"""Between two rows whoever reads may ask a person, or wait for RabbitMQ."""

Connection = psycopg.Connection[tuple[Any, ...]]


def connected(location: Location, *, writing: bool) -> Connection:
    """A new connection, for :func:`transaction`. Blocks for some seconds a host at most.

    Raises:
      DatabaseError: no server can be reached, or it refuses.
      ConfigurationError: the database has another encoding than UTF-8.
    """
    with mapped(location.place):
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
        # A role's or a database's own default may be one at which collectors side by side fail.
        connection.isolation_level = IsolationLevel.READ_COMMITTED
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: Connection, *, writing: bool) -> Iterator[None]:
    """A transaction in which no statement waits for long, and whose commit is one if it writes."""
    with connection.transaction():
        connection.execute(_WRITING if writing else _READING)
        yield


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
