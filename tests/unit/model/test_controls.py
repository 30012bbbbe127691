"""What an operator has ordered, in force: which shops' lanes are looked through again."""

from worker.model.controls import EVERY_SHOP, MOST_FREED, Controls


def test_an_order_about_one_shop_leaves_the_lanes_of_others_at_rest() -> None:
    """Their jobs would be moved round for nothing, a million of them perhaps."""
    one = Controls().with_campaign_released("spring", "acme", 100)
    assert (one.freed_at("acme"), one.freed_at("bolt")) == (one.version, 0)
    every = one.with_campaign_released("spring", EVERY_SHOP, 200)
    assert (every.freed_at("acme"), every.freed_at("bolt")) == (every.version, every.version)


def test_many_shops() -> None:
    """What is known of single shops stays few; beyond that all are looked through."""
    controls = Controls()
    for number in range(MOST_FREED + 1):
        controls = controls.with_campaign_released("spring", f"shop-{number}", 100 + number)
    assert controls.freed == {EVERY_SHOP: controls.version}
