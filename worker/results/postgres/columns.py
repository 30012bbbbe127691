"""A result as a row of the table ``referrals.results``. Pure."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from worker.model.names import canonical
from worker.model.outcomes import Outcome
from worker.model.rehearsal import is_rehearsed
from worker.model.result import Result
from worker.results.wanted import keys_of


class Row(NamedTuple):
    """The columns, in their order, by their names. ``collected_at`` is the database's."""

    job_id: str
    campaign: str
    shop: str
    run: int
    line: int | None
    reference: str | None
    customer_bhid: str | None
    customer_shopid: str | None
    customer_email: str | None
    channel: str
    destination: str | None
    sender: str | None
    outcome: Outcome
    code: str | None
    status: int | None
    link: str | None
    message: str | None
    attempts: int
    published_at: datetime | None
    called_at: datetime | None
    finished_at: datetime
    latency_seconds: float | None
    sandbox: bool
    keys: list[int]
    result: str


TYPES: dict[str, str] = dict.fromkeys(Row._fields, "text") | {
    "run": "bigint",
    "line": "bigint",
    "status": "integer",
    "attempts": "bigint",
    "published_at": "timestamptz",
    "called_at": "timestamptz",
    "finished_at": "timestamptz",
    "latency_seconds": "float8",
    "sandbox": "boolean",
    "result": "json",
}
"""PostgreSQL's type of each column but ``keys``."""


def row(body: bytes, result: Result, document: Mapping[str, Any]) -> Row:
    """A result as a row: ``body`` is kept as it came, the other columns are made for people and may lose something.

    Ids and addresses are as jobs are compared by them: trimmed, NFC, addresses in lower case. What PostgreSQL can't
    hold in a text (NUL, lone surrogates) is written as an escape.
    """
    customer, referral = result.customer, result.referral or {}
    link = referral.get("link")
    return Row(
        job_id=result.job_id,
        campaign=as_text(canonical(result.campaign) or result.campaign),
        shop=result.shop,
        run=result.run,
        line=result.line,
        reference=_optional(canonical(result.reference)),
        customer_bhid=_optional(canonical(customer.bhid)),
        customer_shopid=_optional(canonical(customer.shopid)),
        customer_email=_optional(canonical(customer.email, address=True)),
        channel=as_text(result.channel),
        destination=_optional(canonical(result.destination, address=True)),
        sender=_optional(result.sender),
        outcome=result.outcome,
        code=_optional(result.code),
        status=result.status,
        link=as_text(link) if isinstance(link, str) else None,
        message=_optional(result.message),
        attempts=result.attempts,
        published_at=_instant(result.published_at),
        called_at=_instant(result.called_at),
        finished_at=_instant(result.finished_at) or datetime.max.replace(tzinfo=UTC),
        latency_seconds=result.latency_seconds,
        sandbox=is_rehearsed(document),
        keys=[hashed(key) for key in sorted(keys_of(document))],
        result=body.decode(),
    )


def hashed(key: str) -> int:
    """A key as the column ``keys`` holds it: 64 bits of its hash, since a link may be longer than an index takes.

    Databases hold these numbers. Whoever changes them, or :func:`~worker.results.wanted.keys_of`, writes a migration.
    """
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _optional(text: str | None) -> str | None:
    return None if text is None else as_text(text)


def as_text(text: str) -> str:
    """A text as PostgreSQL can hold it: NUL and lone surrogates become escapes."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", r"\x00").encode(errors="backslashreplace").decode()


def _instant(time: datetime | None) -> datetime | None:
    """The same in UTC: PostgreSQL refuses some zones that Python takes. None where that leaves the years 1 to 9999."""
    try:
        return time.astimezone(UTC) if time is not None else None
    except OverflowError:
        return None
