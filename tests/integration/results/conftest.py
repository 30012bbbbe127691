"""What the tests of results in PostgreSQL share."""

from collections.abc import Iterator

import pytest

from worker.results.postgres.location import Location
from worker.results.postgres.table import ResultsTable


@pytest.fixture
def location(postgres_url: str) -> Location:
    """An empty database."""
    return Location(postgres_url, "--postgres", ())


@pytest.fixture
def table(location: Location) -> Iterator[ResultsTable]:
    """The table of results in it."""
    made = ResultsTable(location)
    yield made
    made.close()
