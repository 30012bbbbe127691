"""The boundary to RabbitMQ: what a connection is made from, and how one is opened."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import pika
import pika.exceptions

from worker.errors import BrokerError, ConfigurationError
from worker.rabbitmq.failures import PIKA_ERRORS, failure
from worker.rabbitmq.frame_connections import Delivered, TolerantConnection
from worker.rabbitmq.frame_reader import FrameReader
from worker.rabbitmq.tls import split_off_tls
from worker.rabbitmq.urls import refuse_ignored_parts
from worker.settings import urls_of
from worker.text.bounds import MESSAGE

Node: TypeAlias = pika.URLParameters
"""One node of RabbitMQ. It holds the password, so it must not be printed."""

HEARTBEAT_SECONDS = 30
"""A peer that vanishes without closing the connection is noticed after two missed heartbeats, so within a minute."""

SOCKET_TIMEOUT_SECONDS = 5
"""For the TCP connection to one node. TCP, TLS and AMQP's handshake together get twice that. A URL may set both."""

DEFAULT_DELIVERY_LIMIT = 20
"""What a quorum queue without a limit of its own has from RabbitMQ 4.0 on; before that, none."""

DEFAULTS_CHANGED = 4
"""The first major version with that default."""


@dataclass(frozen=True, slots=True, repr=False)
class Parameters:
    """What a connection is made from: RabbitMQ's nodes, any of which will do. Holds passwords."""

    nodes: tuple[Node, ...]

    def shuffled(self) -> list[Node]:
        """The nodes in random order, in which to try them: so clients spread over a cluster."""
        return random.sample(self.nodes, len(self.nodes))


class Connection(pika.BlockingConnection):  # type: ignore[misc]  # pika has no types
    """A connection that knows its ``node``, and that no message can end or fill the memory of.

    Bodies of more than ``largest`` bytes are discarded, see :mod:`worker.rabbitmq.frame_reader`. For one thread, as all
    of pika's: every call may block until RabbitMQ answers, or until the connection's time-out.
    """

    def __init__(self, node: Node, largest: int) -> None:
        super().__init__(node, _impl_class=TolerantConnection)
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
    def delivered(self) -> Delivered:
        """What has come to the consumers of :meth:`keep_deliveries_to`, in order, for the caller to take out."""
        delivered: Delivered = self._impl.delivered
        return delivered

    def keep_deliveries_to(self, consumer: str) -> None:
        """Keep what comes to the consumer of this tag in :attr:`delivered`, in place of calling it."""
        self._impl.consumers.add(consumer)

    def forget(self, consumer: str) -> None:
        """Nothing more comes to the consumer of this tag."""
        self._impl.consumers.discard(consumer)

    def ack(self, channel: int, tag: int) -> None:
        """Acknowledge a delivery on an open channel; it is sent with the next :meth:`turn`."""
        self._impl.ack(channel, tag)

    def turn(self, seconds: float) -> None:
        """Do one turn of I/O and call what is due: wait up to ``seconds`` until something comes or :meth:`wake`.

        For ``process_data_events``, which makes two timers, two polls and some fifty calls more for each wake-up: a
        seventh of a worker's CPU. Not from within a callback.

        Raises:
          pika.exceptions.AMQPError, OSError: the connection is closed.
        """
        loop = self._impl.ioloop
        # pika waits no longer than until its next timer.
        timer = loop.call_later(seconds, _nothing)
        loop.poll()
        loop.process_timeouts()
        loop.remove_timeout(timer)
        if self._closed_result.ready:
            error: BaseException = self._closed_result.value.error
            self._cleanup()
            raise error
        if self._ready_events:
            self._dispatch_connection_events()
        if self._channels_pending_dispatch:
            self._dispatch_channel_events()

    @contextmanager
    def answered_within(self, seconds: float) -> Iterator[None]:
        """Break the connection where the block takes longer: what waits in it for RabbitMQ's answer raises then.

        Heartbeats go on while RabbitMQ leaves a single question unanswered, so nothing else ends that wait.
        """
        loop = self._impl.ioloop
        timer = loop.call_later(seconds, partial(self._impl.break_off, seconds))
        try:
            yield
        finally:
            if self.is_open:
                loop.remove_timeout(timer)

    def wake(self) -> None:
        """End a :meth:`turn` that waits. From any thread."""
        self._impl.ioloop.add_callback_threadsafe(_nothing)

    @property
    def major(self) -> int:
        """RabbitMQ's major version; a server that doesn't state one counts as new."""
        return int(str(self._impl.server_properties.get("version", "")).partition(".")[0] or DEFAULTS_CHANGED)

    @property
    def default_delivery_limit(self) -> int:
        """Deliveries after which a quorum queue without a limit of its own drops a message; negative for never."""
        return DEFAULT_DELIVERY_LIMIT if self.major >= DEFAULTS_CHANGED else -1


