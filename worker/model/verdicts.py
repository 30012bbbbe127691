"""The verdicts on one call to Refer2: a closed set.

A new verdict makes the type checker point at every ``match`` that must decide about it. Pure.
"""

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
"""Error ids that the vendor documents for Refer2 (public API pages, read 2026-11). Each has a series in the metrics
that is 0 from the start."""


@dataclass(frozen=True, slots=True)
class Sent:
    """2xx with a ``referral``: Refer2 created it, or reused one that existed."""

    status: int
    message: str | None
    referral: Mapping[str, Any]
    share_action: Any


@dataclass(frozen=True, slots=True)
class Rejected:
    """A final error of the job itself; another call would get the same answer.

    ``listed`` is true for a documented code, and false for one of the shop's own rules. ``status`` is None for an error
    that was found without a call.
    """

    status: int | None
    code: str
    message: str | None
    listed: bool


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not now, mostly 429: Refer2 did nothing. ``scope`` is whose limit it was, None where the message doesn't say.

    ``retry_after`` is in microseconds; None where the header is missing or can't be read.
    """

    status: int
    code: str
    scope: Scope | None
    retry_after: int | None


@dataclass(frozen=True, slots=True)
class Halted:
    """Refer2 did nothing, and would do nothing for any job of the shop: it refuses its credential or configuration.

    ``every_shop``: so it would for every shop with the same base URL and API version.
    """

    status: int
    code: str
    message: str | None
    every_shop: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Refer2 did nothing, and the answer doesn't say whether that is about this job or about its shop.

    Mostly it is a page in place of Refer2's answer (3xx, or 4xx without an error id), from a proxy, a firewall or a
    wrong URL. See :mod:`worker.scheduling.attribution` for how the two are told apart.
    """

    status: int
    code: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Refer2 did nothing, and a later call may well work: 5xx, or no connection could be opened (``status`` None)."""

    status: int | None
    code: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The whole request was sent and no readable answer came back: the call may have been carried out."""

    status: int | None
    code: str


Verdict = Sent | Rejected | Throttled | Halted | Refused | Retry | Unknown


@dataclass(frozen=True, slots=True)
class Found:
    """The referral is among the customer's, so a call whose outcome was unknown was carried out."""

    status: int
    referral: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Missing:
    """The customer has no such referral, so no call was carried out."""


Reading = Found | Missing | Rejected | Throttled | Halted | Refused | Retry | Unknown
"""The outcomes of reading a customer's referrals back. Only the first two answer the question."""

# Codes of ours, for calls that got no readable answer.
_OWN_CODES = frozenset({"timeout", "connection", "connection_lost", "unreadable_answer"})


def label_of(verdict: Verdict) -> str:
    """The verdict's code as a metric label: one of a bounded set, whatever a server answers."""
    if isinstance(verdict, Sent):
        return "ok"
    if verdict.code in DOCUMENTED_CODES or verdict.code in _OWN_CODES:
        return verdict.code
    if verdict.code.startswith("http_") and verdict.status is not None:
        return f"http_{verdict.status // 100}xx"
    return "other"
