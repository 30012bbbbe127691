"""The job, its result, the id that ties them, and the message that carries a job through RabbitMQ.

These are wire formats. Unknown fields are kept, so that an older worker passes on what a newer producer wrote; how many
and how large they may be is said in :mod:`worker.text.bounds`, as of everything here.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from worker.errors import DeadLetterError, UsageError
from worker.text.bounds import (
    LARGEST_INTEGER,
    LARGEST_UNKNOWN,
    MESSAGE,
    RESULT,
    UNKNOWN_FIELDS,
    TooLargeError,
    check,
    loads,
)
from worker.text.visible import is_plain

SCHEMA = 1
"""Of jobs and results. Fields may be added without a new one; whoever brings a new one still reads the one before."""

QUEUE = "referrals"
ACTOR = "refer"

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""A shop slug: one path segment of the API and one word of a routing key."""

_ACTOR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")

EMAIL_CHANNEL = "email"

KNOWN_CHANNELS = frozenset(
    {
        EMAIL_CHANNEL,
        "sms",
        "facebook",
        "messenger",
        "whatsapp",
        "twitter",
        "instagram",
        "threads",
        "telegram",
        "qr-code",
        "custom-personal",
        "custom-social",
    }
)
"""The channels that the vendor documents; it adds others without notice, so the list only feeds warnings."""

UNKNOWN_CHANNEL = "a channel {} is unknown here and is sent as it is"
"""Such a warning; ``{}`` stands for the channel."""

Outcome = Literal["sent", "rejected", "failed", "unknown", "expired", "cancelled"]

OUTCOMES: tuple[Outcome, ...] = ("sent", "rejected", "failed", "unknown", "expired", "cancelled")

UNCALLED: frozenset[str] = frozenset({"expired", "cancelled"})
"""Outcomes of jobs that were not called. Not final: a later copy of the job may be called, and its result counts."""

_JOB_ID_HEX_DIGITS = 32

Shop = Annotated[str, StringConstraints(pattern=f"^{SLUG.pattern}$")]
ShortText = Annotated[str, StringConstraints(max_length=320)]
"""Ids and addresses; 320 characters is the longest address that SMTP allows (64 + @ + 255)."""

JobId = Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{_JOB_ID_HEX_DIGITS}}}$")]
Campaign = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Reference = Annotated[str, StringConstraints(max_length=1024)]
Channel = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Number = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# Made once: json.dumps makes a new encoder for each call that asks for anything but its defaults.
_ASCII = json.JSONEncoder(separators=(",", ":"))
_UNICODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)

UNSEEN_IN_NAME = "holds control, bidirectional or zero-width characters, which nobody can see; give a name without them"
"""What is wrong with such a campaign's name."""

_MASK = "…"


class Customer(BaseModel):
    """Whom to refer from; all ids that are given must match one customer."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    bhid: ShortText | None = None
    shopid: ShortText | None = None
    email: ShortText | None = None

    def identity(self) -> dict[str, str]:
        """The ids that are not empty, by name, in the order bhid, shopid, email."""
        named = {"bhid": self.bhid, "shopid": self.shopid, "email": self.email}
        return {name: value for name, value in named.items() if value}

    @property
    def key(self) -> str:
        """What limits per customer are counted by; see :func:`customer_key`."""
        return customer_key(self.bhid, self.shopid, self.email)

    def __repr_args__(self) -> Iterator[tuple[str, str]]:
        return ((name, _MASK) for name in self.identity())


class Job(BaseModel):
    """One referral to make: the payload of a message.

    ``repr`` shows no personal data, since logs and tracebacks print it.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, hide_input_in_errors=True, populate_by_name=True, serialize_by_alias=True
    )

    schema_version: Literal[1] = Field(alias="schema")
    job_id: JobId
    campaign: Campaign
    shop: Shop
    run: Number = 0
    line: Number | None = None
    reference: Reference | None = None
    customer: Customer = Customer()
    channel: Channel
    destination: ShortText | None = None
    sender: ShortText | None = None
    published_at: AwareDatetime | None = None
    not_after: AwareDatetime | None = None

    @classmethod
    def create(
        cls,
        *,
        shop: str,
        campaign: str,
        customer: Customer,
        channel: str,
        destination: str | None = None,
        sender: str | None = None,
        reference: str | None = None,
        line: int | None = None,
        run: int = 0,
        published_at: datetime | None = None,
        not_after: datetime | None = None,
    ) -> "Job":
        """A job with its id worked out, its addresses in their one spelling (see :mod:`worker.model.addresses`).

        Workers decode and call more than this takes, since an older producer may have published it.

        Raises:
          ValueError: a value can't be part of a job, or can't be meant; the text names the field and holds no value.
            A job has a customer, an address is one, the channel `email` has a destination, and a campaign's name is a
            line that can be read. For a value of the wrong type or length a ``pydantic.ValidationError``.
        """
        if not is_plain(campaign):
            raise ValueError(f"campaign: {UNSEEN_IN_NAME}")
        if not customer.key:
            raise ValueError("customer: names nobody; give its bhid, shopid or email")
        email = canonical(customer.email)
        if email is not None:
            customer = customer.model_copy(update={"email": _address("customer.email", email)})
        if channel.strip() == EMAIL_CHANNEL:
            sent_to = canonical(destination)
            if sent_to is None:
                raise ValueError("destination: is missing; the channel email needs the address that is written to")
            destination = _address("destination", sent_to)
        return cls(
            schema_version=SCHEMA,
            job_id=job_id(shop, campaign, run, customer, channel, destination),
            campaign=campaign,
            shop=shop,
            run=run,
            line=line,
            reference=reference,
            customer=customer,
            channel=channel,
            destination=destination,
            sender=sender,
            published_at=published_at,
            not_after=not_after,
        )

    def expected_id(self) -> str:
        """The id that this job's own fields make; differs from ``job_id`` where somebody changed one of them."""
        return job_id(self.shop, self.campaign, self.run, self.customer, self.channel, self.destination)

    def replay(self, *, not_after: datetime | None) -> "Job":
        """The same job as one more run of it, so that the ledger takes it for another; ``not_after`` if given.

        Raises:
          DeadLetterError: it is in its last run (`bad_schema`).
        """
        if self.run >= LARGEST_INTEGER:
            raise DeadLetterError("bad_schema", f"its run is {self.run}, and there is none after that")
        changed = {"run": self.run + 1, "published_at": None, "not_after": not_after or self.not_after}
        anew = self.model_copy(update=changed)
        return anew.model_copy(update={"job_id": anew.expected_id()})

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        yield "job_id", self.job_id
        yield "shop", self.shop
        yield "campaign", self.campaign
        yield "line", self.line

    def __str__(self) -> str:
        return repr(self)


