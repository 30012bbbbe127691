"""What the tests of the stores share."""

from collections.abc import Iterator
from typing import get_args

import pytest

from tests.integration.store.worlds import Kind, RedisWorld, World, make_world
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
