"""What one call to Refer2 came to: a closed set, so that the type checker points at every place that must decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Scope = Literal["customer", "shop"]

DOCUMENTED_CODES: tuple[str, ...] = (
    "missing_customer_identity",
    "empty_customer_identity",
    "customer_identity_partially_mismatches_matched_customer",
    "no_customers_match_customer_identity",
    "customer_identity_does_not_match_token",
    "invalid_token",
    "obsolete_global_api_version",
    "inaccessible_global_api_version",
    "invalid_global_api_version",
    "rate_limit_exceeded",
)
"""Error ids that the vendor documents for Refer2 (public API pages, read 2026-11)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """2xx with a ``referral``: it was created or reused."""

    status: int
    message: str | None
    referral: Mapping[str, Any]
    share_action: Any


@dataclass(frozen=True, slots=True)
class Rejected:
    """A final error of the job itself; another call would be answered alike.

    ``listed`` tells a documented code from one of the shop's own rules. ``status`` is None where the error was plain
    without a call.
    """

    status: int | None
    code: str
    message: str | None
    listed: bool


@dataclass(frozen=True, slots=True)
class Throttled:
    """429: nothing was done. ``scope`` is None where the message doesn't tell whose limit it was.

    ``retry_after`` is in microseconds, None where the header is missing or can't be read.
    """

    status: int
    code: str
    scope: Scope | None
    retry_after: int | None


@dataclass(frozen=True, slots=True)
class Halted:
    """Nothing was done, and no job of the shop would fare better: its credential or the configuration is refused.

    ``every_shop``: nor would a job of any shop with the same base URL and API version.
    """

    status: int
    code: str
    message: str | None
    every_shop: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was done, and the answer doesn't tell whether it is about this job or about its shop.

    Mostly a page in place of Refer2's answer (3xx, or 4xx without an error id), by a proxy, a firewall, a wrong URL.
    """

    status: int
    code: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Nothing was done, and it may well work later: 5xx, or no connection came about."""

    status: int | None
    code: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request went out and no readable answer came back: it may have been done."""

    status: int | None
    code: str


Verdict = Sent | Rejected | Throttled | Halted | Refused | Retry | Unknown


@dataclass(frozen=True, slots=True)
class Found:
    """The referral is among the customer's: a call whose outcome was unknown had been carried out."""

    status: int
    referral: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Missing:
    """The customer has no such referral: no call has been carried out."""


Reading = Found | Missing | Rejected | Throttled | Halted | Refused | Retry | Unknown
"""What reading a customer's referrals back came to; all but the first two found nothing out."""

_OWN_CODES = frozenset({"timeout", "connection", "connection_lost", "unreadable_answer"})


def label_of(verdict: Verdict) -> str:
    """The verdict's code as a metric label: a bounded set, whatever the outside world answers."""
    if isinstance(verdict, Sent):
        return "ok"
    if verdict.code in DOCUMENTED_CODES or verdict.code in _OWN_CODES:
        return verdict.code
    if verdict.code.startswith("http_") and verdict.status is not None:
        return f"http_{verdict.status // 100}xx"
    return "other"
