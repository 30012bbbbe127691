"""How long a shop's jobs take where campaigns are held, paced or begin later."""

import pytest

from tests.unit.making import NOON, make_shop
from worker.campaigns.progress import Progress
from worker.cli.status.time_left import TimeLeft, time_left
from worker.instants import SECOND
from worker.model.campaign_orders import Brake, CampaignOrder, Hold
from worker.model.controls import Controls
from worker.store.shop_state import ShopState

PAUSED = CampaignOrder(hold=Hold("paused", "wrong texts", NOON))
FIRST = CampaignOrder(rest=Hold("first", "", NOON))
STATE = ShopState(NOON, SECOND // 10, 0, 0, None)
HOUR = 3600 * SECOND


def left(
    order: CampaignOrder | None,
    *,
    aside: int = 0,
    delayed: int = 0,
    spring: int = 100,
    summer: int = 100,
    stands: bool = False,
) -> TimeLeft:
    """What is left of two campaigns at ten a second, with that order about spring."""
    shop = make_shop(per_second=10.0)
    orders = {("spring", "*"): order} if order is not None else {}
    campaigns = [
        Progress.of(name, shop.slug, {"published": jobs}) for name, jobs in (("spring", spring), ("summer", summer))
    ]
    controls = Controls(campaigns=orders)
    return time_left(
        spring + summer,
        campaigns,
        shop,
        STATE,
        controls,
        closed_until=0,
        aside=aside,
        delayed=delayed,
        stands=stands,
    )


@pytest.mark.parametrize(
    ("order", "aside", "seconds"),
    [
        pytest.param(None, 0, 20, id="nothing"),
        pytest.param(PAUSED, 0, 10, id="paused"),
        pytest.param(FIRST, 60, 14, id="sixty wait for a release"),
        pytest.param(CampaignOrder(rest=Hold("start", "", NOON, NOON + HOUR)), 100, 3610, id="it begins in an hour"),
        pytest.param(CampaignOrder(interval=SECOND), 0, 100, id="at one a second"),
        pytest.param(CampaignOrder(per_day=40), 0, 43_200 + 86_400 + 2, id="forty a day"),
    ],
)
def test_orders_about_a_campaign_count(order: CampaignOrder | None, aside: int, seconds: int) -> None:
    """Jobs that wait for a person are left out while there are others."""
    assert left(order, aside=aside).seconds == seconds


def test_nobody_knows_when_a_person_lets_them_go() -> None:
    """Unless there is nothing to do."""
    assert left(PAUSED, summer=0) == (None, 100, "held")
    assert left(PAUSED, spring=0, summer=0) == (0, 0, None)
    assert left(FIRST, aside=100, summer=0) == (None, 100, "held_or_hours")


@pytest.mark.parametrize("order", [None, CampaignOrder(brake=Brake(50, 200))])
def test_nobody_knows_a_campaign_s_own_hours(order: CampaignOrder | None) -> None:
    """While all jobs lie aside, by no order, and none ends; where some end or lie elsewhere, all are taken to go on."""
    assert left(order, aside=200, stands=True) == (None, 0, "hours")
    assert left(order, aside=200) == (20, 0, None)
    assert left(order, aside=150, stands=True) == (20, 0, None)
    assert left(order, spring=0, summer=0, stands=True) == (0, 0, None)
    begins = CampaignOrder(rest=Hold("start", "", NOON, NOON + HOUR))
    assert left(begins, aside=200, stands=True) == (3610, 0, None)


@pytest.mark.parametrize("order", [PAUSED, FIRST])
def test_some_are_held_and_others_wait_for_their_hours(order: CampaignOrder) -> None:
    """What is held is no reason to take the others, which lie aside too, for jobs that go now."""
    assert left(order, aside=103, summer=3, stands=True) == (None, 100, "held_or_hours")
    # Some are taken at this moment.
    assert left(order, aside=103, summer=3) == (1, 100, None)
    assert left(order, aside=100, summer=103, stands=True) == (11, 100, None)


def test_nobody_knows_when_a_delay_ends() -> None:
    """While every job that could go is in the delay queues or aside, and none ends."""
    assert left(None, delayed=200, stands=True) == (None, 0, "delayed")
    assert left(None, delayed=150, aside=50, stands=True) == (None, 0, "delayed")
    assert left(PAUSED, delayed=100, stands=True) == (None, 100, "delayed")
    assert left(None, delayed=200) == (20, 0, None)
    assert left(None, delayed=199, stands=True) == (20, 0, None)
