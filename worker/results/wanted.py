"""What a person looks for among results, and by which keys a result is found. Pure.

A source that keeps :func:`keys_of` beside each result finds it by :attr:`Wanted.keys` alone.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from worker.errors import UsageError
from worker.model.addresses import normalized_email
from worker.model.names import canonical

LONGEST = 2048
"""Characters of what is looked for: a link may be that long."""

_JOB_ID = re.compile(r"[0-9a-fA-F]{32}")
_SCHEME = re.compile(r"\Ahttps?://", re.IGNORECASE)

# Characters that stand in every file as they are, in CSV and in JSON. Quotes and backslashes are escaped, apostrophes
# and semicolons are guarded. A K in a file may be the sign for kelvin, of which NFC makes a K; the accent is of that
# kind too. A letter before a character beyond ASCII may be one character with it.
_SAFE = re.compile(r"""[!#-&(-:<-JL-\[\]-_a-jl-~]+(?![^\x00-\x7f])""")


@dataclass(frozen=True)
class Wanted:
    """Customers' addresses, shopids or bhids, destinations, references, job ids or links, as a person gives them.

    Any of the ``texts`` matches, and matches exactly: addresses in their normal spelling and in any case, links with or
    without their scheme and slashes at their end.
    """

    texts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Wanted":
        """What one text looks for.

        Raises:
          UsageError: it is blank or too long.
        """
        trimmed = canonical(text)
        if trimmed is None:
            raise UsageError("WHAT: is blank; give an address, an id, a reference, a job id or a link")
        if len(trimmed) > LONGEST:
            raise UsageError(f"WHAT: has {len(trimmed):,} characters, and {LONGEST:,} is the most")
        return cls((trimmed,))

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of which a result that matches has at least one; at most four for each text."""
        return frozenset(key for text in self.texts for key in _keys_of_text(text))

    def matches(self, result: Mapping[str, Any]) -> bool:
        """Whether a result, given as its parsed JSON, is one of those."""
        return not self.keys.isdisjoint(keys_of(result))

    def names_customer_of(self, result: Mapping[str, Any]) -> bool:
        """Whether it is the customer or the very job that it matches, and not whom they wrote to, or a reference."""
        ids = customer_texts(result)
        named = {f"j:{result['job_id']}", *_link_keys(result), *(f"{kind}:{text}" for kind in "ai" for text in ids)}
        return not self.keys.isdisjoint(named)

    def needles(self) -> list[bytes]:
        """Texts in lower case of which a row that matches holds at least one, in whatever case and format.

        Empty if no such text can be told.
        """
        spellings = {form for text in self.texts for form in (text, normalized_email(text) or text, _link(text))}
        found = {max(_SAFE.findall(spelling), key=len, default="").lower() for spelling in spellings}
        return [text.encode() for text in sorted(found)] if all(found) else []


def keys_of(result: Mapping[str, Any]) -> frozenset[str]:
    """The keys by which a result, given as its parsed JSON, is found; at most seven."""
    return frozenset(_keys(result))


def customer_texts(result: Mapping[str, Any]) -> list[str]:
    """The ids of a result's customer as they are compared: bhid, shopid and address, those that are given."""
    customer = result.get("customer") or {}
    ids = [canonical(customer.get(name)) for name in ("bhid", "shopid")]
    return [text for text in (*ids, canonical(customer.get("email"), address=True)) if text is not None]


def _keys_of_text(text: str) -> Iterator[str]:
    yield f"a:{canonical(normalized_email(text) or text, address=True)}"
    yield f"i:{text}"
    yield f"l:{_link(text)}"
    if _JOB_ID.fullmatch(text):
        yield f"j:{text.lower()}"


def _keys(result: Mapping[str, Any]) -> Iterator[str]:
    customer = result.get("customer") or {}
    yield f"j:{result['job_id']}"
    yield from _link_keys(result)
    for text in (customer.get("email"), result.get("destination")):
        if (address := canonical(text, address=True)) is not None:
            yield f"a:{address}"
    for text in (customer.get("shopid"), customer.get("bhid"), result.get("reference")):
        if (name := canonical(text)) is not None:
            yield f"i:{name}"


def _link_keys(result: Mapping[str, Any]) -> Iterator[str]:
    link = (result.get("referral") or {}).get("link")
    if isinstance(link, str) and (trimmed := canonical(link)) is not None:
        yield f"l:{_link(trimmed)}"


def _link(text: str) -> str:
    """A link as it is compared: browsers leave out the scheme, lower the host's case and add or drop a slash."""
    bare = _SCHEME.sub("", text).rstrip("/")
    host, slash, path = bare.partition("/")
    return f"{host.lower()}{slash}{path}"
