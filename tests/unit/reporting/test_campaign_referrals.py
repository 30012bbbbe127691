"""A campaign's referrals and customers, found again."""

from datetime import UTC, datetime
from typing import Any

from worker.model.job import Customer
from worker.reporting.campaign_referrals import CampaignReferrals


def result(
    bhid: object, shop: str = "acme", called_at: str | None = "2026-11-02T10:00:00Z", **ids: str
) -> dict[str, Any]:
    return {
        "shop": shop,
        "customer": ids,
        "referral": {"referral_bhid": bhid},
        "called_at": called_at,
        "finished_at": "2026-11-05T10:00:00Z",
    }


def test_referrals_by_shop_and_customers_once() -> None:
    """A customer with two referrals is one customer, and the same id in two shops is two referrals."""
    with CampaignReferrals() as kept:
        kept.add(result("r1", shopid="7"))
        kept.add(result("r2", shopid="7", called_at="2026-11-02T11:00:00+02:00"))
        kept.add(result("r1", shop="bravo", email="jane@example.com", called_at=None))
        kept.add(result(None, shopid="8"))
        kept.add(result("r3", shopid="9") | {"referral": None})
        assert kept.since_of("acme", "r1") == datetime(2026, 11, 2, 10, tzinfo=UTC)
        assert kept.since_of("acme", "r2") == datetime(2026, 11, 2, 9, tzinfo=UTC)
        assert kept.since_of("bravo", "r2") is None
        assert kept.since_of("acme", ["r1"]) is None
        assert (kept.count("acme"), kept.count("bravo"), kept.count("other")) == (1, 1, 0)
        assert list(kept.customers("acme")) == [Customer(shopid="7")]
        assert list(kept.customers("bravo")) == [Customer(email="jane@example.com")]
        assert kept.since == {
            "acme": datetime(2026, 11, 2, 9, tzinfo=UTC),
            "bravo": datetime(2026, 11, 5, 10, tzinfo=UTC),
        }


def test_a_referral_that_was_sent_twice_and_one_with_a_strange_id() -> None:
    """The first call counts; an id that no database takes as text is an id like any other."""
    with CampaignReferrals() as kept:
        kept.add(result("r1", shopid="7", called_at="2026-11-09T10:00:00Z"))
        kept.add(result("r1", shopid="7", called_at="2026-11-02T10:00:00Z"))
        kept.add(result("\ud800", shopid="8"))
        assert kept.since_of("acme", "r1") == datetime(2026, 11, 2, 10, tzinfo=UTC)
        assert kept.since_of("acme", "\ud800") is not None
        assert kept.since_of("acme", "\ud801") is None
