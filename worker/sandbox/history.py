"""The rows of ``ListHistory1``: the rewards of those whose friends accepted a referral. Pure."""

from collections.abc import Iterator
from typing import Any

from worker.sandbox.referrals import ReferralBook

_TOPIC = "pts:earned:ref:sent"
_SHOWN = ("referral_bhid", "acceptance_bhid", "status", "accepted_at", "reward_pts")


def rewards_of(book: ReferralBook, shop: str, accepted: float, since: str) -> Iterator[dict[str, Any]]:
    """A row for each reward from ``since`` on, which is compared as text: the sandbox writes all times alike.

    The vendor doesn't publish the names of the fields; dotted ones are this emulator's guess.
    """
    for referral in book.all_of(shop):
        for entry in referral.acceptances(accepted):
            if entry["status"] == "approved" and entry["accepted_at"] >= since:
                shown = {f"referral.{name}": entry[name] for name in _SHOWN}
                yield {"topic": _TOPIC, "time": entry["updated_at"]} | shown
