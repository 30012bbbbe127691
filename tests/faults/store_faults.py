"""What can happen to the store; each ends by what it returns."""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import redis

from tests.faults.site import PATIENCE, Heal, Site
from tests.services import Forwarder, Valkey, wait_until
from tests.services.process import free_ports


@contextmanager
def client(site: Site) -> Iterator[Any]:
    """A connection to the row's Valkey."""
    made = redis.Redis.from_url(site.valkey.url)
    yield made
    made.close()


def killed(site: Site) -> Heal:
    """SIGKILL; it comes back with what it has written to its append-only file."""
    site.valkey.kill()
    return lambda: site.valkey.start()


def lost(site: Site) -> Heal:
    """SIGKILL, and its disk is gone; it comes back empty."""
    site.valkey.kill()
    shutil.rmtree(site.valkey.folder / "appendonlydir")
    return lambda: site.valkey.start()


def flushed(site: Site) -> Heal:
    """FLUSHALL, by mistake; connections stand."""
    with client(site) as valkey:
        valkey.flushall()
    return lambda: None


@contextmanager
def empty_stand_in(site: Site) -> Iterator[Callable[[Site], Heal]]:
    """The row's Valkey behind a name that workers know, and a fault: it dies, and one that has nothing takes over."""
    with Valkey(site.desk.folder / "stand-in") as other, Forwarder(site.valkey.record["port"]) as name:
        site.desk.env["REFERRALS_REDIS_URL"] = f"redis://127.0.0.1:{name.port}/0"

        def fail_over(site: Site) -> Heal:
            site.valkey.kill()

            def heal() -> None:
                name.target = other.record["port"]

            return heal

        yield fail_over


def frozen(site: Site) -> Heal:
    """It takes connections and answers nothing."""
    with client(site) as valkey:
        process = psutil.Process(valkey.info("server")["process_id"])
    process.send_signal(signal.SIGSTOP)
    return lambda: process.send_signal(signal.SIGCONT)


def out_of_memory(site: Site) -> Heal:
    """It refuses whatever would need memory."""
    _configure(site, "maxmemory", "1mb")
    return lambda: _configure(site, "maxmemory", "0")


def read_only(site: Site) -> Heal:
    """It has become a replica, as after a failover to another."""
    (port,) = free_ports(1)
    with client(site) as valkey:
        valkey.replicaof("127.0.0.1", port)

    def heal() -> None:
        with client(site) as valkey:
            valkey.replicaof("no", "one")

    return heal


class NamedPair:
    """A primary and its replica behind one name, which workers know."""

    def __init__(self, primary: Valkey, replica: Valkey, name: Forwarder) -> None:
        self._primary, self._replica, self._name = primary, replica, name

    def fail_over(self) -> None:
        """Have them change places, no write lost; the name still leads to who is the replica now."""
        port = self._replica.record["port"]
        with redis.Redis.from_url(self._primary.url) as made:
            valkey: Any = made
            valkey.execute_command("FAILOVER", "TO", "127.0.0.1", port, "TIMEOUT", 10_000)
            wait_until(lambda: valkey.info("replication")["role"] == "slave", PATIENCE, "the primary to be demoted")
        self._primary, self._replica = self._replica, self._primary

    def follow(self) -> None:
        """Lead the name to the primary. Connections that stand stay where they are."""
        self._name.target = self._primary.record["port"]


@contextmanager
def named_pair(site: Site) -> Iterator[NamedPair]:
    """The row's Valkey with a replica in step, and the name that the row's workers are given for them."""
    primary = site.valkey
    with (
        Valkey(site.desk.folder / "replica", appendonly="yes") as replica,
        Forwarder(primary.record["port"]) as name,
        redis.Redis.from_url(replica.url) as made,
    ):
        valkey: Any = made
        valkey.replicaof("127.0.0.1", primary.record["port"])
        wait_until(lambda: valkey.info("replication")["master_link_status"] == "up", PATIENCE, "a replica in step")
        site.desk.env["REFERRALS_REDIS_URL"] = f"redis://127.0.0.1:{name.port}/0"
        yield NamedPair(primary, replica, name)


def _configure(site: Site, name: str, value: str) -> None:
    with client(site) as valkey:
        valkey.config_set(name, value)