class Result(BaseModel):
    """What became of one job. A consumer that keeps one result per ``job_id`` sees one final result per job; one that
    tells of no call (``expired``, ``cancelled``) is superseded by any other, whichever comes first.

    ``referral`` and ``share_action`` are the vendor's objects as they came; times are RFC 3339 in UTC.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, hide_input_in_errors=True, populate_by_name=True, serialize_by_alias=True
    )

    schema_version: Literal[1] = Field(default=1, alias="schema")
    job_id: JobId
    campaign: Campaign
    shop: Shop
    run: Number = 0
    line: Number | None = None
    reference: Reference | None = None
    customer: Customer = Customer()
    channel: Channel
    destination: ShortText | None = None
    sender: ShortText | None = None
    outcome: Outcome
    code: Code | None = None
    status: Annotated[int, Field(ge=100, le=999)] | None = None
    message: str | None = None
    referral: dict[str, Any] | None = None
    share_action: Any = None
    attempts: Number
    published_at: AwareDatetime | None = None
    called_at: AwareDatetime | None = None
    finished_at: AwareDatetime
    latency_seconds: Seconds | None = None

    def to_json(self) -> str:
        """One line of JSON in ASCII.

        The vendor's strings can hold lone surrogates, which no UTF-8 encoder takes; escapes carry them through.
        """
        fields = self.model_dump(mode="json", exclude=_VENDORS_OWN)
        vendors_own = {"message": self.message, "referral": self.referral, "share_action": self.share_action}
        # In their documented places: dict order is the order of the columns downstream.
        return _ASCII.encode(_EVERY_FIELD | fields | vendors_own)

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        yield "job_id", self.job_id
        yield "shop", self.shop
        yield "outcome", self.outcome
        yield "code", self.code


_EVERY_FIELD = dict.fromkeys(field.alias or name for name, field in Result.model_fields.items())
_VENDORS_OWN = {"message", "referral", "share_action"}


def parse_result(body: bytes) -> Result:
    """The result in a message's body; see :func:`check_result`.

    Raises:
      DeadLetterError: the body is no result, or is one under the id of another job (`bad_schema`).
    """
    try:
        # Not by pydantic alone, which takes no lone surrogate: `to_json` has let those of the vendor's through.
        return check_result(loads(body, RESULT))
    except ValueError:
        raise DeadLetterError("bad_schema", "it is no result: the body is not JSON within bounds") from None


def check_result(document: Any) -> Result:
    """The result in a JSON document, which counts only as a whole: every field of it, and its job's id.

    Raises:
      DeadLetterError: as :func:`parse_result`.
    """
    try:
        result = Result.model_validate(document)
        made_by_its_fields = job_id(
            result.shop, result.campaign, result.run, result.customer, result.channel, result.destination
        )
    except ValidationError as error:
        raise DeadLetterError("bad_schema", f"it is no result that this version reads: {explain(error)}") from None
    except ValueError:
        raise DeadLetterError("bad_schema", "it is no result: its job's fields are no valid Unicode") from None
    if made_by_its_fields != result.job_id:
        raise DeadLetterError("bad_schema", "it is a result whose fields make another job id than it carries")
    return result


def job_id(shop: str, campaign: str, run: int, customer: Customer, channel: str, destination: str | None) -> str:
    """The first 32 hex digits of SHA-256 over ``[shop, campaign, run, bhid, shopid, email, channel, destination]``.

    The array is compact JSON in UTF-8; strings are trimmed and NFC, addresses lower-cased, absent ones null. The
    same row of the same campaign therefore has the same id wherever and whenever it is published.

    Raises:
      ValueError: a string holds a lone surrogate and so has no UTF-8.
    """
    identity = [
        canonical(shop),
        canonical(campaign),
        run,
        canonical(customer.bhid),
        canonical(customer.shopid),
        canonical(customer.email, address=True),
        canonical(channel),
        canonical(destination, address=True),
    ]
    return hashlib.sha256(_UNICODE.encode(identity).encode()).hexdigest()[:_JOB_ID_HEX_DIGITS]


def customer_key(bhid: str | None, shopid: str | None, email: str | None) -> str:
    """What limits per customer are counted by: the strongest id that is given, as in the job id; empty for nobody.

    Two jobs that name one customer by different ids count apart.
    """
    if found := canonical(bhid):
        return f"b:{found}"
    if found := canonical(shopid):
        return f"s:{found}"
    found = canonical(email, address=True)
    return f"e:{found}" if found else ""


def _address(field: str, text: str) -> str:
    # Imported when used: a worker makes no jobs, and starts faster without the library behind it.
    from worker.model.addresses import spelled

    address = spelled(text)
    if address is None:
        raise ValueError(f"{field}: is no e-mail address")
    return address


def canonical(text: str | None, *, address: bool = False) -> str | None:
    """The form in which texts are compared: trimmed and NFC, an ``address`` in lower case; None for an empty one."""
    if text is None:
        return None
    trimmed = text.strip()
    if not trimmed.isascii():
        trimmed = unicodedata.normalize("NFC", trimmed)
    return (trimmed.lower() if address else trimmed) or None


def encode_message(job: Job, *, published_at_ms: int) -> bytes:
    """The Dramatiq message of a job, in JSON with the keys in their documented order; absent fields are left out.

    Raises:
      UsageError: its unknown fields make it larger than a worker takes.
    """
    envelope = {
        "queue_name": QUEUE,
        "actor_name": ACTOR,
        "args": [],
        "kwargs": {"job": job.model_dump(mode="json", exclude_none=True)},
        "options": {},
        "message_id": job.job_id,
        "message_timestamp": published_at_ms,
    }
    body = _UNICODE.encode(envelope).encode()
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
    # What a worker needs of a message. `queue_name`, `options` and the rest of Dramatiq's envelope are the producer's
    # and decide nothing here: a foreign queue name kills Dramatiq's worker threads, an `eta` would park the job in a
    # worker's memory.
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
      DeadLetterError: as :func:`parse_message` says, or the job carries an id that its fields don't make
        (`bad_job_id`).
    """
    job = parse_message(body)
    if job.expected_id() != job.job_id:
        raise DeadLetterError("bad_job_id", f"the fields of job {job.job_id} make another id")
    return job


