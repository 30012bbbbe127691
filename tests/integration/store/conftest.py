"""What the tests of the stores share."""

from collections.abc import Iterator
from typing import cast, get_args

import pytest

from tests.integration.store.worlds import Kind, MemoryWorld, RedisWorld, World
from worker.store.timing import HORIZON


@pytest.fixture(params=get_args(Kind))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Either store, empty, at noon; neither grants anything ahead of its time."""
    made: World
    if cast("Kind", request.param) == "memory":
        made = MemoryWorld()
    else:
        made = RedisWorld(request.getfixturevalue("redis_url"), horizon=0)
    yield made
    made.close()


@pytest.fixture(params=get_args(Kind))
def ahead(request: pytest.FixtureRequest) -> Iterator[World]:
    """Either store, empty, at noon, as processes share it: with its horizon and with turns."""
    made: World
    if cast("Kind", request.param) == "memory":
        made = MemoryWorld(horizon=HORIZON)
    else:
        made = RedisWorld(request.getfixturevalue("redis_url"), horizon=HORIZON)
    yield made
    made.close()


@pytest.fixture
def shared(redis_url: str) -> Iterator[RedisWorld]:
    """The Redis store as it is used: with its horizon."""
    made = RedisWorld(redis_url, horizon=HORIZON)
    yield made
    made.close()
