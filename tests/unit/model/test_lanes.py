"""A shop's lanes: their names say which shop and which lane they are of, and nothing else does."""

import pytest

from worker.model.lanes import LANES, PACED_LANES, ShopLane
from worker.rabbitmq.topology import lane_of_queue, shop_queue, shop_queue_declaration


@pytest.mark.parametrize("lane", LANES)
def test_a_lane_is_found_again_by_each_of_its_names(lane: str) -> None:
    """The routing key and the queue's name each lead back to the shop and the lane."""
    (of,) = [ShopLane("acme-2_b", known) for known in LANES if known == lane]
    assert ShopLane.of_key(of.key) == lane_of_queue(shop_queue(*of)) == of


@pytest.mark.parametrize(
    "key", ["", ".urgent", "acme.", "acme.bulk", "acme.urgent.", "acme.late", "acme.paced.5", "a b", "acme\n"]
)
def test_other_keys_are_no_lanes(key: str) -> None:
    """What no shop's lane is called is none."""
    assert ShopLane.of_key(key) is None


@pytest.mark.parametrize(
    "queue",
    [
        "acme",
        "referrals.shop.",
        "referrals.urgent.a.b",
        "referrals.late.acme",
        "referrals.paced.5.acme",
        "referrals.dead",
    ],
)
def test_other_queues_are_no_lanes(queue: str) -> None:
    """Queues of other names, or of no shop, belong to no lane."""
    assert lane_of_queue(queue) is None


def test_lanes_are_queues_like_the_shops_own() -> None:
    """All of a shop's queues have the same arguments, so that none loses what the others keep."""
    own, *others = (shop_queue_declaration("acme", lane) for lane in ("bulk", "urgent", "held", *PACED_LANES))
    assert [queue.arguments for queue in others] == [own.arguments] * 6
    assert [queue.name for queue in (own, *others)] == [
        "referrals.shop.acme",
        "referrals.urgent.acme",
        "referrals.held.acme",
        "referrals.paced.acme",
        "referrals.paced.2.acme",
        "referrals.paced.3.acme",
        "referrals.paced.4.acme",
    ]
    assert own.bindings == (("referrals", "acme"), ("referrals.return", "acme"))
    assert others[0].bindings == (("referrals", "acme.urgent"), ("referrals.return", "acme.urgent"))
    # What is over its campaign's pace is for workers alone to say.
    assert others[2].bindings == (("referrals.return", "acme.paced"),)
    assert others[5].bindings == (("referrals.return", "acme.paced.4"),)
