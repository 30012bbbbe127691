"""Suppressed addresses: how they are hashed, and what everybody knows of the lists that hold them. Pure.

An address is known by a keyed hash of its spelling in job ids. The key is no part of the store, so that a copy of the
store tells nobody who is on a list.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

from worker.model.names import canonical

SIZE = 8
"""Bytes of a hash. Of 18 million million other addresses, one is taken for one of a million on a list."""

NO_KEY = b""
"""The fingerprint of whoever has no key."""


UNFINISHED = b"unfinished"
"""In place of a fingerprint while lists are being restored: nobody has that key, so nobody calls."""

Unusable = Literal["no_key", "other_key", "unfinished", "lost"]
"""Why a worker can't rely on the lists, so that it calls nobody."""

UNUSABLE: Mapping[str, str] = {
    "no_key": "REFERRALS_SUPPRESSION_KEY is unset; set it to the key of the store's suppression lists",
    "other_key": "REFERRALS_SUPPRESSION_KEY is not the key by which the store's suppression lists are hashed; set it "
    "to that one",
    "unfinished": "the suppression lists are being restored; `referrals suppress restore` completes it if nothing else "
    "does",
    "lost": "the store lacks changes of the suppression lists; `referrals suppress restore` brings them back",
}
"""By :data:`Unusable`: in words, with what to do."""


class AddressKey:
    """Hashes addresses by a secret, which every process that adds or looks up addresses must share.

    ``fingerprint`` tells two keys apart and nothing else. Safe to use from many threads.
    """

    def __init__(self, secret: bytes) -> None:
        key = blake2b(secret, person=b"referrals key").digest()
        self.fingerprint = blake2b(b"", digest_size=SIZE, key=key, person=b"fingerprint").digest()
        # Copied for each address, which takes half as long as making one.
        self._keyed = blake2b(digest_size=SIZE, key=key, person=b"address")

    def hashed(self, address: str) -> bytes:
        """The hash of an address, in the form that stores compare: four hex digits and a signed whole number."""
        hasher = self._keyed.copy()
        hasher.update(spelled(address).encode(errors="surrogatepass"))
        return _token(hasher.digest())

    def of_job(self, customer_email: str | None, destination: str | None) -> tuple[bytes, ...]:
        """The hashes of those whom a job is about: the customer, and whoever is written to."""
        if not customer_email:
            return (self.hashed(destination),) if destination else ()
        if not destination or destination == customer_email:
            return (self.hashed(customer_email),)
        return self.hashed(customer_email), self.hashed(destination)


def spelled(address: str) -> str:
    """The address as job ids compare it: in its normal spelling, trimmed, and in lower case."""
    if not address.isascii():
        # Imported when used: a producer has normalised the address already, and few are beyond ASCII.
        from worker.model.addresses import normalized_email

        address = normalized_email(address.strip()) or address
    return canonical(address, address=True) or ""


def hash_of(number: int) -> bytes:
    """The hash whose whole number this is."""
    return _token(number.to_bytes(SIZE, signed=True))


def packed(hashes: Iterable[bytes]) -> bytes:
    """Hashes in :data:`SIZE` bytes each."""
    return b"".join(int(token[4:]).to_bytes(SIZE, signed=True) for token in hashes)


def unpacked(data: bytes) -> list[bytes]:
    """What :func:`packed` was given.

    Raises:
      ValueError: the bytes are no whole number of hashes.
    """
    if len(data) % SIZE:
        raise ValueError("are no whole number of hashes")
    return [_token(data[at : at + SIZE]) for at in range(0, len(data), SIZE)]


def _token(digest: bytes) -> bytes:
    # Redis keeps whole numbers of 64 bits in 8 bytes, in sets that are chosen by the digits.
    return b"%s%d" % (digest[:2].hex().encode(), int.from_bytes(digest, signed=True))


@dataclass(frozen=True, slots=True)
class SuppressionList:
    """A shop's list: how many addresses it has, and the ``number`` of the change that it had last."""

    addresses: int
    number: int


@dataclass(frozen=True, slots=True)
class Suppression:
    """All lists at one moment. ``number`` is that of the last change of any list, from 1.

    ``key`` is the fingerprint of the key by which the addresses are hashed, empty where there are none. ``lists`` are
    by shop, ``*`` for the one of all shops.
    """

    number: int = 0
    key: bytes = NO_KEY
    lists: Mapping[str, SuppressionList] = field(default_factory=dict)

    @property
    def addresses(self) -> int:
        """Addresses on all lists together."""
        return sum(each.addresses for each in self.lists.values())

    def unusable(self, key: bytes, changes: int) -> Unusable | None:
        """Why nobody with the key of this fingerprint can rely on the lists, which have had so many ``changes``."""
        if self.number < changes:
            return "lost"
        if self.key in {NO_KEY, key}:
            return None
        if self.key == UNFINISHED:
            return "unfinished"
        return "no_key" if key == NO_KEY else "other_key"
