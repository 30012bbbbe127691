"""Whether something names a person: her address in any field of it, by itself or within a text. Pure."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from worker.model.suppression import spelled
from worker.results.wanted import Wanted

_ADDRESS = re.compile(r"""[^\s<>(),;:"\[\]{}]+@[^\s<>(),;:"\[\]{}?&=/#%!'`*|\\]+""")
_BEFORE = re.compile(r"[=&?/|]")
"""What may stand before an address in a link; it may be a part of the address too."""

_AROUND = "'`.!*"
"""What may stand around an address in a text and is no part of it."""

_NOT_PLAIN = re.compile(rb"\\u[0-9a-f]{4}|[\x80-\xff]")
"""A character beyond ASCII, whose normal spelling may be a letter of the address, or an escape that needs none."""


class Mentions:
    """Looks for one address, compared as job ids compare it, in jobs, results and whatever else is JSON.

    ``needles`` are byte strings of which a text in ASCII that mentions it holds at least one, once it is in lower case;
    it may hold one and mention somebody else. Empty if there is none to tell. ``keys`` are those of
    :class:`~worker.results.wanted.Wanted`.
    """

    def __init__(self, address: str) -> None:
        self._spelled = spelled(address)
        wanted = Wanted.parse(address)
        self.keys = wanted.keys
        plain = wanted.needles()
        self.needles = [*plain, *(needle.replace(b"@", b"%40") for needle in plain if b"@" in needle)]

    def body(self, body: bytes) -> bool:
        """Whether a message does. One that is not JSON does if the address stands in it anywhere."""
        lower = body.lower()
        # Nearly every message is somebody else's, and is not parsed.
        if self.needles and not any(needle in lower for needle in self.needles) and not _NOT_PLAIN.search(lower):
            return False
        try:
            return self.document(json.loads(body))
        except (ValueError, RecursionError):
            return self._spelled.encode(errors="surrogatepass") in lower

    def document(self, document: Any) -> bool:
        """Whether parsed JSON does, in a key or a value of it."""
        return any(self._in(text) for text in _texts(document))

    def _in(self, text: str) -> bool:
        if "%40" in text:
            text = unquote_plus(text)
        if "@" not in text:
            return False
        parts = {text}
        for found in _ADDRESS.findall(text):
            parts |= {found.strip(_AROUND), _BEFORE.split(found)[-1].strip(_AROUND)}
        return any(spelled(part) == self._spelled for part in parts)


def _texts(document: Any) -> Iterator[str]:
    left = [document]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case dict() as fields:
                left.extend(fields)
                left.extend(fields.values())
            case list() as values:
                left.extend(values)
            case _:
                pass
