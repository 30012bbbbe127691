"""The credential of a shop's calls: a key to sign tokens, or a ready-made token. Neither is ever printed."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from worker.errors import ReferralError
from worker.text.bounds import CLAIMS, loads
from worker.text.editors import without_bom
from worker.text.masking import hide

_TOKEN = re.compile(rb"[\x21-\x7e]+")


class UnidentifiedCustomerError(ReferralError):
    """A customer token is needed and can't carry the given ids. ``code`` is Refer2's code for that."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code = code


@dataclass(frozen=True)
class SigningKey:
    """The shared secret of a shop, and the id by which the vendor knows it."""

    key_id: str
    secret: bytes = field(repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """Differs if the key differs. Only for comparing and caching; it must never be shown."""
        return _digest("key", self.key_id.encode(), self.secret)


@dataclass(frozen=True)
class ReadyToken:
    """A token that was made elsewhere. Its claims say for whom and until when it is valid."""

    token: str = field(repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """Differs if the token differs. Only for comparing and caching; it must never be shown."""
        return _digest("token", self.token.encode())

    @cached_property
    def expires_at(self) -> float | None:
        """The Unix time of its claim ``exp``, unverified; None if it has none or isn't a JWT."""
        # Only for `shops check` and the metric of its expiry, so a token that can't be read is no error.
        expires_at = self._claim("exp")
        usable = isinstance(expires_at, int | float) and not isinstance(expires_at, bool) and 0 < expires_at < 1e11
        return float(expires_at) if usable else None

    @cached_property
    def names_customer(self) -> bool:
        """Whether its claim ``sub``, unverified, is ``<shop>/<customer>``, so that it speaks for one customer only."""
        subject = self._claim("sub")
        return isinstance(subject, str) and "/" in subject

    def _claim(self, name: str) -> Any:
        try:
            return loads(base64.urlsafe_b64decode(self.token.split(".")[1] + "=="), CLAIMS).get(name)
        except (IndexError, AttributeError, ValueError, binascii.Error):
            return None


Credential = SigningKey | ReadyToken


def signing_key(key_id: str, content: bytes) -> SigningKey:
    """The key in a secret file's content, without the byte order mark and the line end that editors add.

    Logs mask the secret from now on.

    Raises:
      ValueError: the file is empty, or UTF-16.
    """
    secret = without_bom(content).rstrip(b"\r\n")
    if not secret:
        raise ValueError("is empty")
    hide(secret)
    return SigningKey(key_id, secret)


def ready_token(content: bytes) -> ReadyToken:
    """The token in a token file's content. Logs mask it from now on.

    Raises:
      ValueError: it is empty, UTF-16, or not one word of ASCII, which an HTTP header needs.
    """
    token = without_bom(content).strip()
    if not token:
        raise ValueError("is empty")
    # A line break in a header would end it, so requests refuses the call; better one clear line at the start.
    if not _TOKEN.fullmatch(token):
        raise ValueError("is not one token: it holds spaces, line breaks or characters beyond ASCII")
    hide(token)
    return ReadyToken(token.decode("ascii"))


def _digest(kind: str, *parts: bytes) -> str:
    # With the lengths, so that no two pairs of id and secret make the same bytes.
    lengths = ",".join(str(len(part)) for part in parts)
    return hashlib.sha256(f"{kind}:{lengths}:".encode() + b"".join(parts)).hexdigest()
