"""What the shops file may say of a shop, and what that comes to."""

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
)

from worker.instants import SECOND
from worker.limits.token_bucket import Rate, ShopLimits
from worker.model.job import SLUG
from worker.shops.credentials import Credential

_HOUR_AND_MINUTE = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_SMALLEST = 1e-6


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s?#@\\]", text) or not text.isascii() or not text.isprintable():
        raise ValueError("is not a URL like https://app.bubblehouse.com, without user, query or fragment")
    return text.rstrip("/")


def _time_of_day(value: object) -> object:
    # TOML has a type of its own for 00:00:00 without quotes.
    return value.isoformat("minutes") if isinstance(value, time) and not value.second else value


def _reset(text: str) -> str:
    if not _HOUR_AND_MINUTE.fullmatch(text):
        raise ValueError('is not a time of day in UTC like "00:00"')
    return text


def _not_tiny(number: float) -> float:
    if number < _SMALLEST:
        raise ValueError(f"Input should be at least {_SMALLEST:f}")
    return number


# Bounded so that what is reckoned from them stays within 64 bits.
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False), AfterValidator(_not_tiny)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Producer = Annotated[str, StringConstraints(pattern=f"^{SLUG.pattern}$")]
OnUnknown = Literal["resend", "verify", "report"]

_VENDOR_READS_PER_SECOND = 2
_VENDOR_READS_PER_DAY = 1000


class ShopTable(BaseModel):
    """The keys of ``[defaults]`` and of each ``[shops.<slug>]``, which overrides the defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    base_url: Annotated[str, AfterValidator(_base_url)] = Field(
        default="https://app.bubblehouse.com", description="Where Refer2 is."
    )
    api_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")] = Field(
        default="v2023061", description="Version in the path of each call."
    )
    key_id: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Id of the signing key, as the vendor knows it; goes with `secret_file`."
    )
    secret_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="File with the shop's shared secret, relative to the shops file."
    )
    token_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="File with a ready-made token, in place of `key_id` and `secret_file`."
    )
    token: Literal["shop", "customer"] = Field(
        default="shop",
        description="Whether a token speaks for the whole shop or for the job's customer alone, who must then have a "
        "`shopid` and no `bhid`: what such a token can't carry is `rejected` without a call.",
    )
    per_second: Positive = Field(default=100.0, description="Calls a second of the shop, in the long run.")
    burst: Count = Field(default=20, description="Any second may hold this many calls on top of `per_second`.")
    per_day: Count = Field(default=100_000, description="Calls a day of the shop.")
    customer_per_second: Positive = Field(
        default=2.0, description="Calls a second of one customer; its burst is the same number."
    )
    customer_per_day: Count = Field(default=200, description="Calls a day of one customer.")
    day_resets_at: Annotated[str, BeforeValidator(_time_of_day), AfterValidator(_reset)] = Field(
        default="00:00", description="When a day's counts start again, in UTC."
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Part of all these limits that this worker may use; the shop's own storefront needs the rest.",
    )
    max_in_flight: Count = Field(
        default=12, description="Calls at once per process; below the threads, and at most `REFERRALS_PREFETCH`."
    )
    weight: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="Share of the worker's time when several shops wait: 2 gets twice as much as 1."
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=5, description="Calls for one job before a failing upstream makes its result `failed`."
    )
    max_elapsed_seconds: Positive = Field(
        default=3600.0,
        description="Longest that one job is tried for, calls and the waits between them; queueing doesn't count.",
    )
    adapt: bool = Field(
        default=True, description="Go slower than `per_second` for a while where Refer2 answers that it is too fast."
    )
    producers: Annotated[list[Producer], Field(max_length=100)] = Field(
        default=[],
        description="Names of producers that may publish jobs of this shop by an exchange of their own, "
        "`referrals.from.<name>`, which alone their RabbitMQ user may then write to.",
    )
    on_unknown: OnUnknown = Field(
        default="resend",
        description="What to do when an answer was lost: `resend` calls again (Refer2 reuses a referral), `verify` "
        "asks CustomerReferrals2 first and calls only for what is not there, `report` ends with result `unknown`.",
    )


@dataclass(frozen=True)
class ListedShop:
    """One shop as the file lists it, without its credential. ``share`` is already taken out of limits and
    ``per_second``; ``max_elapsed`` is in microseconds.
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
    on_unknown: OnUnknown


@dataclass(frozen=True)
class ShopConfig(ListedShop):
    """One shop with what its calls are authorised with."""

    credential: Credential

    @classmethod
    def of(cls, slug: str, credential: Credential, table: ShopTable | None = None) -> "ShopConfig":
        """A shop without a file, for what is built in and for tests; ``table`` may override the usual values.

        Raises:
          ValueError: the slug is none.
        """
        if not SLUG.fullmatch(slug):
            raise ValueError(f"{slug[:80]!r} is not a shop slug: use letters, digits, - and _, at most 63")
        return cls(**listed_fields(slug, table or ShopTable()), credential=credential)


def listed_fields(slug: str, table: ShopTable) -> dict[str, Any]:
    """The fields of a :class:`ListedShop` as its table gives them."""
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
        "on_unknown": table.on_unknown,
    }


def _limits(table: ShopTable) -> ShopLimits:
    def part(count: float) -> int:
        return max(1, math.floor(count * table.share))

    hours, minutes = table.day_resets_at.split(":")
    return ShopLimits(
        shop=Rate.per_second(table.per_second * table.share, part(table.burst)),
        shop_per_day=part(table.per_day),
        customer=Rate.per_second(table.customer_per_second * table.share, part(table.customer_per_second)),
        customer_per_day=part(table.customer_per_day),
        resets_at=(int(hours) * 60 + int(minutes)) * 60 * SECOND,
        adapts=table.adapt,
        reads=Rate.per_second(_VENDOR_READS_PER_SECOND * table.share, part(_VENDOR_READS_PER_SECOND)),
        reads_per_day=part(_VENDOR_READS_PER_DAY),
    )
