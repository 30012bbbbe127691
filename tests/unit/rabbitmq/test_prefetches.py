"""How much each queue gives at once."""

from tests.unit.making import NOON
from worker.instants import SECOND
from worker.model.lanes import ShopLane
from worker.rabbitmq.prefetches import FEWEST_SHARES, MANY_MOVED, NARROW, REST, SKIMMED, WIDE, Prefetches
from worker.text.bounds import IN_HAND

ACME, GLOBEX = ShopLane("acme"), ShopLane("globex")


def test_a_queue_that_makes_room_rests_and_is_narrow_for_a_while() -> None:
    """It is not consumed for a moment, then one message at a time, then as any other."""
    prefetches = Prefetches()
    prefetches.rest(ACME, NOON)
    assert (prefetches.rests(ACME), prefetches.of(ACME), prefetches.of(GLOBEX)) == (True, 1, None)
    assert prefetches.changed(NOON + REST) == []
    assert (prefetches.rests(ACME), prefetches.of(ACME)) == (False, 1)
    assert prefetches.changed(NOON + NARROW) == [ACME]
    assert prefetches.of(ACME) is None


def test_a_queue_of_which_many_jobs_are_moved_is_skimmed_until_none_is() -> None:
    """One job fewer changes nothing, nor does one more when a second has passed."""
    prefetches = Prefetches()
    for _ in range(MANY_MOVED - 1):
        prefetches.skims(ACME, NOON)
    prefetches.skims(ACME, NOON + SECOND)
    assert prefetches.changed(NOON + SECOND) == []
    for _ in range(MANY_MOVED - 1):
        prefetches.skims(ACME, NOON + SECOND)
    assert prefetches.changed(NOON + SECOND) == [ACME]
    assert prefetches.of(ACME) == SKIMMED
    assert prefetches.changed(NOON + SECOND + WIDE - 1) == []
    assert prefetches.changed(NOON + SECOND + WIDE) == [ACME]
    assert prefetches.of(ACME) is None


def test_those_make_room_that_hold_more_than_their_share() -> None:
    """The heaviest do, as many as there are messages without room; with none beyond its share, who has asked does."""
    prefetches = Prefetches()
    share = IN_HAND // FEWEST_SHARES
    held = {ShopLane("initech"): share + 1, GLOBEX: share + 2}
    assert prefetches.crowding(held, [ACME]) == [GLOBEX]
    assert prefetches.crowding({GLOBEX: share}, [ACME]) == [ACME]


def test_a_queue_that_gives_one_message_at_a_time_makes_no_more_room() -> None:
    """It has nothing left to requeue, so the next heaviest does."""
    prefetches = Prefetches()
    prefetches.rest(GLOBEX, NOON)
    assert prefetches.crowding({GLOBEX: IN_HAND, ACME: IN_HAND - 1}, [ShopLane("initech")]) == [ACME]
