"""Results in PostgreSQL: one row a job, whatever comes in which order, and nothing that blocks the others."""

import json
import threading

import pytest

from tests.integration.results.results import body, stored
from tests.services import PostgreSQL
from worker.errors import DatabaseError
from worker.results.postgres.location import Location
from worker.results.postgres.source import TableSource
from worker.results.postgres.table import ResultsTable


def outcomes(location: Location) -> dict[int, str]:
    """The outcome of each customer's job, by the number that it was made with."""
    source = TableSource(location)
    try:
        return {result["line"]: result["outcome"] for result in source.results()}
    finally:
        source.close()


def test_the_result_of_a_call_stays(table: ResultsTable, location: Location) -> None:
    """It replaces an end without a call, and is replaced by nothing, neither in one batch nor in several."""
    final, late = (stored(body(1, "sent")), stored(body(2, "sent")))
    assert table.store([stored(body(1, "expired")), final, stored(body(1, "cancelled"))])[0] == [
        "repeated",
        "new",
        "repeated",
    ]
    assert table.store([stored(body(2, "cancelled"))])[0] == ["new"]
    assert table.store([stored(body(2, "expired"))])[0] == ["repeated"]
    assert table.store([late])[0] == ["superseding"]
    for again in ("sent", "rejected", "expired"):
        assert table.store([stored(body(1, again)), stored(body(2, again))])[0] == ["repeated", "repeated"]
    assert outcomes(location) == {1: "sent", 2: "sent"}


def test_a_repeated_result_changes_nothing(table: ResultsTable, postgresql: PostgreSQL, postgres_url: str) -> None:
    """Not even the instant at which it was collected."""
    table.store([stored(body(1))])
    before = postgresql.sql("SELECT * FROM referrals.results", postgres_url)
    table.store([stored(body(1, message="another"))])
    assert postgresql.sql("SELECT * FROM referrals.results", postgres_url) == before


def test_what_a_text_of_postgresql_cant_hold(table: ResultsTable, location: Location) -> None:
    """NUL and lone surrogates of the vendor come back as they came; in the column they are escapes."""
    awkward = {
        "link": "https://example.com/\x00\ud800",
        "note": "\udfff\x00",
        "deep": {"\x00": ["\ud83c", 1.5, 10**15]},
    }
    raw = body(1, message="a\x00b\ud800c", referral=awkward, share_action=["\x00"], sender="\x00")
    assert table.store([stored(raw), stored(body(2))]) == (["new", "new"], [])
    source = TableSource(location)
    assert [result for result in source.results() if result["line"] == 1] == [json.loads(raw)]
    source.close()


def test_a_value_that_cant_be_kept_holds_up_nobody(table: ResultsTable, location: Location) -> None:
    """A row that the server refuses for its value is named, and its batch is stored without it."""
    rows = [stored(body(number)) for number in range(20)]
    rows[7] = rows[7]._replace(message="\0")
    sightings, bad = table.store(rows)
    assert bad == [7]
    assert sightings.count("new") == 19
    assert set(outcomes(location)) == set(range(20)) - {7}


def test_collectors_side_by_side(location: Location) -> None:
    """Four that store the same jobs in different orders at once end without a deadlock, each job once."""
    rows = [stored(body(number, "expired" if number % 3 else "sent")) for number in range(300)]
    rows += [stored(body(number)) for number in range(300)]
    met: list[str] = []

    def collect(offset: int) -> None:
        table = ResultsTable(location)
        for start in range(0, len(rows), 50):
            at = (start + offset * 150) % len(rows)
            sightings, bad = table.store(rows[at : at + 50][:: -1 if offset % 2 else 1])
            assert not bad
            met.extend(sightings)
        table.close()

    threads = [threading.Thread(target=collect, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert met.count("new") == 300
    assert outcomes(location) == dict.fromkeys(range(300), "sent")


def test_ids_as_people_look_for_them(table: ResultsTable, postgresql: PostgreSQL, postgres_url: str) -> None:
    """Columns hold addresses in lower case and times as times; what the emulator answered is marked."""
    customer = {"email": " Ann@Example.COM", "bhid": "B1"}
    table.store(
        [
            stored(
                body(
                    1, customer=customer, called_at="0001-01-01T00:00:00+23:59", finished_at="2026-01-02T03:04:05+23:00"
                )
            ),
            stored(body(2, message="SANDBOX: sent")),
        ]
    )
    query = (
        "SET TIME ZONE 'UTC'; SELECT customer_email, customer_bhid, called_at, finished_at, sandbox "
        "FROM referrals.results ORDER BY line"
    )
    assert postgresql.sql(query, postgres_url).splitlines()[1:] == [
        "ann@example.com|B1||2026-01-01 04:04:05+00|f",
        "ann2@example.com|||2026-01-02 03:04:05+00|t",
    ]


LOST: dict[str, str] = {
    "its connection was ended": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
    "'referral-dispatch' AND datname = current_database()",
    "its table was dropped": "DROP TABLE referrals.results",
    "it became read-only": "ALTER DATABASE {} SET default_transaction_read_only = on; "
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'referral-dispatch' "
    "AND datname = current_database()",
}


@pytest.mark.parametrize("statement", LOST.values(), ids=LOST.keys())
def test_a_database_that_fails(table: ResultsTable, postgresql: PostgreSQL, postgres_url: str, statement: str) -> None:
    """Storing fails as a :class:`DatabaseError`, for which a collector waits, and never as an unstorable value."""
    table.store([stored(body(1))])
    postgresql.sql(statement.format(postgres_url.rsplit("/", 1)[1]), postgres_url)
    with pytest.raises(DatabaseError) as failed:
        table.store([stored(body(2))])
    assert failed.value.reason != "data"
