"""The store that calls of `worker.publish` share, by the counts that they add."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from pydantic import SecretStr

from tests.services import Valkey, process, wait_until
from tests.services.forwarder import Forwarder
from tests.unit.making import NOON
from worker.clock import ManualClock
from worker.settings import Settings
from worker.store.counters import tally
from worker.store.kept_stores import LONGEST_UNUSED, KeptStores

COUNT = {("acme", "spring"): {"published": 1}}


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at noon."""
    return ManualClock(NOON)


@pytest.fixture
def kept(clock: ManualClock) -> Iterator[KeptStores]:
    """What is tested."""
    made = KeptStores(clock)
    yield made
    made.close()


def settings_for(url: str) -> Settings:
    """Of a producer that counts in this store."""
    return Settings(redis_url=SecretStr(url))


def connections(server: Valkey) -> set[str]:
    """What the server calls the connections of others than the one who asks."""
    with redis.Redis.from_url(server.url) as client:
        own = str(client.client_id())
        listed: Any = client.client_list()
        return {each["id"] for each in listed} - {own}


def counted(server: Valkey) -> int:
    """How many jobs were counted."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        numbers: Any = [client.hgetall(key) for key in client.keys("rd:{acme}:k:spring")]
    return sum(int(counters["published"]) for counters in numbers)


def test_threads_share_one_connection(server: Valkey, kept: KeptStores) -> None:
    """40 counts on 8 threads are all in once each call has returned, over one connection, which ends with the rest."""
    loaded = settings_for(server.url)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: tally(loaded, COUNT, kept), range(40))) == [None] * 40
    assert counted(server) == 40
    assert len(connections(server)) == 1
    kept.close()
    wait_until(lambda: not connections(server), 5, "no connection")


def test_after_a_failover_nothing_is_lost(tmp_path: Path, server: Valkey, kept: KeptStores) -> None:
    """A primary that has become a replica keeps its connections: the count that it refuses goes to the new primary."""
    with Valkey(tmp_path / "second") as second, Forwarder(server.record["port"]) as name:
        loaded = settings_for(f"redis://127.0.0.1:{name.port}/0")
        assert tally(loaded, COUNT, kept) is None
        name.target = second.record["port"]
        assert tally(loaded, COUNT, kept) is None
        assert (counted(server), counted(second)) == (2, 0)
        with redis.Redis.from_url(server.url) as client:
            client.replicaof("127.0.0.1", str(second.record["port"]))
        assert tally(loaded, COUNT | {("bolt", "spring"): {"published": 1}}, kept) is None
        assert tally(loaded, COUNT, kept) is None
        assert counted(second) == 2


def test_a_replica_that_stays_one_is_told(server: Valkey, kept: KeptStores) -> None:
    """It is asked twice and no more."""
    with redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", "1")
    problem = tally(settings_for(server.url), COUNT, kept)
    assert problem is not None
    assert problem.reason == "read_only"


def test_a_server_that_comes_back_is_met_again(server: Valkey, kept: KeptStores) -> None:
    """Restarted between two counts it loses none; away or frozen it is told, and the next count finds it."""
    loaded = settings_for(server.url)
    assert tally(loaded, COUNT, kept) is None
    server.kill()
    server.start()
    assert tally(loaded, COUNT, kept) is None
    assert counted(server) == 1
    server.kill()
    problem = tally(loaded, COUNT, kept)
    assert problem is not None
    assert problem.reason == "unreachable"
    server.start()
    assert tally(loaded, COUNT, kept) is None
    valkey = process.find(server.folder / "valkey.pid")
    assert isinstance(valkey, psutil.Process)
    with process.frozen(valkey):
        problem = tally(loaded, COUNT, kept)
    assert problem is not None
    assert problem.reason == "silent"
    assert tally(loaded, COUNT, kept) is None


def test_a_connection_long_unused_is_replaced(server: Valkey, kept: KeptStores, clock: ManualClock) -> None:
    """A firewall may have dropped it without a word, and what is sent over it would be lost."""
    loaded = settings_for(server.url)
    tally(loaded, COUNT, kept)
    first = connections(server)
    clock.advance(LONGEST_UNUSED)
    tally(loaded, COUNT, kept)
    assert connections(server) == first
    clock.advance(LONGEST_UNUSED + 1)
    with kept.lend(loaded) as one, kept.lend(loaded) as other:
        assert other is one
    wait_until(lambda: not connections(server), 5, "the first connection to end")
    tally(loaded, COUNT, kept)
    assert len(connections(server) - first) == 1
