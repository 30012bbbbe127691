"""The boundary to RabbitMQ: connection parameters, declarations, and pika's errors in our words."""

import logging
import random
import re
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from worker.broker.frames import TolerantConnection
from worker.broker.tls import take_tls
from worker.broker.topology import EXCHANGES, RESULTS, SINGLE, Exchange, Queue
from worker.errors import BrokerError, ConfigurationError
from worker.settings import urls_of

Node: TypeAlias = pika.URLParameters
"""One node of RabbitMQ; holds the password, so it is not to be printed."""

HEARTBEAT_SECONDS = 30
"""A peer that vanishes without a word is noticed after two of them."""

SOCKET_TIMEOUT_SECONDS = 5

ACCESS_REFUSED = 403
NOT_FOUND = 404
RESOURCE_LOCKED = 405
PRECONDITION_FAILED = 406

# How OpenSSL names what went wrong; pika often passes it on as text alone.
_TLS_REASON = re.compile(r"\[SSL: (?P<reason>\w+)\]")
# How RabbitMQ words the first difference it finds between a declaration and what exists, cut off at 255 bytes.
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<name>[^']+)'.* but current is (none|(the value )?('(?P<number>\d+)'|'(?P<text>[^']*)'))"
)
# Only a classic queue can differ in these.
_TYPE_OF_QUEUE = {"x-queue-type", "durable", "auto_delete", "exclusive"}
_LENGTHS = {"x-max-length", "x-max-length-bytes"}
_DROPPING = _LENGTHS | {"x-message-ttl", "x-expires"}


@dataclass(frozen=True, slots=True, repr=False)
class Parameters:
    """What a connection is made from: RabbitMQ's nodes, any of which will do; holds passwords."""

    nodes: tuple[Node, ...]

    def shuffled(self) -> list[Node]:
        """The nodes in the order to try them in, another one each time: so that clients spread over a cluster."""
        return random.sample(self.nodes, len(self.nodes))


class Connection(pika.BlockingConnection):  # type: ignore[misc]  # pika has no types
    """A connection that knows its ``node``."""

    def __init__(self, node: Node) -> None:
        super().__init__(node, _impl_class=TolerantConnection)
        self.node = node


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
            raise ValueError("its scheme is neither amqp nor amqps")
        url, tls = take_tls(url)
        parsed = pika.URLParameters(url)
    except (ValueError, TypeError, IndexError) as error:
        told = str(error)
        reason = told if "scheme" in told or told.startswith("Unknown URL parameter") else "it is not an AMQP URL"
        raise ConfigurationError(
            f"REFERRALS_AMQP_URL: {reason}; expected amqp://host:5672/vhost (%2f for the vhost /), "
            "with user:password@ before the host"
        ) from None
    if tls is not None:
        parsed.ssl_options = tls
    if parsed.heartbeat is None:
        parsed.heartbeat = HEARTBEAT_SECONDS
    parsed.socket_timeout = SOCKET_TIMEOUT_SECONDS
    parsed.stack_timeout = SOCKET_TIMEOUT_SECONDS * 2
    parsed.client_properties = {"connection_name": name}
    return parsed


def connect(params: Parameters) -> Connection:
    """Open a connection to the first node that takes it. Blocks for some 10 s at most for each.

    Raises:
      BrokerError: RabbitMQ is out of reach or turns us away; names each host and port.
    """
    problems = []
    for node in params.shuffled():
        try:
            return Connection(node)
        except (pika.exceptions.AMQPError, OSError) as error:
            problems.append(describe(error, node))
            cause = error
    raise BrokerError("; ".join(problems)) from cause


def describe(error: BaseException, node: Node) -> str:
    """One line on a connection that failed. pika nests what happened; some of its errors have no text at all."""
    place = f"RabbitMQ at {node.host}:{node.port}"
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, pika.exceptions.ProbableAuthenticationError | pika.exceptions.AuthenticationError):
            return f"{place} refuses user or password; check REFERRALS_AMQP_URL"
        if isinstance(cause, pika.exceptions.ProbableAccessDeniedError):
            return f"{place} refuses the vhost {node.virtual_host!r}; check REFERRALS_AMQP_URL"
        if isinstance(cause, pika.exceptions.ConnectionClosed):
            return f"{place} closed the connection: {cause.reply_code} {cause.reply_text}"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"{place}: its certificate is not accepted ({cause.verify_message.rstrip('.')}); "
                "check the host, cacertfile and server_name_indication of REFERRALS_AMQP_URL"
            )
    alert = _TLS_REASON.search(" ".join(map(str, causes)))
    ended = any(isinstance(cause, pika.exceptions.IncompatibleProtocolError) for cause in causes)
    if alert or (ended and node.ssl_options is not None):
        reason = alert["reason"].lower().replace("_", " ") if alert else "connection closed"
        return f"{place}: TLS failed ({reason}); is this its TLS port, and does it trust the authority of a certfile?"
    if ended:
        return f"{place} speaks no AMQP 0-9-1 there; a port for TLS takes amqps:// in REFERRALS_AMQP_URL"
    told = next((str(cause) for cause in causes if isinstance(cause, OSError) and str(cause)), type(error).__name__)
    return f"{place} is out of reach ({told}); is it running, is REFERRALS_AMQP_URL right?"


def _causes(error: BaseException) -> Iterator[BaseException]:
    # The phases of pika's connecting keep theirs apart from their arguments.
    yield error
    for part in (*error.args, getattr(error, "exception", None), *getattr(error, "exceptions", ())):
        if isinstance(part, BaseException):
            yield from _causes(part)


