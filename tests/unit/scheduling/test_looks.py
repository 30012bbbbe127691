"""When lanes are looked through: soon where jobs that may go are behind others, rarely where nothing goes."""

import pytest

from worker.instants import SECOND
from worker.scheduling.looks import FIRST, HEARD, LONGEST, QUIET, SETTLED, SHORTEST, SPARED, Looks


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
        looks.moved(0)
    assert looks.next_at == 4_000 * SECOND


@pytest.mark.parametrize(
    ("freed_at", "heard_at", "looks_soon"),
    [(20, 20, True), (15, 30, True), (21, 20 + HEARD // SECOND, True), (21, 21 + HEARD // SECOND, False)],
)
def test_who_moved_jobs_before_it_heard_looks_again(freed_at: int, heard_at: int, *, looks_soon: bool) -> None:
    """They are behind others that were looked at since. One that moved none may turn over half of an export."""
    looks = Looks(0)
    looks.moved(20 * SECOND)
    looks.follow_up(freed_at * SECOND, heard_at * SECOND)
    looks.follow_up(freed_at * SECOND, (heard_at + 1) * SECOND)
    assert looks.next_at == (heard_at * SECOND + SETTLED if looks_soon else FIRST)


def test_a_process_that_has_moved_nothing_is_content() -> None:
    looks = Looks(0)
    looks.follow_up(0, HEARD)
    assert looks.next_at == FIRST


def test_no_look_shortly_before_jobs_go_by_themselves() -> None:
    """The lane, half of it turned over by then, would be called from the middle on."""
    looks = Looks(0)
    assert not looks.begin(FIRST, freed_at=FIRST + SPARED - 1)
    assert looks.last(FIRST) == 0
    assert looks.next_at == 2 * FIRST
    assert looks.begin(2 * FIRST, freed_at=2 * FIRST + SPARED)


def test_a_look_for_what_was_moved_is_made_then_too() -> None:
    looks = Looks(0)
    looks.moved(0)
    looks.follow_up(0, 0)
    assert looks.begin(SETTLED, freed_at=SETTLED + 1)


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
