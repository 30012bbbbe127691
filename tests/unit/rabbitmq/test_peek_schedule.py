"""When a shop that stays closed is looked into."""

from tests.unit.making import NOON
from worker.instants import SECOND
from worker.rabbitmq.peek_schedule import LEAST_APART, LOOK, LOOK_AGAIN, PeekSchedule


def test_a_shop_that_nobody_looked_into_is_due() -> None:
    """A process that starts with a closed shop looks at once, and again after an hour."""
    peeks = PeekSchedule()
    assert peeks.is_due("acme", NOON)
    peeks.begin("acme", NOON)
    assert not peeks.is_due("acme", NOON + LOOK_AGAIN - 1)
    assert peeks.is_due("acme", NOON + LOOK_AGAIN)


def test_a_look_lasts_while_there_is_something_to_end() -> None:
    """It goes on for as long after the last job that needed no call, and no longer."""
    peeks = PeekSchedule()
    peeks.begin("acme", NOON)
    assert peeks.is_open("acme", NOON + LOOK - 1)
    peeks.prolong("acme", NOON + LOOK - 1)
    assert peeks.is_open("acme", NOON + 2 * LOOK - 2)
    assert not peeks.is_open("acme", NOON + 2 * LOOK)


def test_the_first_deadline_is_looked_at() -> None:
    """The next look comes after the first deadline, no sooner than five minutes and no later than an hour from now."""
    peeks = PeekSchedule()
    for deadline, due in ((1, LEAST_APART), (900 * SECOND, 900 * SECOND + 1), (10 * LOOK_AGAIN, LOOK_AGAIN)):
        peeks.plan("acme", NOON, NOON + deadline)
        assert not peeks.is_due("acme", NOON + due - 1)
        assert peeks.is_due("acme", NOON + due)


def test_a_cancellation_hurries() -> None:
    """Every closed shop is due again, however many there are and whenever each was looked into."""
    peeks = PeekSchedule()
    shops = [f"shop{number}" for number in range(5)]
    for number, shop in enumerate(shops):
        peeks.begin(shop, NOON + number)
        peeks.plan(shop, NOON + number, NOON + number * 1000 * SECOND if number % 2 else None)
    assert not any(peeks.is_due(shop, NOON + 5) for shop in shops)
    peeks.hurry()
    assert all(peeks.is_due(shop, NOON + 5) for shop in shops)
    assert all(peeks.is_open(shop, NOON + 5) for shop in shops), "the looks under way go on"