def declare_topology(
    connection: pika.BlockingConnection, queues: Iterable[Queue], *, exchanges: Iterable[Exchange] = EXCHANGES
) -> list[str]:
    """Declare the exchanges and the given queues; returns what differs from version 1 but can be lived with.

    A queue that exists with other arguments is taken if it is a quorum queue. For a user that may not configure,
    everything must have been declared by another; what exists is then taken as it is.

    Raises:
      ConfigurationError: a queue exists that this system can't run on, or is missing and can't be made by this user.
      BrokerError: the connection broke.
    """
    differences: list[str] = []
    channel = connection.channel()
    may_configure = True
    items: tuple[Exchange | Queue, ...] = (*exchanges, *queues)
    for item in items:
        if not may_configure:
            # RabbitMQ logs an error for each refusal, and there may be a thousand shops.
            channel, exists = _look(connection, channel, item)
            if exists:
                continue
        channel, refused = _attempt(connection, channel, item, differences)
        may_configure &= not refused
    channel.close()
    return differences


def hold_single(connection: pika.BlockingConnection) -> None:
    """Take the exclusive queue of a process on the memory store, for as long as the connection lasts.

    Raises:
      ConfigurationError: another process holds it.
    """
    channel = connection.channel()
    try:
        channel.queue_declare(SINGLE, exclusive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != RESOURCE_LOCKED:
            raise
        raise ConfigurationError(
            "another worker process is running on the memory store, which can't be shared: "
            "set REFERRALS_REDIS_URL for all of them, or run a single process"
        ) from None


def _declare(channel: BlockingChannel, item: Exchange | Queue, *, passive: bool) -> None:
    arguments = dict(item.arguments)
    if isinstance(item, Exchange):
        channel.exchange_declare(item.name, item.type, passive=passive, durable=True, arguments=arguments)
        return
    channel.queue_declare(item.name, passive=passive, durable=True, arguments=arguments)
    if not passive:
        for exchange, key in item.bindings:
            channel.queue_bind(item.name, exchange, key)


def _attempt(
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    item: Exchange | Queue,
    differences: list[str],
) -> tuple[BlockingChannel, bool]:
    # Also says whether this user may not configure the item. RabbitMQ answers a refused declaration by closing the
    # channel, so each attempt may leave us with a new one.
    what = f"{'exchange' if isinstance(item, Exchange) else 'queue'} {item.name}"
    try:
        _declare(channel, item, passive=False)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code not in {ACCESS_REFUSED, PRECONDITION_FAILED}:
            raise BrokerError(f"{what}: {error.reply_code} {error.reply_text}") from error
        if error.reply_code == PRECONDITION_FAILED and isinstance(item, Queue):
            return _take(connection, item, error.reply_text, differences), False
        if "'type'" in error.reply_text:
            raise _wrong_type(what, error.reply_text) from None
        if error.reply_code == PRECONDITION_FAILED:
            differences.append(f"{what}: {error.reply_text}")
            return connection.channel(), False
        channel, exists = _look(connection, connection.channel(), item)
        if not exists:
            raise ConfigurationError(
                f"{what} does not exist and this user may not create it ({error.reply_text}): "
                "start a worker whose user may configure, or declare it beforehand"
            ) from None
        return channel, True
    return channel, False


def _look(
    connection: pika.BlockingConnection, channel: BlockingChannel, item: Exchange | Queue
) -> tuple[BlockingChannel, bool]:
    # Whether the item exists, which anybody may ask; and the channel to go on with.
    try:
        _declare(channel, item, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise BrokerError(f"{item.name}: {error.reply_code} {error.reply_text}") from error
        return connection.channel(), False
    return channel, True


def _take(connection: pika.BlockingConnection, wanted: Queue, refusal: str, differences: list[str]) -> BlockingChannel:
    # RabbitMQ tells one difference at a time, in an order of its own: a classic queue may first be told by its
    # dead-letter exchange. So what is told is put into the declaration until it fits the queue, and binds it.
    what = f"queue {wanted.name}"
    arguments, told = dict(wanted.arguments), {}
    while True:
        if any(f"'{name}'" in refusal for name in _TYPE_OF_QUEUE):
            raise _wrong_type(what, refusal)
        difference = _INEQUIVALENT.search(refusal)
        if difference is None or difference["name"] in told:
            raise ConfigurationError(
                f"{what} can't be used ({refusal}): move its messages away, delete it, start again"
            )
        name, value = difference["name"], difference["text"] or difference["number"]
        told[name] = value
        arguments.pop(name, None)
        if value is not None:
            arguments[name] = int(value) if difference["number"] else value
        channel = connection.channel()
        try:
            _declare(channel, Queue(wanted.name, arguments, wanted.bindings), passive=False)
        except pika.exceptions.ChannelClosedByBroker as error:
            refusal = error.reply_text
        else:
            break
    found = ", ".join(f"{name} is {value}, not {wanted.arguments.get(name)}" for name, value in told.items())
    harmless = _LENGTHS if arguments.get("x-overflow") == "reject-publish" else set()
    if wanted.name == RESULTS and (_DROPPING - harmless) & arguments.keys():
        raise ConfigurationError(f"{what} would drop results ({found}): declare it without a length or time limit")
    differences.append(f"{what}: {found}")
    return channel


def _wrong_type(what: str, refusal: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what} exists with another type ({refusal}): move its messages away, delete it, start again"
    )
