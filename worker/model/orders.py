"""Who ordered what, when and why: what ``referrals log`` shows. Immutable data."""

from dataclasses import dataclass

from worker.instants import SECOND, utc_text

MOST_ORDERS = 1_000
"""Orders that a store remembers; the oldest goes first. ``lua/control.lua`` has the number too."""

MOST_LATEST = 8
"""Orders that workers are told of with the controls, to log and to count; ``lua/control.lua`` has the number too."""

SUPPRESSIONS = ("suppress add", "suppress remove", "suppress restore", "forget")

ACTIONS = (
    "pause",
    "resume",
    "limit",
    "unlimit",
    "cancel",
    "restore",
    "campaigns pause",
    "campaigns resume",
    "campaigns pace",
    "campaigns release",
    "publish",
    "brake",
    "replay",
    "dead replay",
    "dead drop",
    *SUPPRESSIONS,
)
"""The actions of this version. A newer one's commands may have given others."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who gives an order, and why; an empty reason where none was given."""

    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody has done to shops, campaigns or jobs. ``number`` rises from order to order.

    ``at`` is in microseconds of the reader's steady clock. ``action`` is the word of the command, such as ``pause``.
    ``shop`` is ``*`` for every shop. Texts are empty where there is nothing to say.
    """

    number: int
    at: int
    by: str
    action: str
    shop: str = ""
    campaign: str = ""
    reason: str = ""
    detail: str = ""

    def details(self) -> dict[str, str]:
        """What it is about, and why, by name; only what there is to say."""
        named = {"shop": self.shop, "campaign": self.campaign, "reason": self.reason, "detail": self.detail}
        return {name: text for name, text in named.items() if text}


def pace_text(interval: int, per_day: int) -> str:
    """What a campaign's pace says: ``interval`` in microseconds between calls, 0 for none, ``per_day`` likewise."""
    each = [f"{SECOND / interval:.3g} calls/s"] if interval else []
    return ", ".join([*each, *([f"{per_day:,} calls a day"] if per_day else [])]) or "no pace of its own"


def limit_text(interval: int, until: int) -> str:
    """What a limit of the rate says: ``interval`` in microseconds between calls, ``until`` as an instant."""
    return f"{SECOND / interval:.3g} calls/s until {utc_text(until)}"
