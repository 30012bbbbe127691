"""The job: one referral to make, and the id that ties it to its result.

This is a wire format. Unknown fields are kept, so that an older worker passes on what a newer producer wrote. Their
number and size is bounded in :mod:`worker.text.bounds`, as all input is. Pure.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from json.encoder import encode_basestring
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from worker.errors import DeadLetterError
from worker.instants import from_datetime
from worker.model.names import SLUG, UNSEEN_IN_NAME, canonical
from worker.model.windows import LONGEST_TEXT, window_of
from worker.text.bounds import (
    LARGEST_INTEGER,
)
from worker.text.visible import is_plain

SCHEMA = 1
"""The version of jobs and results. New fields need no new version; a worker that has a new one still reads the old."""


EMAIL_CHANNEL = "email"
"""The one channel that needs a destination: the vendor writes to it."""


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
"""Channels that the vendor documents. It adds others without notice, so the list only decides about warnings."""


UNKNOWN_CHANNEL = "a channel {} is unknown here and is sent as it is"
"""The warning for another channel; ``{}`` stands for it."""


_JOB_ID_HEX_DIGITS = 32


Shop = Annotated[str, StringConstraints(pattern=f"^{SLUG.pattern}$")]


ShortText = Annotated[str, StringConstraints(max_length=320)]
"""Ids and addresses. SMTP allows addresses of 320 characters (64 + @ + 255)."""


JobId = Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{_JOB_ID_HEX_DIGITS}}}$")]


Campaign = Annotated[str, StringConstraints(min_length=1, max_length=200)]


Reference = Annotated[str, StringConstraints(max_length=1024)]


Channel = Annotated[str, StringConstraints(min_length=1, max_length=64)]


def _window(text: str) -> str:
    window_of(text)
    return text


WindowText = Annotated[str, StringConstraints(max_length=LONGEST_TEXT), AfterValidator(_window)]
"""A window by :func:`worker.model.windows.window_of`."""


Number = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]


_MASK = "…"


class Customer(BaseModel):
    """The customer who refers. All ids that are given must match one customer, or Refer2 rejects the job."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    bhid: ShortText | None = None
    shopid: ShortText | None = None
    email: ShortText | None = None

    def identity(self) -> dict[str, str]:
        """The ids that are not empty, by name, in the order bhid, shopid, email: what Refer2 gets."""
        named = {"bhid": self.bhid, "shopid": self.shopid, "email": self.email}
        return {name: value for name, value in named.items() if value}

    @property
    def key(self) -> str:
        """The key by which limits per customer count; see :func:`customer_key`."""
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
    row: Number | None = None
    reference: Reference | None = None
    customer: Customer = Customer()
    channel: Channel
    destination: ShortText | None = None
    sender: ShortText | None = None
    published_at: AwareDatetime | None = None
    not_after: AwareDatetime | None = None
    window: WindowText | None = None

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
        row: int | None = None,
        run: int = 0,
        published_at: datetime | None = None,
        not_after: datetime | None = None,
        window: str | None = None,
    ) -> "Job":
        """A job with its id computed, and its addresses normalised (see :mod:`worker.model.addresses`).

        This is stricter than what workers decode and call, since an older producer may have published looser jobs.

        Raises:
          ValueError: a value can't be part of a job or makes no sense. The text names the field and quotes no value. A
            job needs a customer, addresses must be valid, the channel `email` needs a destination, and a campaign's
            name must be visible text. A value of the wrong type or length raises a ``pydantic.ValidationError``.
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
            row=row,
            reference=reference,
            customer=customer,
            channel=channel,
            destination=destination,
            sender=sender,
            published_at=published_at,
            not_after=not_after,
            window=window,
        )

    def expected_id(self) -> str:
        """The id that this job's fields make; it differs from ``job_id`` if somebody has changed one of them."""
        return job_id(self.shop, self.campaign, self.run, self.customer, self.channel, self.destination)

    def replay(self, *, not_after: datetime | None) -> "Job":
        """The same job with the next ``run`` and so another id: the ledger takes it for a new job.

        ``not_after`` replaces the deadline if given; otherwise the old one stays.

        Raises:
          DeadLetterError: its run is the largest there is (`bad_schema`).
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
    return job_id_of(shop, campaign, run, customer.bhid, customer.shopid, customer.email, channel, destination)


def job_id_of(
    shop: str,
    campaign: str,
    run: int,
    bhid: str | None,
    shopid: str | None,
    email: str | None,
    channel: str,
    destination: str | None,
) -> str:
    """As :func:`job_id`, for whoever has the ids and no customer made of them; an empty text counts as absent."""
    # Put together here, since an encoder for each array took as long as all the rest of this.
    identity = (
        f"[{_json(canonical(shop))},{_json(canonical(campaign))},{run},{_json(canonical(bhid))},"
        f"{_json(canonical(shopid))},{_json(canonical(email, address=True))},{_json(canonical(channel))},"
        f"{_json(canonical(destination, address=True))}]"
    )
    return hashlib.sha256(identity.encode()).hexdigest()[:_JOB_ID_HEX_DIGITS]


def _json(text: str | None) -> str:
    return "null" if text is None else encode_basestring(text)


def customer_key(bhid: str | None, shopid: str | None, email: str | None) -> str:
    """The key by which limits per customer count: the strongest id that is given, as in the job id. Empty for nobody.

    Two jobs that name one customer by different ids count as two customers.
    """
    if found := canonical(bhid):
        return f"b:{found}"
    if found := canonical(shopid):
        return f"s:{found}"
    found = canonical(email, address=True)
    return f"e:{found}" if found else ""


def _address(field: str, text: str) -> str:
    # Imported when used: a worker creates no jobs, and starts faster without the e-mail library behind this.
    from worker.model.addresses import normalized_email

    address = normalized_email(text)
    if address is None:
        raise ValueError(f"{field}: is no e-mail address")
    return address


def is_expired(job: Job, now: int) -> bool:
    """Whether the job's deadline has passed at ``now`` (wall clock, microseconds), so that it ends without a call."""
    return job.not_after is not None and now > from_datetime(job.not_after)