def _nothing() -> None:
    """Ends a wait of pika's loop, as any callback does."""


def parameters(urls: str, *, name: str) -> Parameters:
    """Parameters of a connection that RabbitMQ lists as ``name``, to the node of the URL or to one of several.

    Raises:
      ConfigurationError: a URL can't be used; its text names no password.
    """
    # pika logs each failed attempt with a whole traceback. We raise what matters of it, and log that once.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    return Parameters(tuple(_node(url, name) for url in urls_of(urls)))


def _node(url: str, name: str) -> Node:
    try:
        if urlsplit(url).scheme not in {"amqp", "amqps"}:
            # pika accepts http as amqp.
            raise ValueError
        url, tls = split_off_tls(url)
        refuse_ignored_parts(url)
        parsed = pika.URLParameters(url)
    except (ValueError, TypeError, IndexError, SyntaxError, RecursionError, MemoryError):
        # Their texts quote the value at fault, which may be the password. The odd ones among these errors come from
        # options that pika reads as Python literals.
        raise ConfigurationError(
            "REFERRALS_AMQP_URL: it is not an AMQP URL; expected amqp://host:5672/vhost (%2f for the vhost /), "
            "with user:password@ before the host"
        ) from None
    if tls is not None:
        parsed.ssl_options = tls
    # A URL escapes the zone of an address such as fe80::1%eth0, and pika keeps the escape.
    parsed.host = unquote(parsed.host)
    given = {option for option, _ in parse_qsl(urlsplit(url).query)}
    if parsed.heartbeat is None:
        parsed.heartbeat = HEARTBEAT_SECONDS
    if "socket_timeout" not in given:
        parsed.socket_timeout = SOCKET_TIMEOUT_SECONDS
    if "stack_timeout" not in given:
        parsed.stack_timeout = parsed.socket_timeout * 2
    parsed.client_properties = {"connection_name": name} | (parsed.client_properties or {})
    return parsed


def connect(params: Parameters, *, largest: int = MESSAGE.size) -> Connection:
    """Open a connection to the first node that accepts it. Blocks for up to about 10 s for each node.

    Of a body of more than ``largest`` bytes only size and digest are kept: see `frame_reader`.

    Raises:
      BrokerError: no node can be reached, or all refuse; names each host and port.
    """
    problems = []
    for node in params.shuffled():
        try:
            return Connection(node, largest)
        except PIKA_ERRORS as error:
            problems.append(failure(error, node))
            cause: Exception = error
    raise BrokerError("; ".join(map(str, problems)), reason=problems[0].reason) from cause


def close_quietly(connection: Connection) -> None:
    """Close the connection if it stands. Where that fails, RabbitMQ notices the broken connection and requeues what was
    delivered all the same.
    """
    with suppress(pika.exceptions.AMQPError, OSError):
        if connection.is_open:
            connection.close()


@contextmanager
def closing_on_failure(connection: Connection) -> Iterator[None]:
    """Close the connection where the block raises: a constructor that fails must leave none open."""
    try:
        yield
    except BaseException:
        close_quietly(connection)
        raise
