"""E-mail addresses: whether a text is one, and its normal spelling. Pure: no DNS.

One mailbox can be written in several ways: in full-width letters, with an ideographic full stop, with a domain in
Unicode or in ASCII. It belongs to one customer, so it gets one spelling, in the call and in the job's id.
email-validator decides what an address is. It follows RFC 5321 and 6531, so ``a..b@docomo.ne.jp`` is refused although
such mailboxes exist.
"""

import re
import unicodedata
from functools import lru_cache

_LONGEST = 254
_ATOM = r"[A-Za-z0-9_!#$%&'*+\-/=?^`{|}~]+"
_PLAIN = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@([A-Za-z0-9.\-]+)")
_WIDTHS = ("<wide>", "<narrow>")
_VARIATION = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors. They choose between two drawings of a character and are no part of a name."""


def normalized_email(text: str) -> str | None:
    """The address in its normal spelling; None if the text is no address.

    An ASCII address stays unchanged, with its case. In other addresses letters get their usual width, the local part is
    in NFC, and the domain is in ASCII by IDNA's rules (UTS 46): that is how browsers and mail servers send it, and how
    shops know it.

    email-validator takes 35 µs. Nearly all addresses are plain ASCII, and for these it is called only once per domain:
    the local part is right if it is a dot-atom, and the domain's answer doesn't depend on it. A domain with `xn--` is
    an exception, since the bound on the length counts the characters that it stands for. A test compares both ways.
    """
    if len(text) > _LONGEST:
        return None
    plain = _PLAIN.fullmatch(text)
    if plain is None or "xn--" in (domain := plain[1].lower()):
        return _validated(text)
    return text if _takes_domain(domain) else None


def _validated(text: str) -> str | None:
    # Imported when used: it takes 70 ms, and no command needs it before it reads rows.
    from email_validator import EmailNotValidError, validate_email

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


# An export has few domains among many addresses.
@lru_cache(maxsize=4096)
def _takes_domain(domain: str) -> bool:
    return _validated(f"a@{domain}") is not None
