"""The changes that ``ListHistory1`` lists, as far as they tell of a referral. Pure.

The vendor publishes the topics of the history, and not the fields of its rows. So a row is read tolerantly: a field may
stand in the row itself, under a dotted name (``referral.status``) or in an object (``{"referral": {"status": …}}``).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from worker.refer2.shop_lists import ListKind
from worker.text.bounds import LISTED_ROW, loads

TOPICS = ("pts:earned:ref:sent", "pts:earned:ref:recv")
"""Points earned by who referred somebody, and by who was referred."""

_REWARDED = "pts:earned:ref:sent"

_TIMES = ("time", "created_at", "changed_at", "timestamp")
"""Names under which a change may tell when it was, the first that a row has."""

_REFERRAL_FIELDS = (
    "referral_bhid",
    "acceptance_bhid",
    "status",
    "accepted_at",
    "updated_at",
    "reward_pts",
    "reward_amount",
    "coupon_code",
)


def read_change(line: bytes) -> Mapping[str, Any] | None:
    """A row as ``CustomerReferrals2`` would show the referral, with ``rewarded_at`` where the change is its reward.

    A row that tells of no referral is an empty mapping; None where the line is no JSON object.
    """
    try:
        row = loads(line, LISTED_ROW)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    fields: dict[str, Any] = {}
    for name, value in _fields(row):
        if name in _REFERRAL_FIELDS:
            fields.setdefault(name, value)
    if not isinstance(fields.get("referral_bhid"), str):
        return {}
    time = next((row[name] for name in _TIMES if isinstance(row.get(name), str)), None)
    if time is not None:
        fields.setdefault("updated_at", time)
        topic = row.get("topic")
        if isinstance(topic, str) and f"{topic}:".startswith(f"{_REWARDED}:"):
            fields["rewarded_at"] = time
    return fields


def _fields(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from value.items()
        else:
            yield name.rpartition(".")[2], value


def history(since: datetime) -> ListKind[Mapping[str, Any]]:
    """The changes to referrals since then."""
    return ListKind(
        calls=("ListHistory1",),
        read_row=read_change,
        name="history",
        row="change",
        rows="changes",
        way_out="leave --conversions out",
        inputs={"topics": ",".join(TOPICS), "start_time": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")},
    )
