"""Names: what a shop's slug looks like, and the form in which texts are compared. Pure, and cheap to import."""

import re
import unicodedata

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""A shop slug: one path segment of the API and one word of a routing key."""


UNSEEN_IN_NAME = "holds control, bidirectional or zero-width characters, which nobody can see; give a name without them"
"""The problem with a campaign's name that holds such characters."""


def campaign_key(campaign: str) -> str:
    """The name by which all that is counted of a campaign is kept together, however its producers spell it."""
    return canonical(campaign) or campaign


def canonical(text: str | None, *, address: bool = False) -> str | None:
    """The form in which texts are compared: trimmed, NFC, and lower case for an ``address``. None for an empty text."""
    if text is None:
        return None
    trimmed = text.strip()
    # ASCII is NFC already, and most texts are ASCII; this runs eight times for each job.
    if not trimmed.isascii():
        trimmed = unicodedata.normalize("NFC", trimmed)
    return (trimmed.lower() if address else trimmed) or None
