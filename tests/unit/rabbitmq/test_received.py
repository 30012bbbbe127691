"""What workers note on a message for each other is by the wall clock, whatever steady time each of them has."""

import pika
import pytest

from tests.unit.making import NOON
from worker.instants import SECOND
from worker.model.lanes import ShopLane
from worker.rabbitmq.received import PLACE_HEADER, TROUBLE_HEADER, Received
from worker.rabbitmq.topology import RETURN
from worker.scheduling.attribution import Trouble


def received(headers: dict[str, object], *, ahead: int, exchange: str = RETURN) -> Received:
    """A message that came at noon, to a worker whose wall clock is ahead of its steady time."""
    method = pika.spec.Basic.Deliver(delivery_tag=1, exchange=exchange)
    return Received(ShopLane("acme"), method, 1, b"", pika.BasicProperties(headers=headers), NOON, ahead)


def test_a_place_is_by_the_wall_clock() -> None:
    """A worker whose clock was put right since it began reads the place that another meant."""
    noted: dict[str, object] = {PLACE_HEADER: NOON + 700 * SECOND}
    assert received(noted, ahead=600 * SECOND).place_in_line == NOON + 100 * SECOND
    assert received(noted, ahead=600 * SECOND, exchange="referrals").place_in_line is None


def test_trouble_is_by_the_wall_clock() -> None:
    """So is since when a job's calls have gone wrong; what would be in the future there is nobody's."""
    noted: dict[str, object] = {TROUBLE_HEADER: Trouble(NOON + 590 * SECOND, 2, 1).words}
    assert received(noted, ahead=600 * SECOND).trouble == Trouble(NOON - 10 * SECOND, 2, 1)
    assert received(noted, ahead=0).trouble is None
    assert Trouble(0, 0, 0, 3).moved(SECOND).since == 0


@pytest.mark.parametrize(
    ("exchange", "expiration", "expires"),
    [("referrals", "60000", True), ("referrals", None, False), (RETURN, "60000", False)],
)
def test_what_rabbitmq_may_take_away(exchange: str, expiration: str | None, expires: bool) -> None:
    """A producer's message with an expiration of its own is nothing to wait for; a worker's copy keeps none."""
    method = pika.spec.Basic.Deliver(delivery_tag=1, exchange=exchange)
    message = Received(ShopLane("acme"), method, 1, b"", pika.BasicProperties(expiration=expiration), NOON, 0)
    assert message.expires is expires
