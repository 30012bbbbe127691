"""What tells results of the built-in emulator of Refer2 from results of Refer2, whichever way they came.

The emulator marks its own answers, so that the mark is in every file and on every screen that they reach: its links
lead to a name that can't exist, and its texts begin with a word that Refer2's don't.
"""

from collections.abc import Mapping
from typing import Any

LINKS = "https://sandbox.invalid/"
"""What each link of the emulator begins with. RFC 2606 keeps the domain from ever being anybody's."""

EARLIER_LINKS = "https://shop.example.com/"
"""The same of an earlier emulator, whose files are still about."""

TEXTS = "SANDBOX: "
"""What each message of the emulator begins with."""

SHOP = "sandbox-shop"
"""A shop that is meant for nothing else, where none is named."""


def is_rehearsed(result: Mapping[str, Any]) -> bool:
    """Whether the emulator gave this result (its parsed JSON); False also where nothing answered at all."""
    referral, message = result.get("referral"), result.get("message")
    link = referral.get("link") if isinstance(referral, dict) else None
    return (isinstance(link, str) and link.startswith((LINKS, EARLIER_LINKS))) or (
        isinstance(message, str) and message.startswith(TEXTS)
    )
