"""When a closed shop's queue is peeked into."""

from tests.unit.making import NOON
from worker.instants import SECOND
from worker.model.lanes import ShopLane
from worker.rabbitmq.peek_schedule import LEAST_APART, PEEK, PEEK_AGAIN, PeekSchedule


def test_a_shop_that_nobody_peeked_into_is_due() -> None:
    """A process that starts with a closed shop peeks at once, and again after an hour."""
    peeks = PeekSchedule()
    assert peeks.is_due(ShopLane("acme"), NOON)
    peeks.begin(ShopLane("acme"), NOON)
    assert not peeks.is_due(ShopLane("acme"), NOON + PEEK_AGAIN - 1)
    assert peeks.is_due(ShopLane("acme"), NOON + PEEK_AGAIN)


def test_a_peek_lasts_while_there_is_something_to_end() -> None:
    """It goes on for as long after the last uncalled job, and no longer."""
    peeks = PeekSchedule()
    peeks.begin(ShopLane("acme"), NOON)
    assert peeks.is_open(ShopLane("acme"), NOON + PEEK - 1)
    peeks.prolong(ShopLane("acme"), NOON + PEEK - 1)
    assert peeks.is_open(ShopLane("acme"), NOON + 2 * PEEK - 2)
    assert not peeks.is_open(ShopLane("acme"), NOON + 2 * PEEK)


def test_a_peek_follows_the_first_deadline() -> None:
    """The next peek comes after the first deadline, no sooner than five minutes and no later than an hour from now."""
    peeks = PeekSchedule()
    for deadline, due in ((1, LEAST_APART), (900 * SECOND, 900 * SECOND + 1), (10 * PEEK_AGAIN, PEEK_AGAIN)):
        peeks.plan(ShopLane("acme"), NOON, NOON + deadline)
        assert not peeks.is_due(ShopLane("acme"), NOON + due - 1)
        assert peeks.is_due(ShopLane("acme"), NOON + due)


def test_a_cancellation_hurries() -> None:
    """Every closed shop is due again, however many there are and whenever each was peeked into."""
    peeks = PeekSchedule()
    shops = [ShopLane(f"shop{number}") for number in range(5)]
    for number, shop in enumerate(shops):
        peeks.begin(shop, NOON + number)
        peeks.plan(shop, NOON + number, NOON + number * 1000 * SECOND if number % 2 else None)
    assert not any(peeks.is_due(shop, NOON + 5) for shop in shops)
    peeks.hurry()
    assert all(peeks.is_due(shop, NOON + 5) for shop in shops)
    assert all(peeks.is_open(shop, NOON + 5) for shop in shops), "the peeks under way go on"
