"""What the shops file may say about a shop, and the configuration that follows from it. Pure."""

import math
import re
from dataclasses import dataclass
from datetime import time
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from worker.instants import SECOND
from worker.limits.token_bucket import Rate, ShopLimits
from worker.model.job import EMAIL_CHANNEL, Channel, Job, WindowText
from worker.model.names import SLUG
from worker.model.windows import Window, both
from worker.shops.credentials import Credential

_HOUR_AND_MINUTE = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
MOST_RESERVED = 0.8
"""Part of a shop's rate that may be kept for urgent jobs, which get no more of it while other jobs wait."""

_SMALLEST = 1e-6
"""Calls a second: one in eleven days. It bounds the interval between calls, as the limits below bound the counts."""


def _base_url(text: str) -> str:
    """The URL without a slash at its end; raises ValueError if a credential must not be sent there."""
    # A credential is sent there. So nothing in the URL may be read differently by different parsers: no user, no query,
    # no backslash, and ASCII only.
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s?#@\\]", text) or not text.isascii() or not text.isprintable():
        raise ValueError("is not a URL like https://app.bubblehouse.com, without user, query or fragment")
    return text.rstrip("/")


def _time_of_day(value: object) -> object:
    # TOML has a type of its own for a time without quotes, such as 00:00:00.
    return value.isoformat("minutes") if isinstance(value, time) and not value.second else value


def _reset(text: str) -> str:
    if not _HOUR_AND_MINUTE.fullmatch(text):
        raise ValueError('is not a time of day in UTC like "00:00"')
    return text


def _not_tiny(number: float) -> float:
    if number < _SMALLEST:
        raise ValueError(f"Input should be at least {_SMALLEST:f}")
    return number


# Bounded, so that what is computed from them stays within 64 bits.
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False), AfterValidator(_not_tiny)]
Reserve = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Producer = Annotated[str, StringConstraints(pattern=f"^{SLUG.pattern}$")]
OnUnknown = Literal["resend", "verify", "report"]

ALL_CHANNELS = "*"
"""Stands for every channel in ``window_channels``."""

_VENDOR_READS_PER_SECOND = 2
_VENDOR_READS_PER_DAY = 1000
"""The vendor's limits for reads of one customer (public API pages, read 2026-11). They can't be configured."""


class ShopTable(BaseModel):
    """The keys of ``[defaults]`` and of each ``[shops.<slug>]``; the latter override the defaults.

    docs/configuration.md is made from the descriptions.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    base_url: Annotated[str, AfterValidator(_base_url)] = Field(
        default="https://app.bubblehouse.com", description="Where Refer2 is."
    )
    api_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")] = Field(
        default="v2023061", description="Version in the path of each call."
    )
    key_id: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Id of the signing key, as the vendor knows it; needed with `secret_file`."
    )
    secret_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="File with the shop's shared secret, relative to the shops file."
    )
    token_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="File with a ready-made token, in place of `key_id` and `secret_file`."
    )
    token: Literal["shop", "customer"] = Field(
        default="shop",
        description="Whether a token speaks for the whole shop or only for the job's customer, who must then have a "
        "`shopid` and no `bhid`. A job whose ids such a token can't carry is `rejected` without a call.",
    )
    per_second: Positive = Field(default=100.0, description="Calls a second of the shop, on average.")
    burst: Count = Field(default=20, description="How many calls above `per_second` any one second may have.")
    per_day: Count = Field(default=100_000, description="Calls a day of the shop.")
    urgent: bool = Field(
        default=False,
        description="Have a queue for urgent jobs from the start. Else the shop gets one with the first urgent job "
        "of somebody who uses the workers' store.",
    )
    reserve_per_second: Reserve = Field(
        default=0.0,
        description="Calls a second that are kept ready for urgent jobs, at most four fifths of `per_second` and less "
        "than `burst`. The shop then has a queue for urgent jobs.",
    )
    reserve_per_day: Annotated[int, Field(ge=0, le=10**9)] = Field(
        default=0,
        description="Calls of the day that are kept for urgent jobs, fewer than `per_day`; what nobody needs melts "
        "towards the reset. The shop then has a queue for urgent jobs.",
    )
    customer_per_second: Positive = Field(
        default=2.0, description="Calls a second of one customer; its burst is the same number."
    )
    customer_per_day: Count = Field(default=200, description="Calls a day of one customer.")
    day_resets_at: Annotated[str, BeforeValidator(_time_of_day), AfterValidator(_reset)] = Field(
        default="00:00", description="Time of day in UTC at which the day's counts start again."
    )
    # Refer2 counts the calls of the shop's own storefront by the same limits, so a worker may have to leave some of
    # them.
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Part of all these limits that the workers may use; the shop's own storefront needs the rest.",
    )
    window: WindowText | None = Field(
        default=None,
        description='When the shop\'s customers may be contacted, such as `"Mon-Fri 09:00-18:00 Europe/Vienna"`; see '
        "[hours of calling](campaigns.md#hours-of-calling).",
    )
    window_channels: Annotated[list[Channel], Field(max_length=100)] = Field(
        default=[EMAIL_CHANNEL],
        description="Channels whose jobs keep to `window`, and to windows of their own; `*` stands for all.",
    )
    # Below the 16 threads of a worker, so that one slow shop can't occupy all of them.
    max_in_flight: Count = Field(
        default=12,
        description="Calls at the same time per process; fewer than the threads, and at most `REFERRALS_PREFETCH`.",
    )
    weight: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Share of the calls when several shops wait: 2 gets twice as many as 1."
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=5, description="Calls for one job; if Refer2 fails at all of them, the result is `failed`."
    )
    # A retry goes behind the shop's backlog, which may take hours, so time in queues must not count.
    max_elapsed_seconds: Positive = Field(
        default=3600.0,
        description="Longest time that one job is tried: its calls and the waits between them, without time in queues.",
    )
    adapt: bool = Field(
        default=True, description="Go slower than `per_second` for a while when Refer2 answers that calls are too fast."
    )
    producers: Annotated[list[Producer], Field(max_length=100)] = Field(
        default=[],
        description="Producers that may publish jobs of this shop through an exchange of their own, "
        "`referrals.from.<name>`. Their RabbitMQ user then needs the right to write to no other exchange.",
    )
    # `resend` is safe by default, since Refer2 reuses a referral that exists.
    on_unknown: OnUnknown = Field(
        default="resend",
        description="What to do after a lost answer: `resend` calls again (Refer2 reuses a referral); `verify` asks "
        "CustomerReferrals2 first and calls only if the referral is not there; `report` ends with result `unknown`.",
    )

    @field_validator("reserve_per_second")
    @classmethod
    def _leaves_bulk_a_fifth(cls, reserve: float, info: ValidationInfo) -> float:
        # Missing where it is no number itself.
        most = info.data.get("per_second", reserve) * MOST_RESERVED
        if reserve > most:
            raise ValueError(f"must be at most {most:g}, four fifths of per_second: the rest is for other jobs")
        return reserve

    @field_validator("reserve_per_day")
    @classmethod
    def _leaves_bulk_a_call(cls, reserve: int, info: ValidationInfo) -> int:
        if reserve >= info.data.get("per_day", reserve + 1):
            raise ValueError("must be less than per_day: the rest is for other jobs")
        return reserve


@dataclass(frozen=True)
class ListedShop:
    """One shop as the file lists it, without its credential.

    Limits and ``per_second`` are already multiplied by ``share``; ``max_elapsed`` is in microseconds. ``urgent``: it
    has a queue for urgent jobs, whether there are any or not.
    """

    slug: str
    base_url: str
    api_version: str
    token: Literal["shop", "customer"]
    limits: ShopLimits
    per_second: float
    max_in_flight: int
    weight: int
    max_attempts: int
    max_elapsed: int
    producers: tuple[str, ...]
    urgent: bool
    # `resend` is safe by default, since Refer2 reuses a referral that exists.
    on_unknown: OnUnknown
    window: str | None
    window_channels: tuple[str, ...]

    def keeps_hours(self, channel: str) -> bool:
        """Whether jobs of that channel are called within windows only."""
        return channel in self.window_channels or self.keeps_all_hours

    @property
    def keeps_all_hours(self) -> bool:
        """Whether jobs of every channel are."""
        return ALL_CHANNELS in self.window_channels

    def window_of(self, job: Job) -> Window | None:
        """When the job may be called: within the shop's window and its own; None where there is neither."""
        return self.hours_of(job.channel, job.window)

    def hours_of(self, channel: str, own: str | None) -> Window | None:
        """The same of any job of the ``channel`` whose window is its ``own``."""
        if (self.window is None and own is None) or not self.keeps_hours(channel):
            return None
        return both(self.window, own)


