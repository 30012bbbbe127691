"""Maps pika's exceptions to ours: one line with RabbitMQ's own reason and our remedy.

pika nests what happened in several layers of exceptions, some of them without a text. The outermost that is
recognised decides.
"""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pika
import pika.exceptions
import pika.spec
from pika.adapters.utils.connection_workflow import AMQPConnectorException, AMQPConnectorStackTimeout

from worker.errors import AccessRefusedError, BrokerError
from worker.network.addresses import authority
from worker.rabbitmq.frame_connections import SmallFramesError, UnansweredError

ACCESS_REFUSED = 403
INTERNAL_ERROR = 541

LONGEST_QUOTE = 255
"""Characters of RabbitMQ's own words: what AMQP 0-9-1 has room for."""

PIKA_ERRORS = (pika.exceptions.AMQPError, AMQPConnectorException, OSError)
"""What pika raises. A node that connects and never answers ends in an error that is no AMQPError."""

# How OpenSSL names a failure; pika often passes it on only as text.
_TLS_REASON = re.compile(r"\[SSL: (?P<reason>\w+)\]")

# While connecting, pika keeps what RabbitMQ said only as the text of one error within the text of another.
_CLOSED = re.compile(
    r"ConnectionClosedByBroker: \(\d+\) (?P<quote>['\"])(?:[A-Z_]+ - )?(?P<words>.*)(?P=quote)", re.DOTALL
)

_REFUSALS = (
    ("user connection limit", "limit", "raise the user's max-connections (rabbitmqctl set_user_limits)"),
    ("node connection limit", "limit", "raise the node's connection_max"),
    ("connection limit", "limit", "raise the vhost's max-connections (rabbitmqctl set_vhost_limits)"),
    ("queue limit", "limit", "raise the vhost's max-queues (rabbitmqctl set_vhost_limits)"),
    ("channel limit", "limit", "raise the user's max-channels (rabbitmqctl set_user_limits)"),
    ("channel_max", "limit", "raise the node's channel_max"),
    ("not found", "vhost", "create it (rabbitmqctl add_vhost), or name another at the end of REFERRALS_AMQP_URL"),
    ("is down", "vhost", "read RabbitMQ's log, and start it again (rabbitmqctl restart_vhost)"),
    ("refused for user", "permissions", "give the user permissions in it: docs/rabbitmq.md#users"),
)
"""What RabbitMQ says, the word that readiness shows for it, and the remedy. The first row that matches counts."""

LIMITED = "limit"
"""The reason of refusals because a limit of RabbitMQ's is reached: connections, channels or queues."""


def was_asked_too_much(error: BaseException | None) -> bool:
    """Whether RabbitMQ has closed the channel over what it was asked last, or the connection, as it does for a queue
    that has lost its leader; or whether it has left that unanswered.
    """
    if isinstance(error, pika.exceptions.ConnectionClosedByBroker):
        return bool(error.reply_code == INTERNAL_ERROR)
    return isinstance(error, pika.exceptions.ChannelClosedByBroker | UnansweredError)


def node_address(node: pika.URLParameters) -> str:
    """Host and port as a URL has them."""
    return authority(node.host, node.port)


@contextmanager
def as_broker_errors(node: pika.URLParameters) -> Iterator[None]:
    """Raise what pika raises in the block as a :class:`BrokerError` of one line, with pika's error as its cause."""
    try:
        yield
    except (pika.exceptions.AMQPError, OSError) as error:
        raise failure(error, node) from error


def failure(error: BaseException, node: pika.URLParameters) -> BrokerError:
    """Our error for one of pika's, or for one of the system's that came through pika. Pure."""
    refused = isinstance(error, pika.exceptions.ChannelClosedByBroker) and error.reply_code == ACCESS_REFUSED
    reason, line = _described(error, node)
    return (AccessRefusedError if refused else BrokerError)(line, reason=reason)


def limit_reached(words: str) -> BrokerError | None:
    """Our error if RabbitMQ's words say that a limit is reached; None for other words.

    Such a refusal can pass: others may close a connection or delete a queue.
    """
    for sign, reason, remedy in _REFUSALS:
        if reason == LIMITED and sign in words:
            return BrokerError(f"RabbitMQ refuses: {_bounded(words)}; {remedy}", reason=LIMITED)
    return None


