"""Tokens for the calls to Refer2: short-lived HS256 JWTs, signed with the shop's secret when they are needed."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from jwt import PyJWS
from jwt.algorithms import HMACAlgorithm

from worker.clock import Clock
from worker.instants import SECOND
from worker.model.job import Customer
from worker.shops.config import ShopConfig
from worker.shops.credentials import ReadyToken, SigningKey, UnidentifiedCustomerError

ALGORITHM = "HS256"
AUDIENCE = "BH"
"""The vendor's own value for ``aud``."""

LIFETIME_SECONDS = 600
RENEWAL_SECONDS = 480
"""A token is used for four fifths of its life, so that none expires on its way or while a call is held back."""

BACKDATING_SECONDS = 30
"""``iat`` lies this far in the past: servers refuse a token from the future, and clocks differ."""

MOST_CUSTOMER_TOKENS = 4096
"""Customers whose tokens are kept. A campaign has most customers once; the cache helps those with many friends."""


@dataclass(frozen=True, slots=True)
class _Made:
    token: str
    good_from: int
    good_until: int

    def is_good(self, now: int) -> bool:
        # A token from the future was signed before the wall clock was put back, and a server may refuse it.
        return self.good_from <= now < self.good_until


class _AnyLength(HMACAlgorithm):
    # The vendor chooses the secret, so PyJWT's warning about its length would go to stderr and help nobody.
    def check_key_length(self, key: bytes) -> str | None:
        del key
        return None


def _nobody_counts() -> None:
    """The callback of a maker whose tokens nobody counts."""


class TokenMaker:
    """Makes and keeps tokens. Safe to use from many threads. Does no I/O; signing takes 40 µs."""

    def __init__(self, clock: Clock, signed: Callable[[], None] = _nobody_counts) -> None:
        """``signed`` is called once for each token that is signed, on the thread that signs it."""
        self._clock = clock
        self._signed = signed
        self._signer = PyJWS()
        self._signer.unregister_algorithm(ALGORITHM)
        self._signer.register_algorithm(ALGORITHM, _AnyLength(HMACAlgorithm.SHA256))
        self._shop_tokens: dict[str, tuple[str, _Made]] = {}
        self._customer_tokens: OrderedDict[tuple[str, str, str, str | None], _Made] = OrderedDict()
        self._lock = threading.Lock()

    def token(self, shop: ShopConfig, customer: Customer) -> str:
        """The token for a call: the shop's ready-made one as it is, else one that is signed here and kept.

        Raises:
          UnidentifiedCustomerError: the shop uses customer tokens, and the customer has no ``shopid``, or has a
            ``bhid``. Such a token carries ``shopid`` and ``email`` only, and Refer2 would never compare an id that it
            leaves out.
        """
        credential = shop.credential
        if isinstance(credential, ReadyToken):
            return credential.token
        if shop.token == "shop":  # noqa: S105 - a kind of token, not a token
            return self._for_shop(shop.slug, credential)
        return self._for_customer(shop.slug, credential, customer)

    def _wall(self) -> int:
        # Servers check tokens by their own wall clocks.
        return self._clock.now() + self._clock.ahead()

    def _for_shop(self, slug: str, key: SigningKey) -> str:
        now = self._wall()
        # One token per shop: after a key was rotated, its first token replaces the old key's. Without the lock: two
        # threads that sign at once cost 40 µs.
        fingerprint, made = self._shop_tokens.get(slug, ("", None))
        if made is None or fingerprint != key.fingerprint or not made.is_good(now):
            made = self._sign(key, slug, now)
            self._shop_tokens[slug] = (key.fingerprint, made)
        return made.token

    def _for_customer(self, slug: str, key: SigningKey, customer: Customer) -> str:
        shopid = (customer.shopid or "").strip()
        if not shopid:
            raise UnidentifiedCustomerError(
                "missing_customer_identity", "the customer has no shopid, which a customer's token needs"
            )
        if (customer.bhid or "").strip():
            raise UnidentifiedCustomerError(
                "customer_identity_does_not_match_token",
                "the customer has a bhid, which a customer's token can't carry; leave it out, or use a shop token",
            )
        now = self._wall()
        email = customer.email or None
        kept_as = (slug, key.fingerprint, shopid, email)
        with self._lock:
            made = self._customer_tokens.get(kept_as)
            if made is not None and made.is_good(now):
                self._customer_tokens.move_to_end(kept_as)
                return made.token
        made = self._sign(key, f"{slug}/{shopid}", now, email)
        with self._lock:
            self._customer_tokens[kept_as] = made
            self._customer_tokens.move_to_end(kept_as)
            if len(self._customer_tokens) > MOST_CUSTOMER_TOKENS:
                self._customer_tokens.popitem(last=False)
        return made.token

    def _sign(self, key: SigningKey, subject: str, now: int, email: str | None = None) -> _Made:
        issued_at = now // SECOND - BACKDATING_SECONDS
        claims: dict[str, str | int] = {
            "aud": AUDIENCE,
            "sub": subject,
            "iat": issued_at,
            "exp": issued_at + LIFETIME_SECONDS,
        }
        if email:
            claims["ce"] = email
        payload = json.dumps(claims, separators=(",", ":")).encode()
        token = self._signer.encode(payload, key.secret, algorithm=ALGORITHM, headers={"kid": key.key_id})
        self._signed()
        return _Made(token, issued_at * SECOND, (issued_at + RENEWAL_SECONDS) * SECOND)
