"""Tells results of the built-in emulator from results of Refer2, in whatever file or queue they are. Pure.

The emulator marks its answers, so that the mark is in every file and on every screen that they reach: its links lead to
a name that can't exist, and its texts start with a word that Refer2's don't have. What it doesn't answer is marked by
the rehearsal itself, which knows where it calls.
"""

from collections.abc import Mapping
from typing import Any

LINKS = "https://sandbox.invalid/"
"""The start of each link of the emulator. RFC 2606 reserves the domain, so it never belongs to anybody."""

EARLIER_LINKS = "https://shop.example.com/"
"""The start of the links of an earlier emulator, whose files still exist."""

TEXTS = "SANDBOX: "
"""The start of each message of the emulator."""

SHOP = "sandbox-shop"
"""The shop of a rehearsal that names none."""


UNANSWERED = f"{TEXTS}nothing came back, and nobody was called"
"""The message of a rehearsed result without one."""


def marked(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result of a rehearsal with the mark that it may lack: proxies' pages, time-outs and deadlines have no text."""
    if is_rehearsed(result):
        return result
    said = result.get("message")
    return {**result, "message": f"{TEXTS}{said}" if isinstance(said, str) and said else UNANSWERED}


def is_rehearsed(result: Mapping[str, Any]) -> bool:
    """Whether this result, given as its parsed JSON, comes from the emulator.

    False where nothing answered, unless a rehearsal has :func:`marked` it.
    """
    # Errors have no link, and some answers no text, so either mark is enough.
    referral, message = result.get("referral"), result.get("message")
    link = referral.get("link") if isinstance(referral, dict) else None
    return (isinstance(link, str) and link.startswith((LINKS, EARLIER_LINKS))) or (
        isinstance(message, str) and message.startswith(TEXTS)
    )
