"""A lane that RabbitMQ neither confirms nor refuses anything for: nothing waits for it for ever."""

from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.errors import BrokerError
from worker.instants import SECOND
from worker.model.lanes import ShopLane
from worker.rabbitmq.moves import CONFIRMED_WITHIN, FORGOTTEN_AFTER, SHORTEST, Moves
from worker.rabbitmq.prefetches import Prefetches

FOREVER = 1 << 62

FULL = BrokerError("its queue is full")


class World:
    """Stands in for the parts around; ``sent`` has what was published, by tag."""

    def __init__(self) -> None:
        self.now = 0
        self.ready = True
        self.sent: list[tuple[str, int]] = []
        self.unusable = 0
        clock = SimpleNamespace(now=lambda: self.now)
        gauge = SimpleNamespace(set=lambda value: setattr(self, "unusable", value))
        context: Any = SimpleNamespace(clock=clock, metrics=SimpleNamespace(lanes_unusable=gauge))
        outbox: Any = SimpleNamespace(
            publish_moved=lambda delivery, _: self.sent.append(("moved", delivery.message.tag)),
            publish_delayed=lambda delivery, _: self.sent.append(("delayed", delivery.message.tag)),
        )
        subscriptions: Any = SimpleNamespace(prefetches=Prefetches(), takes=lambda _: self.ready)
        self.moves = Moves(context, outbox, subscriptions, take_back=lambda *_: None)

    def move(self, tag: int) -> Any:
        """A job is to be moved; returns its message."""
        message = SimpleNamespace(tag=tag, of=ShopLane("acme"))
        delivery: Any = SimpleNamespace(shop="acme", message=message, moved_from="bulk")
        self.moves.move(delivery, "held", FOREVER)
        return message

    def pass_time(self, microseconds: int, *, blocked: bool = False) -> None:
        """A second's housekeeping, after so long."""
        self.now += microseconds
        self.moves.follow(self.now, blocked=blocked)


@pytest.fixture
def world() -> World:
    """A lane that can be published to."""
    return World()


def test_what_is_not_confirmed_goes_round(world: World) -> None:
    """After a while it is delayed, others at once; the late confirm acknowledges nothing, and opens nothing."""
    first = world.move(1)
    world.pass_time(CONFIRMED_WITHIN)
    assert (world.sent, world.unusable) == ([("moved", 1)], 0)
    world.pass_time(SECOND)
    world.move(2)
    assert (world.sent[1:], world.unusable) == ([("delayed", 1), ("delayed", 2)], 1)
    assert not world.moves.take_confirm(first, None)
    world.pass_time(SHORTEST)
    third = world.move(3)
    world.move(4)
    assert world.sent[3:] == [("moved", 3), ("delayed", 4)]
    assert world.moves.take_confirm(third, None)
    world.pass_time(SECOND)
    world.move(5)
    assert (world.sent[5:], world.unusable) == ([("moved", 5)], 0)


def test_while_nothing_can_be_confirmed_no_lane_is_at_fault(world: World) -> None:
    """RabbitMQ blocks publishers, or the connection is gone."""
    message = world.move(1)
    for _ in range(3):
        world.pass_time(CONFIRMED_WITHIN, blocked=True)
    world.pass_time(CONFIRMED_WITHIN)
    assert world.sent == [("moved", 1)]
    assert world.moves.take_confirm(message, None)


def test_a_confirm_that_was_on_its_way_when_the_lane_was_full(world: World) -> None:
    """The job is in the lane, and none is published after it: RabbitMQ may confirm what came before a refusal later,
    even once it blocks publishers.
    """
    first, second, third = (world.move(tag) for tag in (1, 2, 3))
    world.pass_time(SECOND)
    with capture_logs() as logs:
        assert not world.moves.take_confirm(second, FULL)
        world.pass_time(SECOND, blocked=True)
        assert world.moves.take_confirm(first, None)
        world.move(4)
        assert not world.moves.take_confirm(third, FULL)
    assert world.sent[3:] == [("delayed", tag) for tag in (2, 4, 3)]
    assert [each["event"] for each in logs] == ["lane_unusable"]


def test_a_try_that_is_confirmed_after_a_later_one_was_refused(world: World) -> None:
    """It opens nothing either; the next one that is confirmed does."""
    with capture_logs() as logs:
        assert not world.moves.take_confirm(world.move(1), FULL)
        world.pass_time(SHORTEST)
        late = world.move(2)
        world.pass_time(2 * SHORTEST)
        assert not world.moves.take_confirm(world.move(3), FULL)
        assert world.moves.take_confirm(late, None)
        assert [each["event"] for each in logs] == ["lane_unusable"]
        world.pass_time(3 * SHORTEST)
        assert world.moves.take_confirm(world.move(4), None)
    assert [each["event"] for each in logs] == ["lane_unusable", "lane_usable"]


def test_a_lane_that_nobody_needs_any_more(world: World) -> None:
    """It counts as unusable no longer, and the next job tries it."""
    assert not world.moves.take_confirm(world.move(1), FULL)
    world.pass_time(SECOND)
    assert world.unusable == 1
    world.pass_time(FORGOTTEN_AFTER)
    assert world.unusable == 0
    world.move(2)
    assert world.sent == [("moved", 1), ("delayed", 1), ("moved", 2)]


def test_a_lost_connection(world: World) -> None:
    """RabbitMQ delivers all of it again, so that its confirms count for nothing."""
    message = world.move(1)
    world.ready = False
    world.move(2)
    world.moves.forget()
    world.ready = True
    world.pass_time(2 * CONFIRMED_WITHIN)
    assert not world.moves.take_confirm(message, None)
    assert world.sent == [("moved", 1)]
