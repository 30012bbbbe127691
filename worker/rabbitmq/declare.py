"""Declares what this system needs on RabbitMQ, or accepts what somebody else has declared.

RabbitMQ answers a declaration that differs from what exists, or that the user may not make, by closing the channel. So
every attempt here may cost a channel, and each function that attempts returns the channel to go on with. All of it
blocks, a round trip for each item.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from worker.errors import BrokerError, ConfigurationError
from worker.model.lanes import LANES
from worker.rabbitmq.connection import Connection
from worker.rabbitmq.failures import ACCESS_REFUSED, as_broker_errors, limit_reached
from worker.rabbitmq.queue_inspection import QueueState, inspect_queue
from worker.rabbitmq.topology import (
    DEAD,
    EXCHANGES,
    RESULTS,
    RETURN,
    SINGLE,
    Exchange,
    Queue,
    lane_of_queue,
    shop_queue,
)

NOT_FOUND = 404
RESOURCE_LOCKED = 405
PRECONDITION_FAILED = 406

# How RabbitMQ words the first difference between a declaration and what exists; it cuts its words off at 255 bytes.
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<name>[^']+)'.* but current is (none|(the value )?('(?P<number>-?\d+)'|'(?P<text>[^']*)'))"
)
# A queue that differs in one of these is a classic one, whose messages one broken node can lose.
_TYPE_OF_QUEUE = {"x-queue-type", "durable", "auto_delete", "exclusive"}
_LENGTHS = {"x-max-length", "x-max-length-bytes"}


def declare_topology(
    connection: Connection,
    queues: Iterable[Queue],
    *,
    exchanges: Iterable[Exchange] = EXCHANGES,
    strict: bool = True,
) -> list[str]:
    """Declare the exchanges and queues; returns a line for each difference from version 1 that does no harm.

    A quorum queue that exists with other arguments is accepted, unless it would lose messages. With ``strict`` off such
    a one is accepted too: a caller that only takes messages out of it loses none. For a user that may not configure,
    another user must have declared everything, and what exists is accepted as it is.

    Raises:
      ConfigurationError: a queue exists that this system can't run on, or is missing and can't be made by this user.
      BrokerError: the connection broke.
    """
    differences: list[str] = []
    items: tuple[Exchange | Queue, ...] = (*exchanges, *queues)
    with as_broker_errors(connection.node):
        channel = connection.channel()
        may_configure = True
        for item in items:
            if not may_configure:
                # Asked passively from here on: RabbitMQ logs an error for each refusal, and a thousand shops would
                # make a thousand.
                channel, exists = _look(connection, channel, item)
                if exists:
                    continue
            channel, refused = _attempt(connection, channel, item, differences, strict=strict)
            may_configure &= not refused
        channel.close()
    return differences


def hold_single(connection: Connection) -> None:
    """Take the exclusive queue of a process on the memory store, for as long as the connection lasts.

    Limits and ledger in one process's memory hold for that process alone. A second one would call again what the first
    has called, so RabbitMQ, which both share, refuses it (405).


    Raises:
      ConfigurationError: another process holds it, or this user may not take it.
      BrokerError: the connection broke.
    """
    with as_broker_errors(connection.node):
        try:
            connection.channel().queue_declare(SINGLE, exclusive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            if error.reply_code == RESOURCE_LOCKED:
                raise ConfigurationError(
                    "another worker process is running on the memory store, which can't be shared: "
                    "set REFERRALS_REDIS_URL for all of them, or run a single process"
                ) from None
            if error.reply_code == ACCESS_REFUSED:
                raise ConfigurationError(
                    f"this user may not configure the queue {SINGLE}, by which a process on the memory store is known "
                    "to be alone: set REFERRALS_REDIS_URL, or give the user that permission"
                ) from None
            raise


def refuse_mixture(connection: Connection, shops: Iterable[str], *, shared: bool) -> None:
    """Refuse to work beside workers of the other kind of store: ``shared``, or each process's own memory.

    A process on the memory store holds :data:`SINGLE`. Workers on a shared store are recognised by their consumers on
    the shops' queues, of all lanes: a shop that is closed to all but urgent jobs has none on its own queue.

    Raises:
      ConfigurationError: there are such workers; neither would know of the other's calls.
      BrokerError: the connection broke.
    """
    with as_broker_errors(connection.node):
        if shared and inspect_queue(connection, SINGLE) == RESOURCE_LOCKED:
            raise ConfigurationError(
                "a worker process on the memory store is running, which knows nothing of the store that others share: "
                "stop it, or set REFERRALS_REDIS_URL for it too"
            )
        for shop in () if shared else shops:
            for queue in (shop_queue(shop, lane) for lane in reversed(LANES)):
                state = inspect_queue(connection, queue)
                if isinstance(state, QueueState) and state.consumers:
                    raise ConfigurationError(
                        f"workers that share a store consume {queue}, and this one would know nothing of their calls: "
                        "set REFERRALS_REDIS_URL to theirs, or stop them"
                    )
                if queue == shop_queue(shop) and state == NOT_FOUND:
                    # Then no other one exists, and RabbitMQ would log an error for each.
                    break


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
    connection: Connection,
    channel: BlockingChannel,
    item: Exchange | Queue,
    differences: list[str],
    *,
    strict: bool,
) -> tuple[BlockingChannel, bool]:
    # The channel to go on with, and whether this user may not configure the item.
    what = f"{'exchange' if isinstance(item, Exchange) else 'queue'} {item.name}"
    try:
        _declare(channel, item, passive=False)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code not in {ACCESS_REFUSED, PRECONDITION_FAILED}:
            raise BrokerError(f"{what}: {error.reply_code} {error.reply_text}") from error
        if full := limit_reached(error.reply_text):
            raise full from error
        if error.reply_code == PRECONDITION_FAILED and isinstance(item, Queue):
            return _take(connection, item, error.reply_text, differences, strict=strict), False
        if "'type'" in error.reply_text:
            raise _wrong_type(what, error.reply_text) from None
        if error.reply_code == PRECONDITION_FAILED and item.name == RETURN:
            raise ConfigurationError(
                f"{what} does not pass on what no shop takes ({error.reply_text}), so that one such job would hold up "
                "every shop's: delete it, start again"
            ) from None
        if error.reply_code == PRECONDITION_FAILED:
            differences.append(f"{what}: {error.reply_text}; to have ours, delete it and start again")
            return connection.channel(), False
        channel, exists = _look(connection, connection.channel(), item)
        if not exists:
            raise ConfigurationError(
                f"{what} does not exist and this user may not create it ({error.reply_text}): "
                "start a worker whose user may configure, or declare it beforehand"
            ) from None
        return channel, True
    return channel, False


def _look(connection: Connection, channel: BlockingChannel, item: Exchange | Queue) -> tuple[BlockingChannel, bool]:
    # The channel to go on with, and whether the item exists. Asking that needs no permission.
    try:
        _declare(channel, item, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code != NOT_FOUND:
            raise BrokerError(f"{item.name}: {error.reply_code} {error.reply_text}") from error
        return connection.channel(), False
    return channel, True


def _take(
    connection: Connection, wanted: Queue, refusal: str, differences: list[str], *, strict: bool
) -> BlockingChannel:
    # RabbitMQ names one difference at a time, in an order of its own: for a classic queue the first may be its
    # dead-letter exchange. So each difference is copied into the declaration until that fits the queue. Only then is
    # the queue bound: no message may reach a queue that would lose it.
    what = f"queue {wanted.name}"
    arguments, differing = dict(wanted.arguments), {}
    while True:
        if any(f"'{name}'" in refusal for name in _TYPE_OF_QUEUE):
            raise _wrong_type(what, refusal)
        difference = _INEQUIVALENT.search(refusal)
        if difference is None or difference["name"] in differing:
            raise ConfigurationError(
                f"{what} can't be used ({refusal}): move its messages away, delete it, start again"
            )
        name, value = difference["name"], difference["text"] or difference["number"]
        differing[name] = value
        arguments.pop(name, None)
        if value is not None:
            arguments[name] = int(value) if difference["number"] else value
        channel = connection.channel()
        try:
            _declare(channel, Queue(wanted.name, arguments, ()), passive=False)
        except pika.exceptions.ChannelClosedByBroker as error:
            refusal = error.reply_text
        else:
            break
    found = ", ".join(f"{name} is {value}, not {wanted.arguments.get(name)}" for name, value in differing.items())
    if strict and _loses(wanted, arguments, connection.default_delivery_limit):
        channel.close()
        raise ConfigurationError(
            f"{what} would lose messages ({found}): move them away, delete it, start again to have it declared anew"
        )
    for exchange, key in wanted.bindings:
        channel.queue_bind(wanted.name, exchange, key)
    differences.append(f"{what}: {found}; to have ours, move its messages away, delete it, start again")
    return channel


def _loses(wanted: Queue, arguments: Mapping[str, Any], default_delivery_limit: int) -> bool:
    # Whether a queue with these arguments can let a message go to another place than version 1 has for it, or nowhere.
    full = bool(_LENGTHS & arguments.keys()) and arguments.get("x-overflow") != "reject-publish"
    # A delay queue's messages are meant to expire.
    drops = full or "x-message-ttl" in arguments or "x-message-ttl" in wanted.arguments
    most = arguments.get("x-delivery-limit", default_delivery_limit)
    gives_up = 0 <= most < wanted.arguments.get("x-delivery-limit", 0)
    parking_exchange, key = arguments.get("x-dead-letter-exchange"), arguments.get("x-dead-letter-routing-key")
    parks = (
        parking_exchange is not None
        and parking_exchange == wanted.arguments.get("x-dead-letter-exchange")
        and key is None
    )
    # Results and dead letters have no other queue to go to. And what expires with its queue (x-expires) goes
    # nowhere.
    never = drops and wanted.name in {RESULTS, DEAD}
    # A worker rejects a message that is too large for it, so a shop's queues must dead-letter to the right place.
    rejects = lane_of_queue(wanted.name) is not None
    return never or "x-expires" in arguments or ((drops or gives_up or rejects) and not parks)


def _wrong_type(what: str, refusal: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what} exists with another type ({refusal}): move its messages away, delete it, start again"
    )
