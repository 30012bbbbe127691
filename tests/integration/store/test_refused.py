"""The server answers "not here, not now": the error has its reason, and behind the same name the next one is found."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from tests.integration.store.test_tls import Tunnel
from tests.integration.store.worlds import RESULT
from tests.services import Forwarder, Valkey, process, wait_until
from tests.unit.making import go, make_request
from tests.unit.rawserver import server_tls
from worker.clock import SystemClock
from worker.errors import ConfigurationError, StoreError
from worker.model.controls import EVERY_SHOP
from worker.model.suppression import AddressKey
from worker.store.protocol import AlreadyAnswered
from worker.store.redis.store import RedisStore


def store_at(port: int, *, scheme: str = "redis", database: int = 0) -> RedisStore:
    """A store by that port."""
    return RedisStore(f"{scheme}://127.0.0.1:{port}/{database}", SystemClock())


def problem_of(store: RedisStore) -> StoreError:
    """Why the next job isn't admitted."""
    with pytest.raises(StoreError) as refused:
        store.admit(make_request(9))
    return refused.value


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Valkey, Valkey]]:
    """A primary and its replica, in step."""
    at_once = {"repl-diskless-sync-delay": "0"}
    with Valkey(tmp_path / "primary", **at_once) as primary, Valkey(tmp_path / "replica", **at_once) as replica:
        follow(replica, primary)
        yield primary, replica


def follow(replica: Valkey, primary: Valkey) -> None:
    """Make the one the other's replica and wait until it is in step."""
    with redis.Redis.from_url(replica.url) as made:
        client: Any = made
        client.replicaof("127.0.0.1", primary.record["port"])
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", 20, "the replica to be in step")


def fail_over(primary: Valkey, replica: Valkey) -> None:
    """Have them change places without losing a write, as an operator would."""
    with redis.Redis.from_url(primary.url) as made:
        client: Any = made
        client.execute_command("FAILOVER", "TO", "127.0.0.1", str(replica.record["port"]), "TIMEOUT", "10000")
        wait_until(lambda: client.info("replication")["role"] == "slave", 20, "the primary to be demoted")


def test_demoted_behind_its_name(pair: tuple[Valkey, Valkey]) -> None:
    """The open connection leads to a replica by now: it is closed, and the name's new server is found."""
    primary, replica = pair
    with Forwarder(primary.record["port"]) as name:
        store = store_at(name.port)
        store.check()  # a connection of another thread's
        grant = go(store, make_request(1))
        assert store.answer(make_request(1), grant.epoch, RESULT)
        fail_over(primary, replica)
        # Until the name leads there nobody can be found.
        assert problem_of(store).reason == "read_only"
        name.target = replica.record["port"]
        assert go(store, make_request(2)).attempts == 1
        assert store.admit(make_request(1)) == AlreadyAnswered(grant.epoch, RESULT)
        store.check()
        wait_until(lambda: name.connections <= 2, 10, "the old server's connections to be closed")
        store.close()


def test_cannot_save(tmp_path: Path) -> None:
    """A server whose snapshots fail says so itself, and goes on once they succeed."""
    with Valkey(tmp_path / "valkey") as server, redis.Redis.from_url(server.url) as made:
        client: Any = made
        client.config_set("save", "3600 1000000")
        store = store_at(server.record["port"])
        in_the_way = server.folder / "dump.rdb"
        in_the_way.mkdir()
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", 20, "a snapshot to fail")
        problem = problem_of(store)
        assert (problem.reason, "it says: MISCONF" in str(problem)) == ("not_saving", True)
        in_the_way.rmdir()
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok", 20, "a snapshot to succeed")
        go(store, make_request())
        store.close()


def test_too_few_replicas(tmp_path: Path) -> None:
    """A server that wants replicas for its writes says so."""
    with Valkey(tmp_path / "valkey", **{"min-replicas-to-write": "1"}) as server:
        store = store_at(server.record["port"])
        with pytest.raises(StoreError, match=r"min-replicas-to-write \(it says: NOREPLICAS "):
            store.check()
        assert problem_of(store).reason == "no_replicas"
        store.close()


def test_no_such_database(redis_url: str) -> None:
    """Database 16 of 16 is refused at start with the server's reason."""
    store = RedisStore(f"{redis_url.rpartition('/')[0]}/16", SystemClock())
    with pytest.raises(ConfigurationError, match=r"no database of this number.*DB index is out of range"):
        store.check()
    store.close()