def parse_message(body: bytes) -> Job:
    """The job in a message's body, whatever id it carries.

    Raises:
      DeadLetterError: the body is larger than any job's (`oversized`) or not JSON (`undecodable`), asks for another
        actor (`unknown_actor`) or is not a job (`bad_schema`).
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
    # Known fields are bounded by their types.
    for unknown in (job.model_extra, job.customer.model_extra):
        if not unknown:
            continue
        if len(unknown) > UNKNOWN_FIELDS:
            raise TooLargeError(f"has more than {UNKNOWN_FIELDS} unknown fields in one object")
        for name, value in unknown.items():
            if len(name) + len(_STRICT.encode(value)) > LARGEST_UNKNOWN:
                raise TooLargeError(f"has an unknown field of more than {LARGEST_UNKNOWN:,} characters")


def _unknown_actor(name: str) -> DeadLetterError:
    # A producer that mixes up its fields may have put anything there.
    shown = repr(name) if _ACTOR_NAME.fullmatch(name) else "of that name"
    return DeadLetterError("unknown_actor", f"no actor {shown} here, only {ACTOR!r}")


def _diagnose(body: bytes, error: ValidationError) -> DeadLetterError:
    # Only messages that failed pay for a second look.
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


def explain(error: ValidationError) -> str:
    """One line that names each field at fault and what is wrong with it, without its value."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)[:5]
    )
