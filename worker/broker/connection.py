"""The boundary to RabbitMQ: connection parameters, and pika's errors in our words."""

import logging
import random
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

import pika
import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException, AMQPConnectorStackTimeout

from worker.bounds import MESSAGE
from worker.broker.frames import TolerantConnection
from worker.broker.tls import take_tls
from worker.errors import AccessRefusedError, BrokerError, ConfigurationError
from worker.settings import urls_of

Node: TypeAlias = pika.URLParameters
"""One node of RabbitMQ; holds the password, so it is not to be printed."""

HEARTBEAT_SECONDS = 30
"""A peer that vanishes without a word is noticed after two of them."""

SOCKET_TIMEOUT_SECONDS = 5

ACCESS_REFUSED = 403

DEFAULT_DELIVERY_LIMIT = 20
"""Of quorum queues from RabbitMQ 4.0 on."""

DEFAULTS_CHANGED = 4

# How OpenSSL names what went wrong; pika often passes it on as text alone.
_TLS_REASON = re.compile(r"\[SSL: (?P<reason>\w+)\]")


@dataclass(frozen=True, slots=True, repr=False)
class Parameters:
    """What a connection is made from: RabbitMQ's nodes, any of which will do; holds passwords."""

    nodes: tuple[Node, ...]

    def shuffled(self) -> list[Node]:
        """The nodes in the order to try them in, another one each time: so that clients spread over a cluster."""
        return random.sample(self.nodes, len(self.nodes))


class Connection(pika.BlockingConnection):  # type: ignore[misc]  # pika has no types
    """A connection that knows its ``node``, and keeps no body of more than ``largest`` bytes."""

    def __init__(self, node: Node, largest: int) -> None:
        super().__init__(node, _impl_class=TolerantConnection)
        self._impl.largest = largest
        self.node = node

    def keep_within(self, room: int, *, wanted: frozenset[str]) -> None:
        """From now on take messages that weigh ``room`` bytes beyond what is ordinary; of headers, those ``wanted``."""
        self._impl.room, self._impl.wanted = room, wanted

    def make_room(self, room: int) -> None:
        """``room`` bytes of those that were taken are in hand no more."""
        self._impl.room += room

    @property
    def major(self) -> int:
        """RabbitMQ's version, as far as its first dot."""
        return int(str(self._impl.server_properties.get("version", "")).partition(".")[0] or DEFAULTS_CHANGED)

    @property
    def gives_up_after(self) -> int:
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
        url, tls = take_tls(url)
        parsed = pika.URLParameters(url)
    except (ValueError, TypeError, IndexError, SyntaxError, RecursionError, MemoryError):
        # Their words quote the value at fault. pika reads some options as Python.
        raise ConfigurationError(
            "REFERRALS_AMQP_URL: it is not an AMQP URL; expected amqp://host:5672/vhost (%2f for the vhost /), "
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


def connect(params: Parameters, *, largest: int = MESSAGE.size) -> Connection:
    """Open a connection to the first node that takes it. Blocks for some 10 s at most for each.

    Of bodies of more than ``largest`` bytes it keeps what :class:`~worker.broker.frames.Cut` says.

    Raises:
      BrokerError: RabbitMQ is out of reach or turns us away; names each host and port.
    """
    problems = []
    for node in params.shuffled():
        try:
            return Connection(node, largest)
        except (pika.exceptions.AMQPError, AMQPConnectorException, OSError) as error:
            # A node that takes connections and says nothing ends in an error of pika's that is none of its AMQPErrors.
            problems.append(describe(error, node))
            cause: Exception = error
    raise BrokerError("; ".join(problems)) from cause


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


@contextmanager
def told_as_ours(node: Node) -> Iterator[None]:
    """What pika raises in the block comes out as a :class:`BrokerError` of one line."""
    try:
        yield
    except (pika.exceptions.AMQPError, OSError) as error:
        refused = isinstance(error, pika.exceptions.ChannelClosedByBroker) and error.reply_code == ACCESS_REFUSED
        raise (AccessRefusedError if refused else BrokerError)(describe(error, node)) from error


def describe(error: BaseException, node: Node) -> str:
    """One line on a connection that failed. pika nests what happened; some of its errors have no text at all."""
    place = f"RabbitMQ at {node.host}:{node.port}"
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, pika.exceptions.ProbableAuthenticationError | pika.exceptions.AuthenticationError):
            return f"{place} refuses user or password; check REFERRALS_AMQP_URL"
        if isinstance(cause, pika.exceptions.ProbableAccessDeniedError):
            return f"{place} refuses the vhost {node.virtual_host!r}; check REFERRALS_AMQP_URL"
        if isinstance(cause, pika.exceptions.ChannelClosedByBroker) and cause.reply_code == ACCESS_REFUSED:
            told = f"{cause.reply_code} {cause.reply_text}"
            return f"{place} refuses: {told}; give the user that permission, docs/rabbitmq.md#users lists each role's"
        if isinstance(cause, pika.exceptions.ConnectionClosed | pika.exceptions.ChannelClosed):
            what = "connection" if isinstance(cause, pika.exceptions.ConnectionClosed) else "channel"
            return f"{place} closed the {what}: {cause.reply_code} {cause.reply_text}"
        if isinstance(cause, AMQPConnectorStackTimeout):
            return f"{place} takes connections and answers nothing for {node.stack_timeout:g} s; is it well?"
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
    detail = next((str(cause) for cause in causes if isinstance(cause, OSError) and str(cause)), type(error).__name__)
    return f"{place} is out of reach ({detail}); is it running, is REFERRALS_AMQP_URL right?"


def _causes(error: BaseException) -> Iterator[BaseException]:
    # The phases of pika's connecting keep theirs apart from their arguments.
    yield error
    for part in (*error.args, getattr(error, "exception", None), *getattr(error, "exceptions", ())):
        if isinstance(part, BaseException):
            yield from _causes(part)
