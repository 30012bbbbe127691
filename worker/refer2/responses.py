"""What an HTTP answer means: the vendor's error table as one pure function from an answer to a verdict.

A new documented error code goes into :data:`worker.model.verdicts.DOCUMENTED_CODES`, and into one of the sets here if
it is about more than its job. docs/architecture.md, "A new error code", has all steps.
"""

import math
import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from worker.instants import DAY, SECOND, from_datetime
from worker.model.verdicts import (
    DOCUMENTED_CODES,
    Halted,
    Refused,
    Rejected,
    Retry,
    Scope,
    Sent,
    Throttled,
    Unknown,
    Verdict,
)
from worker.text.bounds import ANSWER, Bounds, loads

Flaw = Literal["timeout", "connection_lost", "unreadable_answer"]

LONGEST_CODE = 64
"""Characters of an error id that are kept: a code goes into metrics' labels and routing keys."""

LONGEST_ERROR_MESSAGE = 500
"""Characters of an error's message that are kept: it goes into the result."""

LONGEST_RETRY_AFTER = DAY + 3600 * SECOND
"""No limit of the vendor's lasts longer than a day; the hour allows for clocks that differ."""

# Codes that are not about the job: no other job of the shop, or of any shop, would be answered otherwise.
_HALTS_THE_SHOP = frozenset({"invalid_token", "inaccessible_global_api_version"})
_HALTS_EVERY_SHOP = frozenset({"obsolete_global_api_version", "invalid_global_api_version"})
_THROTTLES = "rate_limit_exceeded"
_TRANSIENT = frozenset({408, 425})
_PROXY_AUTHENTICATION_REQUIRED = 407

_BEYOND_A_CODE = re.compile(r"[^A-Za-z0-9_.:-]")
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?", re.ASCII)
_LIMITED = re.compile(r"\b(?:for|per)\s+(?:\w+\s+)?(customer|shop)s?\b")
_MENTIONED = re.compile(r"\b(customer|shop)s?\b")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, as far as it could be read. ``flaw`` says why ``body`` is not whole; None where it is."""

    status: int
    retry_after: str | None
    body: bytes
    flaw: Flaw | None = None


def judge(answer: Answer, now: int) -> Verdict:
    """The verdict on an answer that came at ``now`` (wall clock, microseconds), by the vendor's error table."""
    document = None if answer.flaw else read_object(answer.body)
    if 200 <= answer.status < 300:
        return _success(answer, document)
    code = _code(document)
    message = _text(document, LONGEST_ERROR_MESSAGE)
    # The code decides, not the status: the code is the vendor's statement about this request, while one and the same
    # code is documented under 400, 403 and 404 without a rule.
    if code and answer.status >= 400 and (code in DOCUMENTED_CODES or answer.status < 500):
        return _coded(answer, code, message, now)
    if answer.status == 429:
        return Throttled(429, "http_429", _scope(message), _microseconds(answer.retry_after, now))
    if answer.status < 200:
        # An interim status in place of a final one doesn't say what happened to the request.
        return Unknown(answer.status, "unreadable_answer")
    if answer.status >= 500 or answer.status in _TRANSIENT:
        return Retry(answer.status, f"http_{answer.status}")
    if answer.status >= 400 and answer.flaw in ("timeout", "connection_lost"):
        # Refused, so nothing was done. Whether the job or the shop was refused stood in the part that got lost.
        return Retry(answer.status, answer.flaw)
    if answer.status == _PROXY_AUTHENTICATION_REQUIRED:
        # The proxy of the worker's settings asks for a login: no job at all gets past it.
        return Halted(answer.status, f"http_{answer.status}", None, every_shop=False)
    return Refused(answer.status, f"http_{answer.status}")


def _success(answer: Answer, document: dict[str, Any] | None) -> Verdict:
    """A 2xx counts as sent only with a referral in it; without one nobody knows whether the call was carried out."""
    referral = document.get("referral") if document is not None else None
    if document is None or not isinstance(referral, dict):
        return Unknown(answer.status, answer.flaw or "unreadable_answer")
    return Sent(answer.status, _text(document), referral, document.get("share_action"))


def _coded(answer: Answer, code: str, message: str | None, now: int) -> Verdict:
    """The verdict on an error with an id of Refer2's, which is about the customer, the shop, every shop or the job."""
    if code == _THROTTLES or answer.status == 429:
        return Throttled(answer.status, code, _scope(message), _microseconds(answer.retry_after, now))
    if code in _HALTS_EVERY_SHOP or code in _HALTS_THE_SHOP:
        return Halted(answer.status, code, message, every_shop=code in _HALTS_EVERY_SHOP)
    return Rejected(answer.status, code, message, listed=code in DOCUMENTED_CODES)


def read_object(body: bytes, bounds: Bounds = ANSWER) -> dict[str, Any] | None:
    """The JSON object in a body; None where it holds none, or one that JSON can't express again (``NaN``, 1e400)."""
    try:
        document = loads(body.removeprefix(BOM_UTF8), bounds)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _code(document: dict[str, Any] | None) -> str | None:
    """The error id, bounded and without characters that no id has; None where there is none."""
    code = document.get("id") if document is not None else None
    if not isinstance(code, str) or not code.strip():
        return None
    return _BEYOND_A_CODE.sub("_", code.strip()[:LONGEST_CODE])


def _text(document: dict[str, Any] | None, longest: int | None = None) -> str | None:
    text = document.get("message") if document is not None else None
    return text[:longest] if isinstance(text, str) else None


def _scope(message: str | None) -> Scope | None:
    """Whose limit the message names; None where it names both or neither."""
    # "… for this customer" names whose limit it is, even where the text mentions the shop further on. Words that only
    # occur decide where no such phrase does.
    text = (message or "").lower()
    named = set(_LIMITED.findall(text)) or set(_MENTIONED.findall(text))
    if named == {"customer"}:
        return "customer"
    return "shop" if named == {"shop"} else None


def _microseconds(retry_after: str | None, now: int) -> int | None:
    """``Retry-After`` in microseconds from now. RFC 9110 allows seconds and a date.

    None for a header that is missing, unreadable or in the past.
    """
    text = (retry_after or "").strip()
    if _SECONDS.fullmatch(text):
        wait = math.ceil(float(text) * SECOND)
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        wait = from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    return min(wait, LONGEST_RETRY_AFTER) if wait >= 0 else None
