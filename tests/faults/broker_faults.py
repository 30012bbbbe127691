"""What can happen to RabbitMQ. Some of it ends by itself before the function returns, the rest by what it returns."""

import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.faults.site import PATIENCE, Heal, Site
from tests.services import ServiceError, wait_until

HEARTBEAT_SECONDS = 2
"""Of the workers' connections in rows whose node is out of reach."""

Fault = Callable[[Site], None]


def crashed(site: Site) -> None:
    """SIGKILL, and a start with what was on disk."""
    declared = site.rabbitmq.depths(site.vhost)
    wait_until(
        lambda: all(site.rabbitmq.registered(site.vhost, queue) for queue in declared), PATIENCE, "queues on disk"
    )
    site.rabbitmq.kill()
    time.sleep(1)  # the outage itself: workers try to connect meanwhile
    site.rabbitmq.start()


def application_restarted(site: Site) -> None:
    """As for an upgrade in place."""
    site.rabbitmq.ctl("stop_app")
    # While it is stopped, somebody's outgoing connection may borrow one of its ports for a moment.
    wait_until(lambda: _started(site), PATIENCE, "the application to start")


def _started(site: Site) -> bool:
    try:
        site.rabbitmq.ctl("start_app")
    except ServiceError:
        return False
    return True


def connections_closed(site: Site) -> None:
    """By an operator, or a load balancer."""
    site.rabbitmq.ctl("close_all_connections", "--vhost", site.vhost.name, "maintenance")


def unreachable(site: Site) -> None:
    """Every packet to and from it is dropped, for longer than heartbeats bear."""
    with _packets_dropped(site.rabbitmq.record["amqp"]):
        wait_until(lambda: not any(worker.ready() for worker in site.workers), PATIENCE, "workers to notice")
        time.sleep(HEARTBEAT_SECONDS)  # the outage itself goes on


@contextmanager
def _packets_dropped(port: int) -> Iterator[None]:
    # To or from this TCP port of this machine.
    table = f"faults-{uuid.uuid4().hex[:8]}"
    rules = f"""table inet {table} {{
        chain dropped {{
            type filter hook input priority 0;
            tcp dport {port} drop
            tcp sport {port} drop
        }}
    }}"""
    subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True)


def limit(site: Site, name: str, value: int) -> None:
    """The row's virtual host may have so many of these; -1: any number."""
    site.rabbitmq.api("PUT", f"/api/vhost-limits/{site.vhost.name}/{name}", {"value": value})


def out_of_memory(site: Site) -> Heal:
    """More in use than the watermark."""
    site.rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    return lambda: _ctl(site, "set_vm_memory_high_watermark", "0.4")


def out_of_disk(site: Site) -> Heal:
    """Less left than the limit."""
    site.rabbitmq.ctl("set_disk_free_limit", "900000GB")
    return lambda: _ctl(site, "set_disk_free_limit", "50MB")


def _ctl(site: Site, *arguments: str) -> None:
    site.rabbitmq.ctl(*arguments)
