"""The job: one referral to make, and the id that ties it to its result.

This is a wire format. Unknown fields are kept, so that an older worker passes on what a newer producer wrote; how many
and how large they may be is said in :mod:`worker.text.bounds`, as of everything in this package.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from worker.errors import DeadLetterError
from worker.instants import from_datetime
from worker.text.bounds import (
    LARGEST_INTEGER,
)
from worker.text.visible import is_plain

SCHEMA = 1
"""Of jobs and results. Fields may be added without a new one; whoever brings a new one still reads the one before."""


SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""A shop slug: one path segment of the API and one word of a routing key."""


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


_JOB_ID_HEX_DIGITS = 32


Shop = Annotated[str, StringConstraints(pattern=f"^{SLUG.pattern}$")]


ShortText = Annotated[str, StringConstraints(max_length=320)]
"""Ids and addresses; 320 characters is the longest address that SMTP allows (64 + @ + 255)."""


JobId = Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{_JOB_ID_HEX_DIGITS}}}$")]


Campaign = Annotated[str, StringConstraints(min_length=1, max_length=200)]


Reference = Annotated[str, StringConstraints(max_length=1024)]


Channel = Annotated[str, StringConstraints(min_length=1, max_length=64)]


Number = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]


_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


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
    return hashlib.sha256(_COMPACT.encode(identity).encode()).hexdigest()[:_JOB_ID_HEX_DIGITS]


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
    from worker.model.addresses import normalized_email

    address = normalized_email(text)
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


def is_expired(job: Job, now: int) -> bool:
    """Whether the job's deadline has passed on the wall clock, which shows ``now``, so that it ends without a call."""
    return job.not_after is not None and now > from_datetime(job.not_after)
