"""The status of all members of a Mailchimp file, which stands in its name and in no column. Pure."""

import re
from collections.abc import Collection, Sequence
from typing import Final, Literal

from worker.campaigns.reject_reasons import RejectReason

FileStatus = RejectReason | Literal["subscribed"]

_WORDS: Final[dict[str, FileStatus]] = {
    "subscribed": "subscribed",
    "unsubscribed": "unsubscribed",
    "nonsubscribed": "no_consent",
    "transactional": "no_consent",
    "pending": "no_consent",
    "archived": "no_consent",
    "cleaned": "suppressed",
}
_DOUBTS_BEFORE: Final = frozenset(
    {
        "never",
        "no",
        "longer",
        "not",
        "yet",
        "former",
        "formerly",
        "previously",
        "ex",
        "de",
        "was",
        "were",
        "isn",
        "aren",
    }
)
_DOUBTS: Final = frozenset(
    {"unsub", "unsubs", "unsubscribes", "unsubscribers", "optout", "optouts", "bounced", "bounces", "suppressed"}
    | {"inactive", "unconfirmed", "removed", "deleted", "complained", "complaints", "blacklisted", "spam", "until"}
)
"""Words that turn `subscribed` around: before it, and anywhere. Short ones after it may be of the hash in the name."""

_PREFIXES: Final = {"non": "nonsubscribed", "un": "unsubscribed", "not": "nonsubscribed"}
"""Words before `subscribed` that turn it around, as in `non-subscribed`."""


def status_of(name: str) -> FileStatus | None:
    """The status that a file's name states; None if it states none, or several.

    ``name`` is without folders: a folder `unsubscribed` may hold the whole archive.
    """
    # Words are compared whole: `unsubscribed` contains `subscribed`.
    words = re.findall(r"[a-z]+", name.casefold())
    found = set()
    for before, word in zip(["", *words], words, strict=False):
        if word == "subscribed" and before in _PREFIXES:
            word = _PREFIXES[before]
        if word in _WORDS:
            found.add(_WORDS[word])
    if "subscribed" in found and _is_doubtful(words):
        return None
    return found.pop() if len(found) == 1 else None


def _is_doubtful(words: Sequence[str]) -> bool:
    before = words[: words.index("subscribed")]
    return not (_DOUBTS_BEFORE.isdisjoint(before) and _DOUBTS.isdisjoint(words))


def status_by_columns(columns: Collection[str]) -> FileStatus | None:
    """The status that the columns of a file state, given in their normalized spelling; None if they state none."""
    unsubscribed, cleaned = "unsubtime" in columns, "cleantime" in columns
    if unsubscribed == cleaned:
        return None
    return "unsubscribed" if unsubscribed else "suppressed"
