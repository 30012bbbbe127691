"""What an operator has ordered, in force: which shops' lanes are looked through again, and where paced jobs wait."""

from worker.model.campaign_orders import Hold
from worker.model.controls import EVERY_SHOP, MOST_FREED, Controls
from worker.model.lanes import PACED_LANES


def test_an_order_about_one_shop_leaves_the_lanes_of_others_at_rest() -> None:
    """Their jobs would be moved round for nothing, a million of them perhaps."""
    one = Controls().with_campaign_released("spring", "acme", 100)
    assert (one.freed_at("acme"), one.freed_at("bolt")) == (one.version, 0)
    every = one.with_campaign_released("spring", EVERY_SHOP, 200)
    assert (every.freed_at("acme"), every.freed_at("bolt")) == (every.version, every.version)


def test_what_is_held_still_leaves_the_lane_at_rest() -> None:
    """Turned over in vain, the lane would have its jobs called from the middle on by whoever resumes it meanwhile."""
    held = Controls().with_campaign_paused("spring", "acme", "", 100)
    for controls in (
        held.with_campaign_released("spring", "acme", 200),
        held.with_campaign_paced("spring", "acme", 5, 0, 200),
        held.with_campaign_paused("spring", EVERY_SHOP, "", 200).with_campaign_resumed("spring", "acme", 300),
    ):
        assert controls.freed_at("acme") == 0
    waiting = held.with_campaign_published("spring", "acme", Hold("start", "", 100, 150), None, 100)
    assert waiting.with_campaign_paused("winter", "bolt", "", 200).freed_at("acme") == 0
    started = waiting.without_pause("acme", 100).with_campaign_resumed("spring", "acme", 120)
    assert started.with_campaign_paused("winter", "bolt", "", 200).freed_at("acme") == 200
    assert held.with_campaign_paced("autumn", "acme", 5, 0, 200).freed_at("acme") == 200
    assert held.with_campaign_resumed("spring", "acme", 200).freed_at("acme") == 200


def test_many_shops() -> None:
    """What is known of single shops stays few; beyond that all are looked through."""
    controls = Controls()
    for number in range(MOST_FREED + 1):
        controls = controls.with_campaign_released("spring", f"shop-{number}", 100 + number)
    assert controls.freed == {EVERY_SHOP: controls.version}


def test_each_paced_campaign_of_a_shop_has_a_lane() -> None:
    """As far as there are so many; an order of all shops counts at each, once, and other orders don't count."""
    controls = Controls().with_campaign_paused("winter", "acme", "", 50)
    for number, (campaign, shop) in enumerate(
        [("spring", "acme"), ("summer", EVERY_SHOP), ("autumn", "bolt"), ("spring", EVERY_SHOP), ("May", "acme")]
    ):
        controls = controls.with_campaign_paced(campaign, shop, 1_000, 0, 100 + number)
    names = (" spring", "summer", "May", "autumn")
    assert [controls.lane_of_pace(name, "acme") for name in names] == [*PACED_LANES[:3], "paced"]
    assert [controls.lane_of_pace(name, "bolt") for name in ("summer", "autumn", "spring")] == [*PACED_LANES[:3]]
    cleared = controls.with_campaign_paced("spring", "acme", 0, 0, 200).with_campaign_paced("spring", "*", 0, 0, 201)
    assert [cleared.lane_of_pace(name, "acme") for name in ("summer", "May")] == [*PACED_LANES[:2]]
    for number in range(5):
        controls = controls.with_campaign_paced(f"c{number}", "crow", 1_000, 0, 300 + number)
    # Summer and spring are paced there too.
    assert [controls.lane_of_pace(f"c{number}", "crow") for number in range(5)] == [*PACED_LANES[2:], *PACED_LANES[:3]]