@dataclass(frozen=True)
class ShopConfig(ListedShop):
    """One shop with the credential of its calls."""

    credential: Credential

    @classmethod
    def of(cls, slug: str, credential: Credential, table: ShopTable | None = None) -> "ShopConfig":
        """A shop without a file, for the built-in emulator and for tests; ``table`` may override the defaults.

        Raises:
          ValueError: the slug is not a shop's slug.
        """
        if not SLUG.fullmatch(slug):
            raise ValueError(f"{slug[:80]!r} is not a shop slug: use letters, digits, - and _, at most 63")
        return cls(**listed_fields(slug, table or ShopTable()), credential=credential)


def listed_fields(slug: str, table: ShopTable) -> dict[str, Any]:
    """The fields of a :class:`ListedShop`, from its table."""
    return {
        "slug": slug,
        "base_url": table.base_url,
        "api_version": table.api_version,
        "token": table.token,
        "limits": _limits(table),
        "per_second": table.per_second * table.share,
        "max_in_flight": table.max_in_flight,
        "weight": table.weight,
        "max_attempts": table.max_attempts,
        "max_elapsed": int(table.max_elapsed_seconds * SECOND),
        "producers": tuple(table.producers),
        "urgent": table.urgent or table.reserve_per_second > 0 or table.reserve_per_day > 0,
        "on_unknown": table.on_unknown,
        "window": table.window,
        "window_channels": tuple(table.window_channels),
    }


def _limits(table: ShopTable) -> ShopLimits:
    """The limits of the table, multiplied by its share."""

    # Rounded down, to stay within the share; but at least 1, or the shop could never be called.
    def part(count: float) -> int:
        return max(1, math.floor(count * table.share))

    hours, minutes = table.day_resets_at.split(":")
    shop, per_day = Rate.per_second(table.per_second * table.share, part(table.burst)), part(table.per_day)
    return ShopLimits(
        shop=shop,
        shop_per_day=per_day,
        # Bulk keeps a token of the bucket and a call of the day at least, or it could never be called.
        reserve=min(shop.burst - 1, math.ceil(table.reserve_per_second * table.share)),
        reserve_per_day=min(per_day - 1, math.ceil(table.reserve_per_day * table.share)),
        customer=Rate.per_second(table.customer_per_second * table.share, part(table.customer_per_second)),
        customer_per_day=part(table.customer_per_day),
        resets_at=(int(hours) * 60 + int(minutes)) * 60 * SECOND,
        adapts=table.adapt,
        reads=Rate.per_second(_VENDOR_READS_PER_SECOND * table.share, part(_VENDOR_READS_PER_SECOND)),
        reads_per_day=part(_VENDOR_READS_PER_DAY),
    )
