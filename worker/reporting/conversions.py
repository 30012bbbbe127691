"""What came of a campaign's referrals: how many were accepted, qualified and rewarded, on which day."""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, Self

from worker.campaigns.ranked_ids import SCRATCH, no_room
from worker.instants import in_utc
from worker.reporting.digests import digest

Step = Literal["accepted", "qualified", "rewarded"]

STEPS: Final[tuple[Step, ...]] = ("accepted", "qualified", "rewarded")

_UNACCEPTED = frozenset({"pending", "expired"})
"""Statuses that mean that nobody accepted the referral."""

_QUALIFIED = frozenset({"qualified", "approved"})
_APPROVED = "approved"
_REJECTED = "rejected"


_AHEAD: Final = timedelta(days=1)
"""How far the shop's clock may be ahead of ours."""

_SKEW: Final = timedelta(minutes=5)
"""How far a worker's clock may be ahead of the shop's: who accepted so shortly before the call may well have accepted
after it."""

_SETUP = f"""
    {SCRATCH}
    CREATE TABLE acceptances (shop TEXT, id BLOB, accepted INTEGER, qualified INTEGER, rewarded INTEGER,
        PRIMARY KEY (shop, id)) WITHOUT ROWID;
    BEGIN;
"""


class Conversion(NamedTuple):
    """What came of one acceptance. Days are UTC's; None: it has not come to that."""

    accepted: date | None
    qualified: date | None
    rewarded: date | None


def conversion_of(entry: Mapping[str, Any], latest: datetime) -> Conversion | None:
    """What an entry of ``CustomerReferrals2``, or a change of the history, says; None if nobody accepted the referral.

    The API tells when a friend accepted (``accepted_at``) and when the entry changed last (``updated_at``). So the day
    of the last change counts as that on which the acceptance qualified and was rewarded, unless a change of the history
    is the reward itself. A reward counts if the entry shows one that is more than nothing, and was not rejected. A time
    after ``latest`` can't be right and tells nothing.
    """
    status = str(entry.get("status") or "").lower()
    if status in _UNACCEPTED or not (entry.get("acceptance_bhid") or entry.get("accepted_at")):
        return None
    changed = _day(entry.get("updated_at"), latest)
    accepted = _day(entry.get("accepted_at"), latest) or changed
    rewarded = _day(entry.get("rewarded_at"), latest)
    told, positive = _reward(entry)
    if status != _REJECTED and (status == _APPROVED or positive):
        rewarded = rewarded or changed or accepted
    elif status == _REJECTED or told:
        rewarded = None
    qualified = (changed or accepted) if status in _QUALIFIED or rewarded is not None else None
    return Conversion(accepted, qualified, rewarded)


def _reward(entry: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the entry tells of a reward, and whether that is more than nothing."""
    amount = entry.get("reward_amount")
    # Money is a decimal string, or a pair of amount and currency.
    first = amount[0] if isinstance(amount, list) and amount else amount
    told = [value for value in (entry.get("reward_pts"), first) if value is not None]
    coupon = bool(entry.get("coupon_code"))
    return coupon or bool(told), coupon or any(map(_is_positive, told))


def _is_positive(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return float(value) > 0
    except (ValueError, OverflowError):
        return False


def _day(value: object, latest: datetime) -> date | None:
    at = _time(value)
    return at.date() if at is not None and at <= latest else None


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return in_utc(at if at.tzinfo is not None else at.replace(tzinfo=UTC))


class Conversions:
    """Counts acceptances by day. One link that several friends accepted is several acceptances.

    An acceptance that is met twice counts once, each step on the earliest day that was told. They are kept in memory up
    to 1 MiB, then in a temporary file, which has no name and is gone with the process. For one thread.
    """

    def __init__(self, now: datetime) -> None:
        """``now`` is the time of the report: nobody can have accepted long after it."""
        self._latest = in_utc(now) + _AHEAD
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SETUP)
        self._totals: dict[Step, int] = dict.fromkeys(STEPS, 0)

    def add(self, entry: Mapping[str, Any], since: datetime, shop: str) -> None:
        """Count an entry, unless nobody accepted it or a friend did before ``since``.

        Refer2 reuses referrals, so a campaign's referral may be years old.

        Raises:
          InputError: the temporary file can't grow.
        """
        conversion = conversion_of(entry, self._latest)
        if conversion is None:
            return
        at = _time(entry.get("accepted_at")) or _time(entry.get("updated_at"))
        # By their difference, since a result may tell the first time that there is.
        if at is not None and since - at > _SKEW:
            return
        # Older shops' entries may have no id of the acceptance; then a referral has one entry.
        key = shop, digest(str(entry.get("acceptance_bhid") or entry.get("referral_bhid")))
        known = self._of(key)
        days = [day.toordinal() if day is not None else None for day in conversion]
        if known is not None:
            days = [_earlier(one, other) for one, other in zip(known, days, strict=True)]
        if known is None or tuple(days) != known:
            try:
                self._db.execute("INSERT OR REPLACE INTO acceptances VALUES (?, ?, ?, ?, ?)", (*key, *days))
            except sqlite3.OperationalError as error:
                raise no_room(error) from error
        for step, before, after in zip(STEPS, known or (None, None, None), days, strict=True):
            self._totals[step] += before is None and after is not None

    def _of(self, key: tuple[str, bytes]) -> tuple[int | None, ...] | None:
        found = self._db.execute("SELECT accepted, qualified, rewarded FROM acceptances WHERE shop = ? AND id = ?", key)
        row: tuple[int | None, ...] | None = found.fetchone()
        return row

    def forget(self, shop: str) -> None:
        """Count nothing of what was found of a shop."""
        self._db.execute("DELETE FROM acceptances WHERE shop = ?", (shop,))
        counts = self._db.execute("SELECT count(accepted), count(qualified), count(rewarded) FROM acceptances")
        self._totals = dict(zip(STEPS, counts.fetchone(), strict=True))

    def totals(self) -> dict[Step, int]:
        """How many acceptances have come to each step."""
        return dict(self._totals)

    def undated(self) -> int:
        """Acceptances that tell no time that can be right; they are in no other figure."""
        found = self._db.execute(
            "SELECT count(*) FROM acceptances WHERE coalesce(accepted, qualified, rewarded) IS NULL"
        )
        return int(found.fetchone()[0])

    def by_day(self) -> dict[date, dict[Step, int]]:
        """How many came to each step on each day, days in order; days without any are left out."""
        days: dict[date, dict[Step, int]] = {}
        for step in STEPS:
            for ordinal, number in self._db.execute(
                f"SELECT {step}, count(*) FROM acceptances WHERE {step} IS NOT NULL GROUP BY {step}"  # noqa: S608 - ours
            ):
                days.setdefault(date.fromordinal(ordinal), dict.fromkeys(STEPS, 0))[step] = number
        return dict(sorted(days.items()))

    def close(self) -> None:
        """Close and remove the temporary file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _earlier(one: int | None, other: int | None) -> int | None:
    return min(one, other) if one is not None and other is not None else one if one is not None else other
