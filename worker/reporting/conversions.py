"""What came of a campaign's referrals: how many were accepted, qualified and rewarded, on which day. Pure."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, NamedTuple

Step = Literal["accepted", "qualified", "rewarded"]

STEPS: Final[tuple[Step, ...]] = ("accepted", "qualified", "rewarded")

_UNACCEPTED = frozenset({"pending", "expired"})
"""Statuses that mean that nobody accepted the referral."""

_QUALIFIED = frozenset({"qualified", "approved"})
_APPROVED = "approved"
_REJECTED = "rejected"


class Conversion(NamedTuple):
    """What came of one acceptance. Days are UTC's; None: it has not come to that."""

    accepted: date | None
    qualified: date | None
    rewarded: date | None


def conversion_of(entry: Mapping[str, Any]) -> Conversion | None:
    """What an entry of ``CustomerReferrals2``, or a change of the history, says; None if nobody accepted the referral.

    The API tells when a friend accepted (``accepted_at``) and when the entry changed last (``updated_at``). So the day
    of the last change counts as that on which the acceptance qualified and was rewarded, unless a change of the history
    is the reward itself. A reward counts if the entry shows one that is more than nothing, and was not rejected.
    """
    status = str(entry.get("status") or "").lower()
    if status in _UNACCEPTED or not (entry.get("acceptance_bhid") or entry.get("accepted_at")):
        return None
    changed = _day(entry.get("updated_at"))
    accepted = _day(entry.get("accepted_at")) or changed
    rewarded = _day(entry.get("rewarded_at"))
    if rewarded is None and status != _REJECTED and (status == _APPROVED or _has_reward(entry)):
        rewarded = changed or accepted
    qualified = (changed or accepted) if status in _QUALIFIED or rewarded is not None else None
    return Conversion(accepted, qualified, rewarded)


def _has_reward(entry: Mapping[str, Any]) -> bool:
    if entry.get("coupon_code"):
        return True
    amount = entry.get("reward_amount")
    # Money is a decimal string, or a pair of amount and currency.
    first = amount[0] if isinstance(amount, list) and amount else amount
    return any(_is_positive(value) for value in (entry.get("reward_pts"), first))


def _is_positive(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return float(value) > 0
    except (ValueError, OverflowError):
        return False


def _day(value: object) -> date | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC).date()
    except (ValueError, OverflowError):
        return None


class Conversions:
    """Counts acceptances by day. One link that several friends accepted is several acceptances.

    An acceptance that is met twice counts once, each step on the earliest day that was told. Memory: some 300 bytes for
    each acceptance.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Conversion] = {}

    def take_over(self, others: "Conversions") -> None:
        """Count what others have found, of shops that were not counted before."""
        self._found |= others._found

    def add(self, entry: Mapping[str, Any], since: datetime, shop: str) -> None:
        """Count an entry, unless nobody accepted it or a friend did before ``since``.

        Refer2 reuses referrals, so a campaign's referral may be years old.
        """
        conversion = conversion_of(entry)
        if conversion is None or (
            conversion.accepted is not None and conversion.accepted < since.astimezone(UTC).date()
        ):
            return
        # Older shops' entries may have no id of the acceptance; then a referral has one entry.
        key = shop, str(entry.get("acceptance_bhid") or entry.get("referral_bhid"))
        known = self._found.get(key)
        if known is not None:
            conversion = Conversion(*(_earlier(one, other) for one, other in zip(known, conversion, strict=True)))
        self._found[key] = conversion

    def totals(self) -> dict[Step, int]:
        """How many acceptances have come to each step."""
        return {step: sum(getattr(one, step) is not None for one in self._found.values()) for step in STEPS}

    def by_day(self) -> dict[date, dict[Step, int]]:
        """How many came to each step on each day, days in order; days without any are left out."""
        counts: dict[Step, Counter[date]] = {step: Counter() for step in STEPS}
        for one in self._found.values():
            for step in STEPS:
                day = getattr(one, step)
                if day is not None:
                    counts[step][day] += 1
        days = sorted(set().union(*counts.values()))
        return {day: {step: counts[step][day] for step in STEPS} for day in days}


def _earlier(one: date | None, other: date | None) -> date | None:
    return min(one, other) if one is not None and other is not None else one or other
