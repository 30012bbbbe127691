"""The boundary to RabbitMQ: what a connection is made from, and connecting."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import pika
import pika.exceptions

from worker.errors import BrokerError, ConfigurationError
from worker.rabbitmq.failures import PIKA_ERRORS, failure
from worker.rabbitmq.frame_reader import FrameReader
from worker.rabbitmq.tls import split_off_tls
from worker.rabbitmq.urls import refuse_ignored_parts
from worker.settings import urls_of
from worker.text.bounds import MESSAGE

Node: TypeAlias = pika.URLParameters
"""One node of RabbitMQ; holds the password, so it is not to be printed."""

HEARTBEAT_SECONDS = 30
"""A peer that vanishes without a word is noticed after two of them."""

SOCKET_TIMEOUT_SECONDS = 5

DEFAULT_DELIVERY_LIMIT = 20
"""Of quorum queues from RabbitMQ 4.0 on."""

DEFAULTS_CHANGED = 4


@dataclass(frozen=True, slots=True, repr=False)
class Parameters:
    """What a connection is made from: RabbitMQ's nodes, any of which will do; holds passwords."""

    nodes: tuple[Node, ...]

    def shuffled(self) -> list[Node]:
        """The nodes in the order to try them in, another one each time: so that clients spread over a cluster."""
        return random.sample(self.nodes, len(self.nodes))


class _TolerantConnection(pika.SelectConnection):  # type: ignore[misc]  # pika has no types
    def __init__(self, *arguments: Any, **options: Any) -> None:
        # Before pika's own, which may read at once.
        self.frames = FrameReader()
        super().__init__(*arguments, **options)

    def _read_frame(self) -> Any:
        # pika's one place that decodes, and so the one to replace.
        return self.frames.read(self._frame_buffer)


class Connection(pika.BlockingConnection):  # type: ignore[misc]  # pika has no types
    """A connection that knows its ``node``, and that no message can end or fill the memory of.

    Bodies of more than ``largest`` bytes are discarded, see :mod:`worker.rabbitmq.frame_reader`. For one thread, as all
    of pika's: every call may block until RabbitMQ answers, or until the connection's time-out.
    """

    def __init__(self, node: Node, largest: int) -> None:
        super().__init__(node, _impl_class=_TolerantConnection)
        self._frames: FrameReader = self._impl.frames
        self._frames.largest = largest
        self.node = node

    def keep_within(self, room: int, *, wanted: frozenset[str]) -> None:
        """Bound the memory of messages in hand to ``room`` bytes beyond what is ordinary for each.

        Of their headers only those ``wanted`` are kept as values. Counts from now on.
        """
        self._frames.room, self._frames.wanted = room, wanted

    def make_room(self, room: int) -> None:
        """Return ``room`` bytes: the messages that took them are in hand no more."""
        if self._frames.room is not None:
            self._frames.room += room

    @property
    def major(self) -> int:
        """RabbitMQ's version, as far as its first dot."""
        return int(str(self._impl.server_properties.get("version", "")).partition(".")[0] or DEFAULTS_CHANGED)

    @property
    def default_delivery_limit(self) -> int:
        """Deliveries after which a quorum queue without a limit of its own drops a message; negative for never."""
        return DEFAULT_DELIVERY_LIMIT if self.major >= DEFAULTS_CHANGED else -1


def parameters(urls: str, *, name: str) -> Parameters:
    """Parameters of a connection that RabbitMQ lists as ``name``, to the node of the URL or to one of several.

    Raises:
      ConfigurationError: a URL can't be used; its text names no password.
    """
    # pika logs connection attempts with whole tracebacks; what matters of them is raised and logged once by us.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    return Parameters(tuple(_node(url, name) for url in urls_of(urls)))


def _node(url: str, name: str) -> Node:
    try:
        if urlsplit(url).scheme not in {"amqp", "amqps"}:
            # pika would take http for amqp.
            raise ValueError
        url, tls = split_off_tls(url)
        refuse_ignored_parts(url)
        parsed = pika.URLParameters(url)
    except (ValueError, TypeError, IndexError, SyntaxError, RecursionError, MemoryError):
        # Their words quote the value at fault. pika reads some options as Python.
        raise ConfigurationError(
            "REFERRALS_AMQP_URL: it is not an AMQP URL; expected amqp://host:5672/vhost (%2f for the vhost /), "
            "with user:password@ before the host"
        ) from None
    if tls is not None:
        parsed.ssl_options = tls
    # A zone, such as fe80::1%eth0, is escaped in a URL, and pika leaves it so.
    parsed.host = unquote(parsed.host)
    told = {option for option, _ in parse_qsl(urlsplit(url).query)}
    if parsed.heartbeat is None:
        parsed.heartbeat = HEARTBEAT_SECONDS
    if "socket_timeout" not in told:
        parsed.socket_timeout = SOCKET_TIMEOUT_SECONDS
    if "stack_timeout" not in told:
        parsed.stack_timeout = parsed.socket_timeout * 2
    parsed.client_properties = {"connection_name": name} | (parsed.client_properties or {})
    return parsed


def connect(params: Parameters, *, largest: int = MESSAGE.size) -> Connection:
    """Open a connection to the first node that takes it. Blocks for some 10 s at most for each.

    Of a body of more than ``largest`` bytes only size and digest are kept: see `frame_reader`.

    Raises:
      BrokerError: RabbitMQ is out of reach or turns us away; names each host and port.
    """
    problems = []
    for node in params.shuffled():
        try:
            return Connection(node, largest)
        except PIKA_ERRORS as error:
            problems.append(failure(error, node))
            cause: Exception = error
    raise BrokerError("; ".join(map(str, problems)), reason=problems[0].reason) from cause


@contextmanager
def closing_on_failure(connection: Connection) -> Iterator[None]:
    """Whoever can't use the connection after all leaves none behind."""
    try:
        yield
    except BaseException:
        # pika may find out only now that it has ended.
        with suppress(pika.exceptions.AMQPError):
            if connection.is_open:
                connection.close()
        raise
