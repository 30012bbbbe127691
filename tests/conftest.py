"""Fixtures that any test may ask for: private services, and a virtual host of its own for each test."""

import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from tests.services import PostgreSQL, RabbitMQ, Stack, Valkey, Vhost, attach, stop_all, up

SERVICES_FOLDER = "REFERRALS_TEST_SERVICES"
"""Names the folder of services that run already (`scripts/services up` fills `.services`) and are left running."""

# Commands show local times beside UTC's, and tests compare texts wherever they run.
os.environ["TZ"] = "UTC"
time.tzset()

# The machines are shared: how long an example takes says nothing about the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


def pytest_collection_finish() -> None:
    """Thousands of tests stay until the end: the garbage collector need not walk through them again and again."""
    gc.freeze()


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A RabbitMQ, a Valkey and a PostgreSQL for the whole session; without them the test fails, it is never skipped."""
    if chosen := os.environ.get(SERVICES_FOLDER):
        yield attach(Path(chosen))
        return
    folder = tmp_path_factory.mktemp("services")
    try:
        yield up(folder)
    finally:
        stop_all(folder)


@pytest.fixture(scope="session")
def rabbitmq(services: Stack) -> RabbitMQ:
    """The session's RabbitMQ. A test that stops it or needs another configuration opens a node of its own."""
    return services.rabbitmq


@pytest.fixture(scope="session")
def valkey(services: Stack) -> Valkey:
    """The session's Valkey. A test that stops it opens one of its own."""
    return services.valkey


@pytest.fixture(scope="session")
def postgresql(services: Stack) -> PostgreSQL:
    """The session's PostgreSQL. A test that stops it or needs other settings opens one of its own."""
    return services.postgresql


@pytest.fixture
def postgres_url(postgresql: PostgreSQL) -> Iterator[str]:
    """An empty database of the session's PostgreSQL; it and its connections are gone after the test."""
    made = postgresql.add_database()
    yield made
    postgresql.delete_database(made)


@pytest.fixture
def redis_url(valkey: Valkey, worker_id: str) -> str:
    """An empty database of the session's Valkey, which no other test process uses."""
    number = 0 if worker_id == "master" else 1 + int(worker_id.removeprefix("gw"))
    url = f"{valkey.url.removesuffix('/0')}/{number}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def vhost(rabbitmq: RabbitMQ) -> Iterator[Vhost]:
    """An empty virtual host on the session's RabbitMQ; it and its connections are gone after the test."""
    made = rabbitmq.add_vhost()
    yield made
    rabbitmq.delete_vhost(made)
