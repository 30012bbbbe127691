"""Verifies the Bearer tokens of calls. The one other place than worker.refer2.tokens that uses PyJWT."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from worker.instants import SECOND
from worker.sandbox.config import SANDBOX_KEY_ID, SANDBOX_SECRET, SandboxConfig
from worker.sandbox.responses import RefusedError

_CACHED_TOKENS = 10_000
"""Tokens whose signature is not verified again."""

# `exp` is compared with the sandbox's own clock, which tests move; PyJWT would use the system's.
_OPTIONS: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["aud", "sub"]}


@dataclass(frozen=True, slots=True)
class Token:
    """The claims of a valid token; ``customer`` and ``email`` are None in a shop token.

    ``expires_at`` is an instant in microseconds; None if the token doesn't expire.
    """

    key_id: str
    subject: str = field(repr=False)
    shop: str
    customer: str | None = field(repr=False)
    email: str | None = field(repr=False)
    expires_at: int | None


class Credentials:
    """The keys of each shop. Verifies tokens that were signed with them."""

    def __init__(self, config: SandboxConfig) -> None:
        self._shops = config.shops
        self._verified: dict[str, Token] = {}

    def knows(self, shop: str) -> bool:
        """Whether the sandbox has this shop; one without a list has every shop."""
        return self._shops is None or shop in self._shops

    def verify(self, authorization: str | None, shop: str, now: int) -> Token:
        """The token in an ``Authorization`` header.

        Raises:
          RefusedError: 401 `invalid_token`.
        """
        scheme, _, raw = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not raw:
            raise _invalid("an Authorization header with a Bearer token is needed")
        token = self._verified.get(raw) or self._decode(raw, shop)
        # Checked before it is remembered, and each time: a token of one shop must never be accepted for another.
        if token.shop != shop:
            raise _invalid("the token is another shop's")
        self._remember(raw, token)
        if token.expires_at is not None and now >= token.expires_at:
            raise _invalid("the token has expired")
        return token

    def _keys(self, shop: str) -> Mapping[str, str]:
        return {SANDBOX_KEY_ID: SANDBOX_SECRET} if self._shops is None else self._shops.get(shop, {})

    def _decode(self, raw: str, shop: str) -> Token:
        try:
            key_id = str(jwt.get_unverified_header(raw).get("kid", ""))
            secret = self._keys(shop).get(key_id)
            if secret is None:
                raise _invalid("the key id (kid) is not known")
            claims = jwt.decode(raw, secret, algorithms=["HS256"], audience="BH", options=_OPTIONS)
        except (jwt.InvalidTokenError, UnicodeError) as error:
            raise _invalid(f"the token can't be verified: {type(error).__name__}") from None
        return _read(claims, key_id)

    def _remember(self, raw: str, token: Token) -> None:
        # Verifying a token costs more than the rest of a call. The oldest one goes first, since tokens are short-lived.
        if raw not in self._verified and len(self._verified) >= _CACHED_TOKENS:
            del self._verified[next(iter(self._verified))]
        self._verified[raw] = token


def _read(claims: Mapping[str, Any], key_id: str) -> Token:
    subject = claims["sub"]
    shop, _, customer = subject.partition("/")
    expires, email = claims.get("exp"), claims.get("ce")
    if expires is not None and not isinstance(expires, int | float):
        raise _invalid("exp is not a number")
    return Token(
        key_id=key_id,
        subject=subject,
        shop=shop,
        customer=customer or None,
        email=email if isinstance(email, str) else None,
        expires_at=None if expires is None else int(expires * SECOND),
    )


def _invalid(message: str) -> RefusedError:
    return RefusedError(401, "invalid_token", message)
