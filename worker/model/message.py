"""The message that carries a job through RabbitMQ: writes and reads Dramatiq's envelope around it. Pure."""

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from worker.errors import DeadLetterError, UsageError
from worker.model.job import SCHEMA, Job
from worker.model.validation import explain
from worker.text.bounds import (
    LARGEST_UNKNOWN,
    MESSAGE,
    UNKNOWN_FIELDS,
    TooLargeError,
    check,
)

QUEUE = "referrals"
"""The one queue that Dramatiq knows; behind it are all shops' queues."""

ACTOR = "refer"
"""The one actor; its keyword argument ``job`` is the job."""

_ACTOR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_HEAD = f'{{"queue_name":"{QUEUE}","actor_name":"{ACTOR}","args":[],"kwargs":{{"job":'
_STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)


def encode_message(job: Job, *, published_at_ms: int) -> bytes:
    """The Dramatiq message of a job: JSON with the keys in their documented order, without the fields that are None.

    Raises:
      UsageError: its unknown fields make it larger than a worker accepts.
    """
    if job.model_extra or job.customer.model_extra:
        # Numbers of unknown fields stay as json writes them; pydantic writes 1e+16 as 1e16, and NaN as null.
        inner = _COMPACT.encode(job.model_dump(mode="json", exclude_none=True))
    else:
        # The same bytes in a third of the time.
        inner = job.model_dump_json(exclude_none=True)
    body = (
        f'{_HEAD}{inner}}},"options":{{}},"message_id":{_COMPACT.encode(job.job_id)},'
        f'"message_timestamp":{published_at_ms}}}'
    ).encode()
    try:
        _check_unknown(job)
        check(body, MESSAGE)
    except ValueError as error:
        raise UsageError(f"job {job.job_id}: its message {error}; leave out what no worker needs") from None
    return body


@dataclass
class _Arguments:
    job: Job


@dataclass
class _Message:
    # What a worker needs of a message. `queue_name`, `options` and the rest of Dramatiq's envelope come from the
    # producer and are ignored: a foreign queue name would kill Dramatiq's worker threads with a KeyError, and an `eta`
    # would hold the job in a worker's memory.
    actor_name: str
    kwargs: _Arguments


@dataclass
class _Envelope:
    actor_name: str
    kwargs: dict[str, Any]


_MESSAGE = TypeAdapter(_Message)


_ENVELOPE = TypeAdapter(_Envelope)


def decode_message(body: bytes) -> Job:
    """The job in a message's body.

    Raises:
      DeadLetterError: as :func:`parse_message`, or the job's fields make another id than it carries (`bad_job_id`).
    """
    job = parse_message(body)
    if job.expected_id() != job.job_id:
        raise DeadLetterError("bad_job_id", f"the fields of job {job.job_id} make another id")
    return job


def parse_message(body: bytes) -> Job:
    """The job in a message's body, whatever id it carries.

    Raises:
      DeadLetterError: the body is larger than a job may be (`oversized`), is not JSON (`undecodable`), names another
        actor (`unknown_actor`) or holds no job (`bad_schema`).
    """
    try:
        check(body, MESSAGE)
        message = _MESSAGE.validate_json(body)
    except ValidationError as error:
        raise _diagnose(body, error) from None
    except TooLargeError as error:
        raise DeadLetterError("oversized", f"the body {error}") from None
    if message.actor_name != ACTOR:
        raise _unknown_actor(message.actor_name)
    job = message.kwargs.job
    try:
        _check_unknown(job)
    except TooLargeError as error:
        raise DeadLetterError("oversized", f"the job {error}") from None
    except ValueError:
        raise DeadLetterError("bad_schema", "an unknown field holds a number that JSON has not") from None
    return job


def _check_unknown(job: Job) -> None:
    # Known fields are bounded by their types. Raises TooLargeError, and ValueError for a NaN.
    for unknown in (job.model_extra, job.customer.model_extra):
        if not unknown:
            continue
        if len(unknown) > UNKNOWN_FIELDS:
            raise TooLargeError(f"has more than {UNKNOWN_FIELDS} unknown fields in one object")
        for name, value in unknown.items():
            if len(name) + len(_STRICT.encode(value)) > LARGEST_UNKNOWN:
                raise TooLargeError(f"has an unknown field of more than {LARGEST_UNKNOWN:,} characters")


def _unknown_actor(name: str) -> DeadLetterError:
    # The name is quoted only if it looks like one: a producer that mixes up its fields may put an address there.
    shown = repr(name) if _ACTOR_NAME.fullmatch(name) else "of that name"
    return DeadLetterError("unknown_actor", f"no actor {shown} here, only {ACTOR!r}")


def _diagnose(body: bytes, error: ValidationError) -> DeadLetterError:
    # Parses again for the reason, which only messages that failed pay for.
    try:
        envelope = _ENVELOPE.validate_json(body)
    except ValidationError as broken:
        if broken.errors()[0]["type"] == "json_invalid":
            return DeadLetterError("undecodable", "the body is not JSON")
        return DeadLetterError("undecodable", "the body is not a Dramatiq message")
    if envelope.actor_name != ACTOR:
        return _unknown_actor(envelope.actor_name)
    job = envelope.kwargs.get("job")
    schema = job.get("schema") if isinstance(job, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        upgrade = "upgrade the workers, then publish it again"
        return DeadLetterError("bad_schema", f"its schema is newer than {SCHEMA}, which this worker reads: {upgrade}")
    return DeadLetterError("bad_schema", explain(error))
