"""Every error of psycopg becomes one of ours, and its words never quote what they may hold."""

import inspect

import psycopg
import pytest
from psycopg import errors

from worker.errors import DatabaseError
from worker.results.postgres.failures import UnstorableError, mapped

EVERY = sorted(
    {each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, psycopg.Error)},
    key=lambda each: each.__name__,
)


def test_every_class_is_mapped() -> None:
    """All two hundred and more; those that speak of values quote none."""
    assert len(EVERY) > 200
    for kind in EVERY:
        with pytest.raises(DatabaseError) as raised, mapped("db:5432/d"):
            raise kind("some words of ann@example.com\nover two lines")
        assert "ann@example.com" not in str(raised.value)
        assert "\n" not in str(raised.value)
        if issubclass(kind, errors.DataError | errors.IntegrityError):
            assert isinstance(raised.value, UnstorableError)
            assert "some words" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "reason", "told"),
    [
        (errors.DiskFull, "no_space", "no space left"),
        (errors.TooManyConnections, "connections", "max_connections"),
        (errors.ReadOnlySqlTransaction, "read_only", "standby"),
        (errors.QueryCanceled, "slow", "too long"),
        (errors.LockNotAvailable, "busy", "lock"),
        (errors.InsufficientPrivilege, "permissions", "too few rights"),
        (errors.AdminShutdown, "stopping", "shutting down"),
    ],
)
def test_what_a_person_can_do(kind: type[psycopg.Error], reason: str, told: str) -> None:
    """A line that names the server and the cause, and a word for it; such a batch is tried again."""
    with pytest.raises(DatabaseError, match=told) as raised, mapped("db:5432/d"):
        raise kind("words")
    assert raised.value.reason == reason
    assert not isinstance(raised.value, UnstorableError)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ('FATAL:  database "campaigns" does not exist', "has no such database"),
        ('FATAL:  role "ann" does not exist', "refuses this user"),
        ('root certificate file "/etc/ca.crt" does not exist', "root certificate file"),
    ],
)
def test_what_is_told_while_it_connects(words: str, told: str) -> None:
    """libpq gives no code then, so its words decide: a certificate that is missing is no database that is."""
    with pytest.raises(DatabaseError, match=told), mapped("db:5432/d"):
        raise psycopg.OperationalError(words)