def _described(error: BaseException, node: pika.URLParameters) -> tuple[str, str]:
    """The reason in one word, and the line for a person."""
    where = f"RabbitMQ at {node_address(node)}"
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, pika.exceptions.ProbableAuthenticationError | pika.exceptions.AuthenticationError):
            return "credentials", f"{where} refuses user or password; check REFERRALS_AMQP_URL"
        if isinstance(cause, pika.exceptions.ProbableAccessDeniedError):
            return _refused_vhost(where, cause, node)
        if isinstance(cause, pika.exceptions.ChannelClosedByBroker) and cause.reply_code == ACCESS_REFUSED:
            quoted = f"{cause.reply_code} {cause.reply_text}"
            remedy = "give the user that permission, docs/rabbitmq.md#users lists each role's"
            return "permissions", f"{where} refuses: {quoted}; {remedy}"
        if isinstance(cause, pika.exceptions.ConnectionClosed | pika.exceptions.ChannelClosed):
            what = "connection" if isinstance(cause, pika.exceptions.ConnectionClosed) else "channel"
            reason, remedy = _found(cause.reply_text) or ("closed", "")
            quoted = f"{cause.reply_code} {_bounded(cause.reply_text)}"
            return reason, f"{where} closed the {what}: {quoted}{remedy and f'; {remedy}'}"
        if isinstance(cause, SmallFramesError):
            return LIMITED, (
                f"{where} takes frames of at most {cause.largest:,} bytes, and copies of jobs need its default; "
                f"take frame_max out of rabbitmq.conf, or set it to {pika.spec.FRAME_MAX_SIZE}"
            )
        if isinstance(cause, AMQPConnectorStackTimeout):
            return "silent", f"{where} takes connections and answers nothing for {node.stack_timeout:g} s; is it well?"
        if isinstance(cause, UnansweredError):
            return "silent", f"{where} has left a question unanswered for {cause.seconds:g} s; is the queue well?"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "tls", (
                f"{where}: its certificate is not accepted ({cause.verify_message.rstrip('.')}); "
                "check the host, cacertfile and server_name_indication of REFERRALS_AMQP_URL"
            )
    return _unspoken(where, error, causes, node)


def _refused_vhost(where: str, error: BaseException, node: pika.URLParameters) -> tuple[str, str]:
    said = _CLOSED.search(str(error))
    words = said["words"] if said else ""
    reason, remedy = _found(words) or ("vhost", "check REFERRALS_AMQP_URL")
    quoted = f" ({_bounded(words)})" if words else ""
    return reason, f"{where} refuses the vhost {node.virtual_host!r}{quoted}; {remedy}"


def _unspoken(
    where: str, error: BaseException, causes: list[BaseException], node: pika.URLParameters
) -> tuple[str, str]:
    """Of a connection that ended before anybody spoke AMQP: a wrong port, TLS on one side alone, or nobody listens."""
    alert = _TLS_REASON.search(" ".join(map(str, causes)))
    ended = any(isinstance(cause, pika.exceptions.IncompatibleProtocolError) for cause in causes)
    if alert and alert["reason"] in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        return (
            "tls",
            f"{where} is asked for TLS and answers without; name its port for TLS, or write amqp:// for amqps://",
        )
    if alert or (ended and node.ssl_options is not None):
        reason = alert["reason"].lower().replace("_", " ") if alert else "connection closed"
        hint = "is this its TLS port, and does it trust the authority of a certfile?"
        return "tls", f"{where}: TLS failed ({reason}); {hint}"
    if ended:
        return "no_rabbitmq", f"{where} speaks no AMQP 0-9-1 there; a port for TLS takes amqps:// in REFERRALS_AMQP_URL"
    detail = next((str(cause) for cause in causes if isinstance(cause, OSError) and str(cause)), type(error).__name__)
    return "unreachable", f"{where} is out of reach ({detail}); is it running, is REFERRALS_AMQP_URL right?"


def _found(words: str) -> tuple[str, str] | None:
    return next(((reason, remedy) for sign, reason, remedy in _REFUSALS if sign in words), None)


def _bounded(words: str) -> str:
    return words if len(words) <= LONGEST_QUOTE else f"{words[:LONGEST_QUOTE]}…"


def _causes(error: BaseException) -> Iterator[BaseException]:
    # pika's connection workflow keeps its errors in attributes, and other errors keep theirs in their arguments.
    yield error
    for part in (*error.args, getattr(error, "exception", None), *getattr(error, "exceptions", ())):
        if isinstance(part, BaseException):
            yield from _causes(part)
