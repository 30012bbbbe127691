"""A change of the history tells of a referral, wherever its fields stand."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from worker.refer2.history import history, read_change

SENT = "pts:earned:ref:sent"
TOLD = {"referral_bhid": "r1", "acceptance_bhid": "a1", "status": "approved"}
AT = "2026-11-02T10:00:00Z"


@pytest.mark.parametrize(
    "row",
    [
        {"topic": SENT, "time": AT, **TOLD},
        {"topic": SENT, "time": AT, **{f"referral.{name}": value for name, value in TOLD.items()}},
        {"topic": f"{SENT}:bonus", "created_at": AT, "referral": TOLD},
    ],
    ids=["plain", "dotted", "nested"],
)
def test_a_reward_of_a_referral(row: dict[str, object]) -> None:
    """The reward is dated by the change itself."""
    assert read_change(json.dumps(row).encode()) == TOLD | {"updated_at": AT, "rewarded_at": AT}


def test_another_change_is_no_reward() -> None:
    """Points of the friend, or a change without a topic, date nothing but the entry's last change."""
    for topic in ("pts:earned:ref:recv", "pts:earned:ref:sentinel", None, 7):
        told = read_change(json.dumps({"topic": topic, "time": AT, **TOLD}).encode())
        assert told == TOLD | {"updated_at": AT}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"topic": "pts:earned:ref:sent", "pts": 5}', {}),
        (b'{"referral_bhid": 7}', {}),
        (b"[]", None),
        (b'{"referral_bhid": "r1"', None),
        (b'{"referral_bhid": "r1", "pts": NaN}', None),
    ],
)
def test_rows_that_tell_of_no_referral(line: bytes, expected: object) -> None:
    """They count for nothing; only what is no JSON object is unreadable."""
    assert read_change(line) == expected


def test_what_is_asked_for() -> None:
    """The whole history of the topics, from the campaign's first call on, in UTC."""
    asked = history(datetime(2026, 11, 2, 12, tzinfo=timezone(timedelta(hours=2))))
    assert json.loads(asked.body()) == {
        "topics": "pts:earned:ref:sent,pts:earned:ref:recv",
        "start_time": datetime(2026, 11, 2, 10, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "format": "JSONL",
        "limit": -1,
    }
