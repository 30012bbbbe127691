"""E-mail addresses: whether a text is one, and how it is spelled, without DNS and at the speed of a row.

One mailbox can be written in several ways: in full-width letters, with an ideographic full stop, with a domain in
Unicode or in ASCII. It is one customer, so it has one spelling, in the call as in the job's id. What is an address is
said by email-validator, which keeps to RFC 5321 and 6531: ``a..b@docomo.ne.jp``, which exists all the same, is none.
"""

import re
import unicodedata
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email

_LONGEST = 254
_ATOM = r"[A-Za-z0-9_!#$%&'*+\-/=?^`{|}~]+"
_PLAIN = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@([A-Za-z0-9.\-]+)")
_WIDTHS = ("<wide>", "<narrow>")
_VARIATION = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""They choose between two drawings of the character before them and are no part of a name."""


def normalized_email(text: str) -> str | None:
    """The address as it is sent; None where the text is none. Blocks for nothing.

    One in ASCII stays as it is, case included. In others letters have their usual width, the local part is in NFC, and
    the domain, by IDNA's rules (UTS 46), in ASCII: so browsers and mail servers pass it on, and so shops know it.

    Plain ASCII addresses, which nearly all are, need email-validator's 35 µs once per domain only: there the local part
    is right if it is a dot-atom, and the domain's answer doesn't depend on it; with an `xn--` the bound on the length
    would, for it counts the characters that stands for. Tests hold the two ways against each other.
    """
    if len(text) > _LONGEST:
        return None
    plain = _PLAIN.fullmatch(text)
    if plain is None or "xn--" in (domain := plain[1].lower()):
        return _validated(text)
    return text if _takes_domain(domain) else None


def _validated(text: str) -> str | None:
    ascii_only = text.isascii()
    if not ascii_only:
        text = _VARIATION.sub("", "".join(map(_of_usual_width, text)))
    try:
        found = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return None
    return text if ascii_only else f"{found.local_part}@{found.ascii_domain}"


def _of_usual_width(character: str) -> str:
    decomposition = unicodedata.decomposition(character)
    return unicodedata.normalize("NFKC", character) if decomposition.startswith(_WIDTHS) else character


@lru_cache(maxsize=4096)
def _takes_domain(domain: str) -> bool:
    return _validated(f"a@{domain}") is not None
