"""Masks addresses and secrets in texts: the last line of defence behind logs and error messages.

Code that writes a log line or an error leaves them out in the first place. This is for what nobody foresaw: a library
that quotes its input, a proxy that quotes our request, a column that was mapped wrongly. A secret is passed to
:func:`hide` where it enters the process. An address becomes ``<address:3f9a1c04d2b7>`` and a telephone number
``<phone:…>``, always the same under one key, so that one customer can be followed through the logs without being named.

Commands show :func:`hint` of an address, so that who has the export recognises it.
"""

import hmac
import json
import re
import secrets
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

from worker.text.phones import replace_numbers

SHORTEST_SECRET = 8
"""Characters. A shorter secret is masked in URLs only: elsewhere "guest" or "secret" is a word like any other."""

_HEX_DIGITS = 12
_LONG = 8
_HIDDEN = "***"

AT = r"(?:@|＠|%(?:25)*40|\\u0040|&#(?:64|x40);|&commat;|=40(?=[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}))"
"""The @ of an address as a regular expression, in the forms that it takes in URLs, JSON, HTML and mail. ``=40`` counts
only before a domain: in "status=401" and "took=401.5" it is none."""

# Several in a row are one match: what follows the first @ may be the name before the second.
_AT_DOMAIN = re.compile(rf"(?:{AT}(?:\w[\w-]*(?:\.[\w-]+)*|\[[^\]\s]{{1,64}}\]))+", re.IGNORECASE)
# The name of a RabbitMQ node is no address, and an operator needs it.
_NODE = re.compile(r"rabbit[\w-]*@[\w-]+")
# Without "=", "/" and the like: an address may hold them, but mostly they stand before one ("to=ann@…").
_LOCAL = re.compile(r"[\w.+%~!#$*^{|}'-]")
_SIGN = re.compile(AT, re.IGNORECASE)
_BEGINS_SIGN = ("@", "＠", "%", "\\u0040", "&", "=40")
_LONGEST_QUOTED = 64
_USER_OF_URL = re.compile(r"(?<=://)[^\s/?#'\"]+@")
_AUTHORIZATION = re.compile(r"\b(Bearer|Basic) +[\w.~+/=-]+", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]{6,}(?:\.[\w-]*)*")


class Mask:
    """Masks addresses, telephone numbers and the secrets that it knows. Safe to use from any thread."""

    def __init__(self, key: bytes | None = None) -> None:
        """``key`` is the HMAC key for addresses. Without one it is random, and nobody can find out later who it was."""
        self._key = key or secrets.token_bytes(32)
        self._secrets: tuple[str, ...] = ()

    def rekey(self, key: bytes) -> None:
        """Hash addresses with this key from now on, so that processes write the same pseudonyms."""
        self._key = key

    def hide(self, secret: str | bytes) -> None:
        """Mask this text from now on, also in the forms in which URLs, JSON and Python write it."""
        raw = secret.encode(errors="surrogateescape") if isinstance(secret, str) else secret
        text = raw.decode(errors="backslashreplace")
        if len(text) >= SHORTEST_SECRET:
            spellings = {text, quote(raw, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1], repr(raw)[2:-1]}
            # The longest first, since one spelling may be part of another.
            self._secrets = tuple(sorted({*self._secrets, *spellings}, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The masked text; masking it again changes nothing. Takes time in proportion to its length."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, _HIDDEN)
        if "://" in text:
            text = _USER_OF_URL.sub("", text)
        text = _JWT.sub(_HIDDEN, _AUTHORIZATION.sub(rf"\1 {_HIDDEN}", text))
        if any(sign in text for sign in _BEGINS_SIGN):
            text = "".join(self._without_addresses(text))
        return replace_numbers(text, self._pseudonym_of_number)

    def _without_addresses(self, text: str) -> Iterator[str]:
        # From one @ to the next, each with what stands before it down to the previous address. So a text is read once,
        # however long it is, and no address hides behind another.
        done = 0
        for found in _AT_DOMAIN.finditer(text):
            begin = _begin_of_local(text, done, found.start())
            # If no name stands before the first @ of several, the text between two of them is one.
            named = begin < found.start() or _SIGN.search(text, found.start() + 1, found.end())
            if named and not _NODE.fullmatch(text, begin, found.end()):
                yield text[done:begin]
                yield self.pseudonym(text[begin : found.end()])
                done = found.end()
        yield text[done:]

    def pseudonym(self, address: str) -> str:
        """Hash addresses with this key from now on, so that several processes write equal pseudonyms."""
        plain = _SIGN.sub("@", unicodedata.normalize("NFC", address.strip())).lower()
        return f"<address:{self._digits_of(plain)}>"

    def _pseudonym_of_number(self, digits: str) -> str:
        return f"<phone:{self._digits_of(digits)}>"

    def _digits_of(self, plain: str) -> str:
        return hmac.digest(self._key, plain.encode(errors="backslashreplace"), "sha256").hex()[:_HEX_DIGITS]


def _begin_of_local(text: str, first: int, end: int) -> int:
    if text.endswith('"', first, end):
        opening = text.rfind('"', max(first, end - _LONGEST_QUOTED - 2), end - 1)
        return opening if opening >= 0 and "\n" not in text[opening:end] else end
    while end > first and _LOCAL.match(text[end - 1]):
        end -= 1
    while text[end] == "'":
        # A quote that Python's repr put around it.
        end += 1
    return end


def hint(text: str) -> str:
    """A cell or an address as commands show it: what it begins and ends with, so that only who has the export knows it.

    Of an address nothing is shown but the first letters of its parts, and the last part of its domain.
    """
    name, at, domain = text.rpartition("@")
    if at:
        ending = domain.rpartition(".")[2]
        return f"{name[:1]}…@{domain[:1]}….{ending[:4]}"
    if text.startswith("#") or len(text) <= 2:
        # What a spreadsheet writes for an error is nobody's secret.
        return text[:_LONG]
    return f"{text[:3]}…{text[-3:]}" if len(text) > _LONG else f"{text[:1]}…{text[-1:]}"


mask = Mask()
"""The process's own mask. It is global because a log line may come from any library: a secret that enters the process
in one place must appear in none."""

hide = mask.hide
