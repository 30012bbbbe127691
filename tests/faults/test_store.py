"""The store fails under working processes: no call while it is away, and no limit is passed by more than a burst."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
import redis

from tests.faults.site import PATIENCE, SHOPS, Site
from tests.faults.upstream import always, slow
from tests.services import wait_until
from tests.services.process import free_ports

PER_SECOND = 10
BURST = 10
BACKLOG = len(SHOPS) * (BURST + PER_SECOND * 10)
WORKERS = 2
PREFETCH = 16

GRANTED_SECONDS = 2
"""After which no call starts any more that was granted before the store failed: a grant lives for 0.25 s."""

AWAY_SECONDS = 3


@contextmanager
def client(site: Site) -> Iterator[Any]:
    """A connection to the row's Valkey."""
    made = redis.Redis.from_url(site.valkey.url)
    yield made
    made.close()


def server(site: Site) -> psutil.Process:
    """Its process."""
    with client(site) as valkey:
        return psutil.Process(valkey.info("server")["process_id"])


def killed(site: Site) -> Callable[[], None]:
    """SIGKILL; it comes back without its data."""
    site.valkey.kill()
    return lambda: site.valkey.start()


def frozen(site: Site) -> Callable[[], None]:
    """It takes connections and answers nothing."""
    process = server(site)
    process.send_signal(signal.SIGSTOP)
    return lambda: process.send_signal(signal.SIGCONT)


def out_of_memory(site: Site) -> Callable[[], None]:
    """It refuses whatever would need memory."""
    _configure(site, "maxmemory", "1mb")
    return lambda: _configure(site, "maxmemory", "0")


def read_only(site: Site) -> Callable[[], None]:
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


def begin(site: Site) -> None:
    """Workers on a backlog that takes ten seconds, with some of it done."""
    site.configure(per_second=PER_SECOND, burst=BURST)
    site.upstream.plan = always(slow(0.02))
    site.start(WORKERS)
    site.publish(site.jobs(BACKLOG))
    wait_until(lambda: len(site.upstream.calls()) > len(SHOPS) * (BURST + PER_SECOND), PATIENCE, "the first calls")


@pytest.mark.parametrize("fault", [killed, frozen, out_of_memory, read_only])
def test_away(site: Site, fault: Callable[[Site], Callable[[], None]]) -> None:
    """Not one call is made while the store is away; workers say that they aren't ready, and go on by themselves."""
    begin(site)
    for _ in range(site.times(3)):
        heal = fault(site)
        site.faults += 1
        wait_until(lambda: not any(worker.ready() for worker in site.workers), PATIENCE, "every worker to be unready")
        time.sleep(GRANTED_SECONDS)  # what was granted before may still start
        calls = len(site.upstream.calls())
        time.sleep(AWAY_SECONDS)  # that nobody calls can only be watched
        assert len(site.upstream.calls()) == calls, "called without a limit"
        assert all(worker.alive() for worker in site.workers)
        heal()
        wait_until(lambda: all(worker.ready() for worker in site.workers), PATIENCE, "every worker to be ready")
    site.settle()

    verdict = site.judge(repeats=_unacknowledged() * site.faults if fault is killed else 0)
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}
    site.assert_paced(per_second=PER_SECOND, burst=BURST, bursts=site.faults if fault is killed else 0)


@pytest.mark.parametrize(("command", "bursts"), [("FLUSHALL", 1), ("SCRIPT FLUSH", 0)], ids=["data", "scripts"])
def test_flushed(site: Site, command: str, bursts: int) -> None:
    """Lost data costs a burst once and repeats no finished job; lost scripts cost nothing."""
    begin(site)
    # More and more comes, so that a fault is never too late.
    with client(site) as valkey, site.load(per_second=PER_SECOND, first=BACKLOG):
        for _ in range(site.times(3)):
            valkey.execute_command(command)
            site.faults += 1
            site.await_calls(2 * BURST)
    site.settle()

    verdict = site.judge(repeats=_unacknowledged() * site.faults if bursts else 0)
    assert site.ended.outcomes == {"sent": len(verdict.attempted)}
    site.assert_paced(per_second=PER_SECOND, burst=BURST, bursts=bursts * site.faults)


def _unacknowledged() -> int:
    # What the workers can have in hand when the ledger is lost; its copies would be called again.
    return WORKERS * PREFETCH * len(SHOPS)