def open_node(folder: Path) -> Valkey:
    """A node of a cluster, which serves the slots that it has."""
    options = {"cluster-enabled": "yes", "cluster-require-full-coverage": "no"}
    # Else it is its port and 10,000, which may be none.
    return Valkey(folder, **options, **{"cluster-port": str(process.free_ports(1)[0])})


def test_one_of_two_cluster_nodes(tmp_path: Path) -> None:
    """A node that has half of the slots is refused at start, though it takes the check's own key; one that has all of
    them is taken.
    """
    with open_node(tmp_path / "one") as one, open_node(tmp_path / "two") as two:
        with redis.Redis.from_url(one.url) as first, redis.Redis.from_url(two.url) as second:
            nodes: list[Any] = [first, second]
            nodes[0].execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
            nodes[1].execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
            bus = nodes[1].config_get("cluster-port")["cluster-port"]
            nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", str(two.record["port"]), bus)
            wait_until(lambda: _size(nodes[0]) == _size(nodes[1]) == "2", 30, "the nodes to know each other")
        said = []
        for node in (one, two):
            store = store_at(node.record["port"])
            with pytest.raises(ConfigurationError) as refused:
                store.check()
            said.append(str(refused.value))
            store.close()
        assert all("node" in line and "of a cluster" in line for line in said)
        assert any("all of its slots" in line for line in said)
    with open_node(tmp_path / "whole") as whole:
        with redis.Redis.from_url(whole.url) as made:
            client: Any = made
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: _size(client) == "1", 30, "the only node to be well")
        store = store_at(whole.record["port"])
        store.check()
        store.close()


def test_no_list_of_all_shops_in_a_cluster(tmp_path: Path) -> None:
    """Its keys would lie apart from those of the shops. A shop's own list works on either node."""
    key = AddressKey(b"a secret of sixteen")
    ann = key.hashed("ann@example.com")
    with open_node(tmp_path / "one") as one, open_node(tmp_path / "two") as two:
        with redis.Redis.from_url(one.url) as first, redis.Redis.from_url(two.url) as second:
            nodes: list[Any] = [first, second]
            nodes[0].execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
            nodes[1].execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
            bus = nodes[1].config_get("cluster-port")["cluster-port"]
            nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", str(two.record["port"]), bus)
            wait_until(lambda: _size(nodes[0]) == _size(nodes[1]) == "2", 30, "the nodes to know each other")

            def owner(tag: str) -> Valkey:
                return (one, two)[key_slot(f"rd:{{{tag}}}:x".encode()) > 8191]

            shops = {owner(shop).url: shop for shop in map("shop{}".format, range(20))}
            assert len(shops) == 2
            everywhere = owner(EVERY_SHOP).url
        for url, shop in shops.items():
            store = RedisStore(url, SystemClock(), address_key=key.fingerprint)
            if url == everywhere:
                with pytest.raises(ConfigurationError, match="--shop SHOP for each"):
                    store.suppress(EVERY_SHOP, [ann], 1)
            with contextlib.suppress(StoreError):
                # What is known of all lists is on one of the nodes, and a proxy would find it there.
                store.suppress(shop, [ann], 1)
            assert go(store, replace(make_request(1, shop=shop, customer=""), addresses=(ann,))).suppressed
            assert not go(store, make_request(2, shop=shop, customer="")).suppressed
            store.close()


def _size(client: Any) -> str | None:
    state = client.execute_command("CLUSTER INFO")
    return str(state["cluster_size"]) if state["cluster_state"] == "ok" else None


def test_without_tls_at_a_port_for_it(valkey: Valkey, tmp_path: Path) -> None:
    """That the port is one for TLS is looked at, not guessed; the authority needn't be known for that."""
    tunnel = Tunnel(server_tls(tmp_path), int(valkey.record["port"]))
    store = store_at(tunnel.port)
    with pytest.raises(ConfigurationError, match="without TLS at a port for it; write rediss://"):
        store.check()
    store.close()
    tunnel.close()


def test_tls_at_a_port_without_it(valkey: Valkey) -> None:
    """A server without TLS waits for more of what it can't read; its port answers in plain text: so says the error."""
    store = store_at(valkey.record["port"], scheme="rediss")
    with pytest.raises(ConfigurationError, match="is asked for TLS at a port without it"):
        store.check()
    store.close()
