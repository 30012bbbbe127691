"""Headers as a hostile producer writes them: byte by byte, which no client library does."""

import struct
from typing import Any

import pika
import pika.data

RESULT_DEATH = {
    "queue": "referrals.results",
    "reason": "rejected",
    "count": 1,
    "exchange": "referrals.results",
    "routing-keys": ["acme.sent.ok.plain"],
}
"""What RabbitMQ notes on a result that `referrals collect` could not read."""

CLAIMS: dict[str, Any] = {
    "x-death": [RESULT_DEATH],
    "x-first-death-queue": "referrals.results",
    "x-first-death-reason": "rejected",
    "x-first-death-exchange": "referrals.results",
    "x-last-death-queue": "referrals.results",
    "x-delivery-count": 99_999,
    "x-referral-reason": "crash_loop",
    "x-referral-detail": "made up",
    "x-referral-dead-at": "2020-01-01T00:00:00+00:00",
    "x-referral-takeovers": 5,
    "x-referral-attempts": 5,
    "x-referral-properties": b"made up",
    "x-referral-headers-dropped": 1,
    "x-referral-place": 10**18,
    "x-referral-of-the-future": "made up",
    "CC": ["bolt"],
    "BCC": ["bolt"],
}
"""Every header that RabbitMQ or a worker would write, or read."""


class Forged(pika.BasicProperties):  # type: ignore[misc] # pika has no types
    """Properties whose table of headers is made of ``entries``, repeated names included."""

    def __init__(self, *entries: bytes, expiration: str | None = None) -> None:
        super().__init__(delivery_mode=2)
        self._table = b"".join(entries)
        self._expiration = expiration

    def encode(self) -> list[bytes]:
        flags = self.FLAG_HEADERS | self.FLAG_DELIVERY_MODE
        tail = b"\x02"
        if self._expiration is not None:
            flags |= self.FLAG_EXPIRATION
            tail += bytes([len(self._expiration)]) + self._expiration.encode()
        return [struct.pack(">H", flags), struct.pack(">I", len(self._table)), self._table, tail]


def entry(name: str, value: Any) -> bytes:
    """One header as it travels."""
    pieces: list[bytes] = []
    pika.data.encode_table(pieces, {name: value})
    return b"".join(pieces[1:])


def table(*fields: bytes) -> bytes:
    """A table as a value, of entries that may repeat a name."""
    whole = b"".join(fields)
    return b"F" + struct.pack(">I", len(whole)) + whole


def nested(levels: int) -> bytes:
    """A value of so many lists, one in the other."""
    # Each has five bytes before what is in it.
    heads = (b"A" + struct.pack(">I", 5 * (levels - level) - 4) for level in range(levels))
    return b"".join(heads) + b"V"


def deaths(*tables: bytes) -> bytes:
    """The header ``x-death`` of such tables."""
    whole = b"".join(tables)
    return b"\x07x-death" + b"A" + struct.pack(">I", len(whole)) + whole
