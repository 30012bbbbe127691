"""Every error of psycopg, as one of ours: the boundary to its library.

A server's own words may quote a value, and libpq's a URL. So of the server's only the primary line is shown, and none
at all where it speaks of data.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from worker.errors import DatabaseError

_LONGEST_QUOTE = 200
"""Characters of the server's own words."""

_BY_STATE = {
    "25006": ("read_only", "takes no writes: it is a standby, or was set to read only"),
    "28000": ("credentials", "refuses this user, from here or to this database; its pg_hba.conf decides"),
    "28P01": ("credentials", "refuses the user or the password"),
    "3D000": ("missing", "has no such database; make it with CREATE DATABASE"),
    "3F000": ("missing", "has lost the schema referrals"),
    "42P01": ("missing", "has lost a table of the schema referrals"),
    "42501": ("permissions", "gives this user too few rights"),
    "53100": ("no_space", "has no space left on its disk"),
    "53200": ("no_memory", "has no memory left"),
    "53300": ("connections", "takes no more connections; raise max_connections, or end others"),
    "55P03": ("busy", "waits too long for a lock of another session"),
    "57014": ("slow", "took too long for a statement, or it was cancelled"),
    "57P01": ("stopping", "is shutting down"),
    "57P02": ("stopping", "has crashed and recovers"),
    "57P03": ("starting", "is starting up"),
}
"""What a SQLSTATE means: a word, and what follows the server's address in a line."""

_OF_VALUES = ("22", "23", "54")
"""Classes of SQLSTATE that speak of a value: data, constraints, limits such as the longest entry of an index."""


class UnstorableError(DatabaseError):
    """A value that this database can't keep, however often it is tried. Its words may hold it and are not quoted."""


@contextmanager
def mapped(place: str, rights: str = "") -> Iterator[None]:
    """Turn psycopg's errors into :class:`DatabaseError`; ``place`` names the server and its database.

    ``rights`` is what to ask an administrator for where the user may not do it.
    """
    try:
        yield
    except psycopg.Error as error:
        raise as_database_error(error, place, rights) from error


def as_database_error(error: psycopg.Error, place: str, rights: str = "") -> DatabaseError:
    """The same error as ours."""
    state = error.sqlstate or ""
    where = f"PostgreSQL at {place}"
    if state.startswith(_OF_VALUES) or isinstance(error, (errors.DataError, errors.IntegrityError)):
        return UnstorableError(f"{where} can't keep a value (SQLSTATE {state or 'unknown'})", reason="data")
    if state in _BY_STATE:
        reason, text = _BY_STATE[state]
        if reason == "permissions":
            text += f": {rights}" if rights else "; docs/results-in-postgresql.md has those it needs"
        return DatabaseError(f"{where} {text}", reason=reason)
    told = error.diag.message_primary or str(error)
    words = "; ".join(line.strip(" \t-") for line in told.splitlines() if line.strip())
    for state, (reason, text) in _BY_STATE.items():
        # While it connects, libpq has the server's words and not its code.
        if any(re.search(sign, words) for sign in _WORDS.get(state, ())):
            return DatabaseError(f"{where} {text}", reason=reason)
    return DatabaseError(f"{where}: {words[:_LONGEST_QUOTE]}", reason="unreachable" if not state else "refused")


_WORDS = {
    "28P01": ("password authentication failed", "no password supplied"),
    "28000": (r"no pg_hba\.conf entry", "is not permitted to log in", r'role ".*" does not exist'),
    # Not "does not exist" alone: libpq says that of a certificate too.
    "3D000": (r'database ".*" does not exist',),
    "53300": ("too many clients", "too many connections", "remaining connection slots"),
    "57P03": (
        "the database system is starting up",
        "not yet accepting connections",
        "the database system is in recovery",
    ),
    "57P01": ("the database system is shutting down",),
    "25006": ("session is read-only", "the server is in hot standby mode", "session is not read-write"),
}
