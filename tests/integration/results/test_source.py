"""Results read back from PostgreSQL are those of a file: whole, each job once, found by what a person knows."""

import json
import tracemalloc

import pytest

from tests.integration.results.results import body, stored
from tests.services import PostgreSQL
from worker.errors import InputError
from worker.results.postgres.location import Location
from worker.results.postgres.source import TableSource
from worker.results.postgres.table import ResultsTable
from worker.results.wanted import Wanted

WANTED = {
    "an address in any case": "ANN3@example.com",
    "a destination": "bob3@example.org",
    "a shopid": "c3",
    "a reference": "order 3",
    "a link": "https://example.com/r/3",
    "a link without its scheme": "example.com/r/3/",
}


@pytest.mark.parametrize("text", WANTED.values(), ids=WANTED.keys())
def test_found_by(table: ResultsTable, location: Location, text: str) -> None:
    """Exactly the customer's results, of every campaign and run."""
    raw = [body(number) for number in range(10)] + [body(3, campaign="autumn"), body(3, run=1)]
    table.store([stored(each) for each in raw])
    source = TableSource(location)
    found = list(source.find(Wanted.parse(text)))
    source.close()
    key = json.dumps
    assert sorted(found, key=key) == sorted((json.loads(each) for each in (raw[3], *raw[10:])), key=key)


def test_found_by_id_or_not_at_all(table: ResultsTable, location: Location) -> None:
    """A job id finds its one job, and what nobody has finds nothing."""
    rows = [stored(body(number)) for number in range(3)]
    table.store(rows)
    source = TableSource(location)
    assert [found["line"] for found in source.find(Wanted.parse(rows[1].job_id.upper()))] == [1]
    assert not list(source.find(Wanted.parse("nobody")))
    source.close()


def test_a_campaign_is_streamed(table: ResultsTable, location: Location) -> None:
    """A campaign or a shop alone, with a second question meanwhile, in the memory of a few rows."""
    large = "x" * 10_000
    for start in range(0, 1600, 400):
        names = ["spring", "autumn"]
        table.store([stored(body(n, campaign=names[n % 2], message=large)) for n in range(start, start + 400)])
    source = TableSource(location)
    tracemalloc.start()
    count = 0
    for result in source.results("spring"):
        assert result["campaign"] == "spring"
        if not count:
            assert [found["line"] for found in source.find(Wanted.parse("c8"))] == [8]
        count += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 800
    assert peak < 6_000_000, "the texts alone are 8 MB"
    assert sum(1 for _ in source.results(shop="acme")) == 1600
    assert not list(source.results("spring", "another"))
    source.close()


def test_what_somebody_has_edited(
    table: ResultsTable, location: Location, postgresql: PostgreSQL, postgres_url: str
) -> None:
    """A result whose fields no longer make its job id is refused by that id."""
    row = stored(body(1))
    table.store([row])
    postgresql.sql("UPDATE referrals.results SET result = replace(result::text, 'ann1', 'eve1')::json", postgres_url)
    source = TableSource(location)
    with pytest.raises(InputError, match=f"job {row.job_id}: what the database holds is no result"):
        list(source.results())
    source.close()


def test_a_campaign_by_a_name_that_postgresql_cant_hold(table: ResultsTable, location: Location) -> None:
    """It is asked for as its column holds it, and told from the one whose name is that escape."""
    table.store([stored(body(number, campaign=name)) for number, name in enumerate(["a\0", r"a\x00", "a"])])
    source = TableSource(location)
    assert [found["line"] for found in source.results("a\0")] == [0]
    assert [found["line"] for found in source.results(r"a\x00")] == [1]
    assert not list(source.results(shop="\ud800\0"))
    source.close()
