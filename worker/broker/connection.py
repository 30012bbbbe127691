"""The boundary to RabbitMQ: connection parameters, declarations, and pika's errors in our words."""

import logging
import re
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import urlsplit

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from worker.broker.frames import TolerantConnection
from worker.broker.topology import EXCHANGES, RESULTS, SINGLE, Exchange, Queue
from worker.errors import BrokerError, ConfigurationError

Parameters: TypeAlias = pika.URLParameters
"""What a connection is made from; holds the password, so it is not to be printed."""

HEARTBEAT_SECONDS = 30
"""A peer that vanishes without a word is noticed after two of them."""

SOCKET_TIMEOUT_SECONDS = 5

ACCESS_REFUSED = 403
NOT_FOUND = 404
RESOURCE_LOCKED = 405
PRECONDITION_FAILED = 406

# How RabbitMQ words the first difference it finds between a declaration and what exists, cut off at 255 bytes.
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<name>[^']+)'.* but current is (none|(the value )?('(?P<number>\d+)'|'(?P<text>[^']*)'))"
)
# Only a classic queue can differ in these.
_TYPE_OF_QUEUE = {"x-queue-type", "durable", "auto_delete", "exclusive"}
_LENGTHS = {"x-max-length", "x-max-length-bytes"}
_DROPPING = _LENGTHS | {"x-message-ttl", "x-expires"}


def parameters(url: str, *, name: str) -> Parameters:
    """Parameters of a connection that RabbitMQ lists as ``name``.

    Raises:
      ConfigurationError: the URL can't be used; its text names no password.
    """
    try:
        if urlsplit(url).scheme not in {"amqp", "amqps"}:
            raise ValueError("its scheme is neither amqp nor amqps")
        parsed = pika.URLParameters(url)
    except (ValueError, TypeError, IndexError) as error:
        reason = str(error) if "scheme" in str(error) else "it is not an AMQP URL"
        raise ConfigurationError(
            f"REFERRALS_AMQP_URL: {reason}; expected amqp://user:password@host:5672/vhost (%2f for the vhost /)"
        ) from None
    if parsed.heartbeat is None:
        parsed.heartbeat = HEARTBEAT_SECONDS
    parsed.socket_timeout = SOCKET_TIMEOUT_SECONDS
    parsed.stack_timeout = SOCKET_TIMEOUT_SECONDS * 2
    parsed.client_properties = {"connection_name": name}
    # pika logs connection attempts with whole tracebacks; what matters of them is raised and logged once by us.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    return parsed


def connect(params: pika.URLParameters) -> pika.BlockingConnection:
    """Open a connection.

    Raises:
      BrokerError: RabbitMQ is out of reach or turns us away; names host and port.
    """
    try:
        return pika.BlockingConnection(params, _impl_class=TolerantConnection)
    except (pika.exceptions.AMQPError, OSError) as error:
        raise BrokerError(describe(error, params)) from error


def describe(error: BaseException, params: pika.URLParameters) -> str:
    """One line on a connection that failed. pika nests what happened; some of its errors have no text at all."""
    place = f"RabbitMQ at {params.host}:{params.port}"
    if isinstance(error, pika.exceptions.ProbableAuthenticationError | pika.exceptions.AuthenticationError):
        return f"{place} refuses user or password; check REFERRALS_AMQP_URL"
    if isinstance(error, pika.exceptions.ProbableAccessDeniedError):
        return f"{place} refuses the vhost {params.virtual_host!r}; check REFERRALS_AMQP_URL"
    if isinstance(error, pika.exceptions.ConnectionClosed):
        return f"{place} closed the connection: {error.reply_code} {error.reply_text}"
    cause = next((str(part) for part in error.args if isinstance(part, OSError) and str(part)), "")
    return f"{place} is out of reach ({cause or type(error).__name__}); is it running, is REFERRALS_AMQP_URL right?"


def declare_topology(
    connection: pika.BlockingConnection, queues: Iterable[Queue], *, exchanges: Iterable[Exchange] = EXCHANGES
) -> list[str]:
    """Declare the exchanges and the given queues; returns what differs from version 1 but can be lived with.

    A queue that exists with other arguments is taken if it is a quorum queue; a user that may not configure finds
    everything declared already.

    Raises:
      ConfigurationError: a queue exists that this system can't run on.
      BrokerError: the connection broke.
    """
    differences: list[str] = []
    channel = connection.channel()
    for exchange in exchanges:
        channel = _attempt(connection, channel, exchange, differences)
    for queue in queues:
        channel = _attempt(connection, channel, queue, differences)
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
) -> BlockingChannel:
    # RabbitMQ answers a refused declaration by closing the channel, so each attempt may leave us with a new one.
    what = f"{'exchange' if isinstance(item, Exchange) else 'queue'} {item.name}"
    try:
        _declare(channel, item, passive=False)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code not in {ACCESS_REFUSED, PRECONDITION_FAILED}:
            raise BrokerError(f"{what}: {error.reply_code} {error.reply_text}") from error
        if error.reply_code == PRECONDITION_FAILED and isinstance(item, Queue):
            return _take(connection, item, error.reply_text, differences)
        if "'type'" in error.reply_text:
            raise _wrong_type(what, error.reply_text) from None
        differences.append(f"{what}: {error.reply_text}")
        channel = connection.channel()
        try:
            _declare(channel, item, passive=True)
        except pika.exceptions.ChannelClosedByBroker as missing:
            raise ConfigurationError(
                f"{what} does not exist and this user may not create it ({missing.reply_text}): "
                "grant configure permission once, or declare it beforehand"
            ) from None
    return channel


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
