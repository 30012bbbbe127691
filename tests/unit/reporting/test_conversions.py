"""What came of a campaign's referrals, by day."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from worker.reporting.conversions import STEPS, Conversions, conversion_of

FIRST, SECOND = "2026-11-01T23:30:00Z", "2026-11-03T08:00:00Z"
ONE, TWO, THREE = date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 3)
START = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def entry(status: str, **fields: Any) -> dict[str, Any]:
    return {
        "referral_bhid": "r1",
        "acceptance_bhid": "a1",
        "status": status,
        "accepted_at": FIRST,
        "updated_at": SECOND,
    } | fields


NOBODY = {"acceptance_bhid": None, "accepted_at": None}


@pytest.fixture
def found() -> Iterator[Conversions]:
    """What was found by NOW: nothing yet."""
    with Conversions(NOW) as made:
        yield made


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (entry("invited", **NOBODY, reward_pts=500), None),
        (entry("pending"), None),
        (entry("expired"), None),
        (entry("invited"), (ONE, None, None)),
        (entry("accepted"), (ONE, None, None)),
        (entry("qualified"), (ONE, THREE, None)),
        (entry("qualified", reward_pts=0, reward_amount="0.000000"), (ONE, THREE, None)),
        (entry("qualified", reward_pts=5), (ONE, THREE, THREE)),
        (entry("approved"), (ONE, THREE, THREE)),
        (entry("accepted", reward_amount=["2.500000", "EUR"]), (ONE, THREE, THREE)),
        (entry("accepted", reward_amount="1.000000"), (ONE, THREE, THREE)),
        (entry("accepted", coupon_code="SPRING"), (ONE, THREE, THREE)),
        (entry("rejected", reward_pts=5), (ONE, None, None)),
        (entry("of another kind"), (ONE, None, None)),
        (entry("approved", accepted_at=None), (THREE, THREE, THREE)),
        (entry("approved", updated_at="yesterday"), (ONE, ONE, ONE)),
        (entry("qualified", rewarded_at="2026-11-02T00:00:00Z"), (ONE, THREE, TWO)),
        (entry("approved", reward_pts=10**400), (ONE, THREE, THREE)),
        (entry("rejected", rewarded_at=SECOND), (ONE, None, None)),
        (entry("qualified", rewarded_at=SECOND, reward_pts=-5), (ONE, THREE, None)),
        (entry("approved", accepted_at="2026-12-24T00:00:00Z"), (THREE, THREE, THREE)),
        (entry("approved", accepted_at="9999-12-31T23:59:59-12:00", updated_at="x" * 9), (None, None, None)),
        (entry("invited", accepted_at="2026-11-02T10:00:00"), (TWO, None, None)),
        ({"acceptance_bhid": 7, "status": ["approved"], "accepted_at": 3}, (None, None, None)),
    ],
)
def test_what_an_entry_says(given: dict[str, Any], expected: tuple[date | None, ...] | None) -> None:
    """Accepted on the friend's day, qualified and rewarded on that of the last change; the rejected earn nothing."""
    assert conversion_of(given, NOW) == expected


def test_one_link_accepted_by_several_is_several_acceptances(found: Conversions) -> None:
    """Entries of one referral count by their acceptance; one that comes twice counts once, on its earliest days."""
    for given in (
        entry("approved"),
        entry("invited", acceptance_bhid="a2"),
        entry("qualified", acceptance_bhid="a3", accepted_at=SECOND),
        entry("approved", rewarded_at="2026-11-02T12:00:00Z"),
        entry("invited", **NOBODY),
    ):
        found.add(given, START, "acme")
    assert found.totals() == {"accepted": 3, "qualified": 2, "rewarded": 1}
    assert found.by_day() == {
        ONE: {"accepted": 2, "qualified": 0, "rewarded": 0},
        TWO: {"accepted": 0, "qualified": 0, "rewarded": 1},
        THREE: {"accepted": 1, "qualified": 2, "rewarded": 0},
    }


def test_who_accepted_before_the_campaign_is_not_its_own(found: Conversions) -> None:
    """Refer2 reuses a referral that exists, with all who accepted it in years before."""
    found.add(entry("approved", accepted_at="2024-05-05T00:00:00Z"), START, "acme")
    assert found.totals() == {"accepted": 0, "qualified": 0, "rewarded": 0}
    assert found.by_day() == {}


def test_who_accepted_earlier_on_the_day_of_the_call_is_not_its_own(found: Conversions) -> None:
    """It is a matter of the hour, but for the minutes by which clocks differ."""
    called = datetime(2026, 11, 1, 23, 45, tzinfo=UTC)
    found.add(entry("approved"), called, "acme")
    found.add(entry("approved", acceptance_bhid="a2", accepted_at="2026-11-01T23:41:00Z"), called, "acme")
    assert found.totals()["accepted"] == 1


@pytest.mark.parametrize(("called", "accepted"), [("0001-01-01T00:00:00Z", 1), ("9999-12-31T23:59:59Z", 0)])
def test_a_call_at_the_end_of_all_times(found: Conversions, called: str, accepted: int) -> None:
    """Such a time can stand in a results file, and costs no page."""
    found.add(entry("approved"), datetime.fromisoformat(called), "acme")
    assert found.totals()["accepted"] == accepted


def test_ids_belong_to_their_shop(found: Conversions) -> None:
    """The same ids in two shops are two acceptances, and one shop's can be taken back."""
    found.add(entry("approved"), START, "acme")
    found.add(entry("approved", acceptance_bhid="\ud800"), START, "bravo")
    assert found.totals() == dict.fromkeys(STEPS, 2)
    found.forget("bravo")
    found.forget("other")
    assert found.totals() == dict.fromkeys(STEPS, 1)
    assert found.by_day()[ONE] == {"accepted": 1, "qualified": 0, "rewarded": 0}


def test_acceptances_without_a_time_are_counted_by_themselves(found: Conversions) -> None:
    """One that is told of again with a time is counted like any other."""
    for bhid in ("a1", "a1", "a2"):
        found.add(entry("approved", acceptance_bhid=bhid, accepted_at=7, updated_at=None), START, "acme")
    assert found.undated() == 2
    assert found.totals()["accepted"] == 0
    found.add(entry("approved"), START, "acme")
    assert (found.undated(), found.totals()["accepted"]) == (1, 1)


def test_memory_is_bounded(found: Conversions) -> None:
    """A shop may tell of millions of acceptances."""
    tracemalloc.start()
    for number in range(20_000):
        found.add(entry("approved", acceptance_bhid=f"a{number}"), START, "acme")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.totals()["rewarded"] == 20_000
    assert peak < 1_000_000
