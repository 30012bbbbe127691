"""What the tests of the stores share."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from tests.integration.store.worlds import Kind, RedisWorld, World, make_world
from tests.services import Valkey
from worker.store.timing import HORIZON


@pytest.fixture(params=get_args(Kind))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each store, empty, at noon; none grants anything ahead of its time."""
    made = make_world(request.param, request, horizon=0)
    yield made
    made.close()


@pytest.fixture(params=get_args(Kind))
def ahead(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each store, empty, at noon, as processes share it: with its horizon and with turns."""
    made = make_world(request.param, request, horizon=HORIZON)
    yield made
    made.close()


@pytest.fixture
def shared(redis_url: str) -> Iterator[RedisWorld]:
    """The Redis store as it is used: with its horizon."""
    made = RedisWorld(redis_url, horizon=HORIZON)
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of the test's own."""
    with Valkey(tmp_path / "valkey") as made:
        yield made


@pytest.fixture
def alone(server: Valkey) -> Iterator[RedisWorld]:
    """The same as ``shared`` on a server of its own, of which the test may flush the scripts: other tests count how
    often theirs are loaded.
    """
    made = RedisWorld(server.url, horizon=HORIZON)
    yield made
    made.close()
