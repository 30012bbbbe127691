"""When lanes are looked through: soon where jobs that may go are behind others, rarely where nothing goes."""

from worker.instants import SECOND
from worker.scheduling.looks import FIRST, LONGEST, QUIET, SETTLED, SHORTEST, Looks


def test_a_process_looks_a_minute_after_its_beginning() -> None:
    looks = Looks(SECOND)
    assert not looks.begin(SECOND + FIRST - 1)
    assert looks.last(SECOND + FIRST - 1) == 0
    assert looks.begin(SECOND + FIRST)
    assert looks.last(SECOND + FIRST) == SECOND + FIRST


def test_pauses_double_while_nothing_goes() -> None:
    looks, now = Looks(0), 0
    pauses = []
    for _ in range(6):
        pauses.append(looks.next_at - now)
        now = looks.next_at
        assert looks.begin(now)
    assert pauses == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST, LONGEST, LONGEST]
    looks.went()
    assert looks.next_at == now + SHORTEST


def test_a_look_that_moves_much_is_not_made_often() -> None:
    """An idle lane of 100,000 jobs costs 25 moves a second."""
    looks = Looks(0)
    looks.went()
    for _ in range(100_000):
        looks.moved()
    assert looks.next_at == 4_000 * SECOND


def test_an_order_is_followed_by_a_look() -> None:
    looks = Looks(0)
    looks.expect(SETTLED)
    looks.expect(2 * SETTLED)
    assert looks.next_at == SETTLED


def test_a_look_by_a_clock_that_is_set_back_is_none() -> None:
    """Everything would seem to have been moved before it."""
    looks = Looks(0)
    assert looks.begin(100 * SECOND)
    assert looks.last(50 * SECOND) == 0
    assert looks.begin(50 * SECOND)
    assert looks.last(50 * SECOND) == 50 * SECOND


def test_a_look_waits_until_nothing_is_put_into_the_lane() -> None:
    """It would bring what is put there meanwhile before what was there."""
    looks = Looks(0)
    looks.went()
    looks.put(4 * SECOND)
    assert looks.next_at == 4 * SECOND + QUIET
    looks.put(LONGEST)
    assert looks.next_at == LONGEST
