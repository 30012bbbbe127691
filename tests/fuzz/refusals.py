"""What the store and RabbitMQ say when they refuse, and what RabbitMQ's management API tells of policies."""

from contextlib import suppress

import pika
import pika.exceptions
from redis._parsers.base import BaseParser

from tests.fuzz.target import Target
from worker.errors import StoreError
from worker.rabbitmq.failures import failure
from worker.rabbitmq.policies import FOREIGN_ERRORS, describe_losses, read
from worker.store.redis.refusals import refusal
from worker.text.visible import is_plain

_LONGEST_LINE = 1000
_ARGUMENT = "s3cret-argument"
_NODE = pika.ConnectionParameters("rabbitmq", 5672, "jobs")


def redis_refusal(data: bytes) -> None:
    """Whatever the server answers is one bounded line, and an argument that an unknown error quotes is not in it."""
    words = data.decode("latin-1")
    quoted = f"ERR unknown command, with args beginning with: {_ARGUMENT} {words}"
    for answer in (words, f"ERR {words} {_ARGUMENT}", quoted):
        why = refusal(BaseParser.parse_error(answer))  # type: ignore[no-untyped-call] # no types there
        line = str(StoreError(why.text, reason=why.reason))
        assert is_plain(line)
        assert len(line) < _LONGEST_LINE
        assert why.reason.isidentifier()
    assert _ARGUMENT not in line


def amqp_refusal(data: bytes) -> None:
    """Whatever RabbitMQ says as it closes a connection or a channel, or turns us away, is one bounded line."""
    words = data.decode("latin-1")
    for error in (
        pika.exceptions.ChannelClosedByBroker(403, words),
        pika.exceptions.ConnectionClosedByBroker(320, words),
        pika.exceptions.ProbableAccessDeniedError(repr(pika.exceptions.ConnectionClosedByBroker(530, words))),
    ):
        told = failure(error, _NODE)
        assert is_plain(str(told))
        assert len(str(told)) < 10 * _LONGEST_LINE
        assert told.reason.isidentifier()


def policies(data: bytes) -> None:
    """A page of queues is told of in lines, or it is none."""
    with suppress(*FOREIGN_ERRORS):
        queues, _pages = read(data)
        assert all(line.startswith("RabbitMQ's policy ") for line in describe_losses(queues))


_CODES = (
    b"READONLY ",
    b"MISCONF ",
    b"ERR ",
    b" script: ",
    b"Error running script (call to f_1): -LOADING ",
    b"DB index is out of range",
)
_WORDS = (
    b"NOT_ALLOWED - ",
    b"connection limit",
    b"not found",
    b"'",
    b'"',
    b"\\",
    b"refused for user",
    b"\n",
    b"\x1b[2J",
)
_NAMES = (
    b'"items":[',
    b'"page_count":',
    b'"effective_policy_definition":{',
    b'"message-ttl":',
    b'"name":',
    b"[]",
    b"1e999",
    b"null",
)

TARGETS = (
    Target("redis_refusal", redis_refusal, _CODES, longest=2000),
    Target("amqp_refusal", amqp_refusal, _WORDS, longest=255),
    Target("policies", policies, _NAMES),
)
