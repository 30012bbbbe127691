"""A cell as it is compared with a value that a person has typed or a table names. Pure."""

import unicodedata

from worker.campaigns.identifiers import NULLS


def folded(text: str) -> str:
    """The cell without case and outer spaces, in one form of Unicode; what databases write for no value is blank."""
    text = text.strip()
    if text in NULLS:
        return ""
    # Most cells are ASCII, which has one form of Unicode only and needs no normalizing.
    return text.casefold() if text.isascii() else unicodedata.normalize("NFC", text).casefold()
