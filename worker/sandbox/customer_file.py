"""The customers of a rehearsal, from a file: CSV with a header, or the JSON lines of a customer list.

Columns are ``bhid``, ``shopid`` and ``email``, of which one is enough; others are ignored. A customer without a bhid
gets one that is made up.
"""

import csv
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from worker.errors import InputError
from worker.model.names import canonical
from worker.text.bounds import LISTED_ROW, loads

_COLUMNS = ("bhid", "shopid", "email")
_AT_ONCE = 1000
"""Customers that are read from the database at once: a millisecond, in which no call is answered."""

# It is gone with the process, so there is no journal and no sync.
_SETUP = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA cache_size = -65536;
    CREATE TABLE customers (bhid TEXT NOT NULL, shopid TEXT, email TEXT, address TEXT);
    BEGIN;
"""
_INDEXES = """
    CREATE INDEX by_bhid ON customers (bhid);
    CREATE INDEX by_shopid ON customers (shopid) WHERE shopid IS NOT NULL;
    CREATE INDEX by_address ON customers (address) WHERE address IS NOT NULL;
"""
_COLUMN_OF = {"bhid": "bhid", "shopid": "shopid", "email": "address"}


class CustomerFile:
    """Who is a customer, in a database without a name: 64 MiB of memory, the rest in a temporary file.

    The predictions of a plan are compared with it, so it shares no code with them. Built by one thread and used by one
    at a time; a look-up takes some 10 µs.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
          InputError: the file can't be read, or holds no customers.
        """
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(_SETUP)
        try:
            self.customers = self._load(path)
        except InputError:
            self.close()
            raise

    def close(self) -> None:
        """Close and remove the temporary file."""
        self._db.close()

    def find(self, named: Mapping[str, str]) -> Literal["all", "none", "some"]:
        """Whether all of the ids, by kind, are one customer's, none is anybody's, or neither.

        Ids are compared by each of their characters, addresses without case.
        """
        given = {
            _COLUMN_OF[kind]: canonical(value, address=kind == "email")
            for kind, value in named.items()
            if value.strip()
        }
        if self._has(given):
            return "all"
        return "some" if any(self._has({column: value}) for column, value in given.items()) else "none"

    def rows(self, most: int | None) -> Iterator[list[tuple[str, str | None, str | None]]]:
        """The customers as bhid, shopid and email in the order of the file, some at a time; at most ``most``."""
        found = self._db.execute("SELECT bhid, shopid, email FROM customers LIMIT ?", (-1 if most is None else most,))
        while some := found.fetchmany(_AT_ONCE):
            yield some

    def _load(self, path: Path) -> int:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = _rows(path, file)
                customers = self._db.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows).rowcount
            self._db.executescript(_INDEXES)
        except (OSError, UnicodeDecodeError, csv.Error, sqlite3.Error) as error:
            problem = getattr(error, "strerror", None) or f"can't be read as UTF-8 and CSV or JSON ({error})"
            raise InputError(f"{path}: {problem}; --customers takes a CSV file with bhid, shopid and email") from None
        if customers <= 0:
            raise InputError(f"{path}: holds no customers, so every call would be refused")
        return customers

    def _has(self, given: Mapping[str, str | None]) -> bool:
        condition = " AND ".join(f"{column} = ?" for column in given)
        query = f"SELECT 1 FROM customers WHERE {condition} LIMIT 1"  # noqa: S608 - columns of our own
        return self._db.execute(query, tuple(given.values())).fetchone() is not None


def _rows(path: Path, file: IO[str]) -> Iterator[tuple[str, str | None, str | None, str | None]]:
    read = _json_rows(path, file) if file.read(1) in ("{", "") else _csv_rows(path, file)
    file.seek(0)
    for number, row in enumerate(read, 1):
        bhid, shopid, email = (_text(row.get(column)) for column in _COLUMNS)
        if bhid or shopid or email:
            yield bhid or f"sandbox-{number}", shopid, email, canonical(email, address=True)


def _csv_rows(path: Path, file: IO[str]) -> Iterator[Mapping[str, Any]]:
    # The csv module's own bound is the process's, and other readers raise it.
    reader = csv.DictReader(line for _, line in _lines(path, file))
    if not set(_COLUMNS) & set(reader.fieldnames or ()):
        raise InputError(f"{path}: its first line names none of the columns bhid, shopid and email")
    yield from reader


def _json_rows(path: Path, file: IO[str]) -> Iterator[Mapping[str, Any]]:
    for number, line in _lines(path, file):
        try:
            row = loads(line, LISTED_ROW)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: is no JSON object")
        yield row


def _lines(path: Path, file: IO[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(iter(lambda: file.readline(LISTED_ROW.size + 1), ""), 1):
        if len(line) > LISTED_ROW.size:
            raise InputError(f"{path}, line {number}: is longer than {LISTED_ROW.size:,} characters")
        yield number, line


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return canonical(value) if isinstance(value, str) else None


def line_of(bhid: str, shopid: str | None, email: str | None, *, bhid_as: str) -> str:
    """A customer as a line of a list, with the vendor's bhid under the name ``bhid_as``."""
    return json.dumps({bhid_as: bhid, "shopid": shopid, "email": email}, separators=(",", ":")) + "\n"
