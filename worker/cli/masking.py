"""Text from outside on a person's terminal: no address in it unless asked for."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.masking import AT
from worker.phones import replaced

MASK = "…"

_PERSONAL = frozenset({"email", "destination", "sender"})

# Whatever stands around the sign of an address. Word by word: looked for from each place on, a megabyte without one
# would take a day.
_WORD = re.compile(r"""(?:&#64;|[^\s"'<>(),;])++""")
_AT = re.compile(AT, re.IGNORECASE)


def masked(value: Any) -> Any:
    """A value as JSON has them, with the personal fields of a job and whatever else looks like an
    address or a telephone number masked."""
    match value:
        case str():
            plain_words = _WORD.sub(_masked_word, value) if _AT.search(value) else value
            return replaced(plain_words, lambda _: MASK)
        case Mapping():
            return {masked(name): MASK if name in _PERSONAL and item else masked(item) for name, item in value.items()}
        case list():
            return [masked(item) for item in value]
        case _:
            return value


def _masked_word(word: re.Match[str]) -> str:
    return MASK if _AT.search(word[0]) else word[0]


def plain(value: Any) -> Any:
    """A header's value as JSON can have it."""
    match value:
        case bytes():
            return value.decode(errors="backslashreplace")
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(plain(name)): plain(item) for name, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case str() | int() | float() | None:
            return value
        case _:
            return str(value)
