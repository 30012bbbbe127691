"""What can happen to the store; each ends by what it returns."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import redis

from tests.faults.site import Heal, Site
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


def _configure(site: Site, name: str, value: str) -> None:
    with client(site) as valkey:
        valkey.config_set(name, value)
