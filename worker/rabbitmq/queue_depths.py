"""How many messages each queue holds, for `referrals status`.

RabbitMQ's Prometheus endpoint counts every message of every queue in one request. A passive declare needs no second
port and can miss messages: it reported 0 of 45 in a delay queue.
"""

import http.client
import math
import re
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlencode

from worker.model.lanes import LANES, Lane
from worker.network import tls
from worker.network.addresses import authority
from worker.rabbitmq.connection import Node, Parameters, connect
from worker.rabbitmq.declare import NOT_FOUND
from worker.rabbitmq.failures import as_broker_errors
from worker.rabbitmq.queue_inspection import QueueState, Refusal, inspect_queues
from worker.rabbitmq.topology import shop_queue
from worker.text.bounds import LARGEST_INTEGER, METRICS_PAGE

METRICS_PORT = 15692
TIMEOUT_SECONDS = 5.0

LONGEST_LINE = 4096
"""Bytes. Names of queues and virtual hosts have 255 at most. The rest of a longer line is read as another line."""

_LINE = re.compile(r"rabbitmq_detailed_queue_messages_(ready|unacked)\{(.*)\} ([0-9.e+]+)$")
_QUEUE = re.compile(r'queue="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Depth:
    """Messages that are ready in a queue, and those that are delivered and unacknowledged (None: not known)."""

    ready: int
    unacknowledged: int | None


@dataclass(frozen=True, slots=True)
class Depths:
    """Depths by queue, ``source`` (in words, for a person), and whether they count every message."""

    queues: Mapping[str, Depth]
    source: str
    complete: bool

    def of_lane(self, shop: str, lane: Lane) -> Depth | None:
        """The depth of one lane's queue; None where nothing is known of it."""
        return self.queues.get(shop_queue(shop, lane))

    def of_shop(self, shop: str) -> Depth | None:
        """What all lanes of the shop hold together; None where nothing is known of any."""
        found = [depth for lane in LANES if (depth := self.of_lane(shop, lane)) is not None]
        if not found:
            return None
        unacknowledged = [depth.unacknowledged for depth in found if depth.unacknowledged is not None]
        return Depth(sum(depth.ready for depth in found), sum(unacknowledged) if unacknowledged else None)


def depths(params: Parameters, names: Iterable[str], metrics_url: str | None) -> Depths:
    """The depths of all queues from RabbitMQ's Prometheus endpoint, or else of ``names`` by asking for each.

    The endpoint's values are some seconds old. Asking doesn't show what is unacknowledged, and can miss what a delay
    queue holds. Blocks for up to 5 s between two packets of the endpoint, and for a round trip for each queue asked.

    Raises:
      BrokerError: RabbitMQ is out of reach.
    """
    node = params.nodes[0]
    base = endpoint(node, metrics_url)
    query = urlencode({"vhost": node.virtual_host, "family": "queue_coarse_metrics"})
    try:
        page = _directly().open(f"{base}/metrics/detailed?{query}", timeout=TIMEOUT_SECONDS)
        with page:
            return Depths(read(_lines(page)), f"RabbitMQ's metrics at {base}", complete=True)
    except (OSError, ValueError, http.client.HTTPException):
        return Depths(_asked(params, names), f"RabbitMQ, asked for each queue: {base} does not answer", complete=False)


def endpoint(node: Node, metrics_url: str | None) -> str:
    """Where RabbitMQ's metrics are: at the URL that is set, or beside the broker; without a slash at its end."""
    # A URL escapes the % before the zone of a link-local address.
    beside = authority(node.host.replace("%", "%25"), METRICS_PORT)
    return (metrics_url or f"http://{beside}").rstrip("/")


def _directly() -> urllib.request.OpenerDirector:
    # A proxy that the environment names is for the outside world: it can't reach the broker, or must not know of it.
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls.context())
    )


def _lines(page: BinaryIO) -> Iterator[str]:
    # Read line by line: a page of thousands of queues would else be in memory twice.
    room = METRICS_PAGE
    while line := page.readline(LONGEST_LINE):
        room -= len(line)
        if room < 0:
            raise ValueError("no page of metrics is as large as that")
        yield line.decode()


def read(lines: Iterable[str]) -> dict[str, Depth]:
    """The depths in the lines of a page of RabbitMQ's per-object metrics. Pure.

    Raises:
      ValueError: they are no such page.
    """
    counts: dict[str, dict[str, int]] = {}
    for line in lines:
        found = _LINE.match(line)
        name = _QUEUE.search(found[2]) if found else None
        if found and name:
            count = float(found[3])
            if not math.isfinite(count):
                raise ValueError(f"a queue of {found[3]} messages")
            counts.setdefault(name[1], {})[found[1]] = min(int(count), LARGEST_INTEGER)
    return {name: Depth(count.get("ready", 0), count.get("unacked", 0)) for name, count in counts.items()}


def consumers(params: Parameters, names: Iterable[str]) -> dict[str, int]:
    """How many consumers each of these queues has at this moment; 0 for one that doesn't exist.

    Queues that the user may not read are left out. Blocks for a round trip for each queue.

    Raises:
      BrokerError: RabbitMQ is out of reach.
    """
    found = {}
    for name, state in _inspected(params, names):
        if isinstance(state, QueueState):
            found[name] = state.consumers
        elif state == NOT_FOUND:
            found[name] = 0
    return found


def missing(params: Parameters, names: Iterable[str]) -> list[str]:
    """Which of these queues don't exist. Blocks for a round trip for each queue.

    Raises:
      BrokerError: RabbitMQ is out of reach.
    """
    return [name for name, state in _inspected(params, names) if state == NOT_FOUND]


def _asked(params: Parameters, names: Iterable[str]) -> dict[str, Depth]:
    states = _inspected(params, names)
    return {name: Depth(state.ready, None) for name, state in states if isinstance(state, QueueState)}


def _inspected(params: Parameters, names: Iterable[str]) -> list[tuple[str, QueueState | Refusal]]:
    connection = connect(params)
    try:
        with as_broker_errors(connection.node):
            return list(inspect_queues(connection, names))
    finally:
        if connection.is_open:
            connection.close()
