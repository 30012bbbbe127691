"""Who is in a campaign's line, and what begins it anew."""

from worker.instants import SECOND
from worker.scheduling.pace_lines import FORGOTTEN_AFTER, Line, PaceLines

LINE = Line("acme", "spring", SECOND, 0)
FASTER = LINE._replace(interval=SECOND // 10)


def enter(lines: PaceLines, line: Line, number: int, now: int = 0, *, apart: bool = False) -> bool:
    """Whether the job of this number may ask."""
    return lines.enters(line, f"job-{number}", now, apart=apart)


def test_a_few_are_in_it() -> None:
    """The next one may ask once one of them has left; whoever is in it may ask again."""
    lines = PaceLines(8)
    assert [enter(lines, LINE, number) for number in range(5)] == [True] * 4 + [False]
    assert enter(lines, LINE, 2)
    lines.leaves(LINE, "job-2")
    assert enter(lines, LINE, 4)


def test_one_that_is_gone_takes_no_room() -> None:
    """A job that was lost with its connection counts for a moment only, in its line and in the way of others."""
    lines = PaceLines(2)
    assert [enter(lines, LINE, number) for number in range(3)] == [True, True, False]
    other = LINE._replace(campaign="summer")
    assert not enter(lines, other, 7)
    assert enter(lines, other, 7, apart=True)
    # Nobody has asked by the first line since.
    assert enter(lines, other, 8, FORGOTTEN_AFTER)
    assert enter(lines, LINE, 3, FORGOTTEN_AFTER)


def test_another_pace_begins_anew() -> None:
    """What is known of a campaign's day, and of when it may ask next, was so by its pace."""
    lines = PaceLines(8)
    lines.close(LINE, "job-0", 100)
    lines.rest(LINE, "job-1", 50)
    assert (lines.closed_until(LINE), lines.rests_until(LINE)) == (100, 50)
    assert (lines.closed_until(FASTER), lines.rests_until(FASTER)) == (0, 0)


def test_the_day_of_one_shop_opens_no_lane_of_another() -> None:
    """Held jobs of others are not looked through for it."""
    lines = PaceLines(8)
    lines.close(LINE, "job-0", 100)
    assert (lines.opened("acme", 99), lines.opens_at(99)) == (0, 100)
    assert (lines.opened("acme", 100), lines.opened("bolt", 100), lines.opened(None, 100)) == (100, 0, 100)
