"""Addresses and secrets taken out of texts: the last line of defence behind logs and error messages.

Whoever writes a log line or an error leaves them out to begin with; this is for what nobody thought of: a library that
quotes its input, a proxy that quotes ours, a column mapped wrongly. A secret is told to :func:`hide` where it enters
the process. An address becomes ``<address:3f9a1c04d2b7>``, the same for the same address and key, so that one customer
can be followed through the logs without being named.
"""

import hmac
import json
import re
import secrets
import unicodedata
from urllib.parse import quote

SHORTEST_SECRET = 8
"""Characters. A shorter one is taken out of URLs only: elsewhere "guest" or "secret" is a word like any other."""

_HEX_DIGITS = 12
_HIDDEN = "***"

_AT = r"(?:@|＠|%40)"
# It begins where a run of its characters does, so that a long text without an address is read once. "=" and the like
# may stand in an address, but mostly stand before one.
_LOCAL = r"(?<![\w.+%~!#$*^{|}-])[\w.+%~!#$*^{|}-][\w.+%~!#$*^{|}'-]{0,319}"
_ADDRESS = re.compile(rf'(?:"[^"\n]{{1,64}}"|{_LOCAL}){_AT}[\w-]+(?:\.[\w-]+)+')
_USER_OF_URL = re.compile(r"(?<=://)[^\s/?#'\"]+@")
_AUTHORIZATION = re.compile(r"\b(Bearer|Basic) +[\w.~+/=-]+", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]{6,}(?:\.[\w-]*)*")


class Mask:
    """Takes addresses and the secrets that it was told of out of texts. Safe to use from any thread."""

    def __init__(self, key: bytes | None = None) -> None:
        """``key`` is what addresses are hashed with; without one it is random, and nobody can tell later who it was."""
        self._key = key or secrets.token_bytes(32)
        self._secrets: tuple[str, ...] = ()

    def rekey(self, key: bytes) -> None:
        """Hash addresses with this key from now on."""
        self._key = key

    def hide(self, secret: str | bytes) -> None:
        """Let this text appear nowhere from now on, also as URLs, JSON and Python write it."""
        raw = secret.encode(errors="surrogateescape") if isinstance(secret, str) else secret
        text = raw.decode(errors="backslashreplace")
        if len(text) >= SHORTEST_SECRET:
            spellings = {text, quote(raw, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1], repr(raw)[2:-1]}
            # The longest first: one may be part of another.
            self._secrets = tuple(sorted({*self._secrets, *spellings}, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text without them; what is masked already stays as it is. Takes time in proportion to its length."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, _HIDDEN)
        if "://" in text:
            text = _USER_OF_URL.sub("", text)
        text = _JWT.sub(_HIDDEN, _AUTHORIZATION.sub(rf"\1 {_HIDDEN}", text))
        if "@" in text or "%40" in text or "＠" in text:
            text = _ADDRESS.sub(lambda found: self.pseudonym(found[0]), text)
        return text

    def pseudonym(self, address: str) -> str:
        """What stands for an address: the first digits of HMAC-SHA256 over it, trimmed, NFC and in lower case."""
        plain = re.sub(_AT, "@", unicodedata.normalize("NFC", address.strip())).lower()
        digest = hmac.digest(self._key, plain.encode(errors="backslashreplace"), "sha256").hex()
        return f"<address:{digest[:_HEX_DIGITS]}>"


mask = Mask()
"""The process's own, since a log line may come from any library: what enters it in one place must show in none."""

hide = mask.hide
