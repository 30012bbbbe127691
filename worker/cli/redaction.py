"""Masks addresses and numbers in what is shown on a terminal, unless a person asks for them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from worker.text.bounds import LETTER
from worker.text.masking import AT, hint
from worker.text.phones import replace_numbers

MASK = "…"
"""Stands for whatever :func:`~worker.text.masking.hint` could show too much of."""

_PERSONAL = frozenset({"email", "destination", "sender"})

# The whole word around an address's @ is masked. Possessive (`++`): with backtracking, a megabyte without an address
# would take a day.
_WORD = re.compile(r"""(?:&#64;|[^\s"'<>(),;])++""")
_AT = re.compile(AT, re.IGNORECASE)
_ADDRESS = re.compile(r"[\w.+-]{1,64}@\w[\w-]*(?:\.\w[\w-]*)+")

DEEPER = "[nested deeper]"
"""Stands for everything that is nested deeper than is shown."""

_SHOWN_LEVELS = 32
"""Levels of headers. Real ones have at most three, but RabbitMQ delivers some twenty thousand."""


def masked(value: Any, levels: int = LETTER.depth) -> Any:
    """A JSON value with masks in place of a job's personal fields and of all that looks like an address or a telephone
    number. What is nested deeper than ``levels`` becomes :data:`DEEPER`."""
    match value:
        case str():
            plain_words = _WORD.sub(_without_address, value) if _AT.search(value) else value
            return replace_numbers(plain_words, lambda _: MASK)
        case Mapping() | list() if not levels:
            return DEEPER
        case Mapping():
            return {
                masked(name): _masked_word(item) if name in _PERSONAL and item else masked(item, levels - 1)
                for name, item in value.items()
            }
        case list():
            return [masked(item, levels - 1) for item in value]
        case _:
            return value


def _without_address(word: re.Match[str]) -> str:
    return _masked_word(word[0]) if _AT.search(word[0]) else word[0]


def _masked_word(word: object) -> str:
    return hint(word) if isinstance(word, str) and _ADDRESS.fullmatch(word) else MASK


def plain(value: Any, levels: int = _SHOWN_LEVELS) -> Any:
    """A header's value as JSON can hold it. What is nested deeper than ``levels`` becomes :data:`DEEPER`.

    AMQP's tables hold bytes, times and decimals, which JSON doesn't have.
    """
    match value:
        case bytes():
            return value.decode(errors="backslashreplace")
        case datetime():
            return value.isoformat()
        case Mapping() | list() if not levels:
            return DEEPER
        case Mapping():
            return {str(plain(name)): plain(item, levels - 1) for name, item in value.items()}
        case list():
            return [plain(item, levels - 1) for item in value]
        case str() | int() | float() | None:
            return value
        case _:
            return str(value)
