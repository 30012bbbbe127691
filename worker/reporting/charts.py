"""The geometry of the page's pictures: rectangles in a picture of 100 by 100, whatever size it is shown in. Pure.

They are drawn by the page's template. A library of charts would be larger than the rest of this program, and most of
them draw by a script or as pixels; these pictures are bars.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from worker.model.outcomes import OUTCOMES, Outcome

_GAP: Final = 0.12
"""Share of a column's room that stays free between two."""

_TICKS: Final = 4
"""Most labels below a chart: more would touch each other on a small screen."""

_LAST_TICK: Final = 0.8
"""Share of a chart's width behind which a label would stick out of it."""


class Rect(NamedTuple):
    """A rectangle, by its corner at the top left, and the class that gives it its colour."""

    x: float
    y: float
    width: float
    height: float
    of: str


def share_bar(counts: Mapping[Outcome, int], most: int) -> list[Rect]:
    """One bar from left to right: its whole length is ``most``, its parts are the outcomes in their order."""
    rects = []
    x = 0.0
    for outcome in OUTCOMES:
        width = 100 * counts.get(outcome, 0) / most if most else 0.0
        if width:
            rects.append(Rect(round(x, 3), 0, round(width, 3), 100, outcome))
        x += width
    return rects


def plain_bar(number: int, most: int) -> list[Rect]:
    """One bar of one colour."""
    return [Rect(0, 0, round(100 * number / most, 3), 100, "plain")] if number and most else []


def columns(parts: Sequence[Mapping[str, int]], order: Sequence[str], top: int) -> list[list[Rect]]:
    """A column for each of ``parts``, its counts one upon the other in this order; ``top`` fills the height."""
    room = 100 / max(len(parts), 1)
    made = []
    for number, counts in enumerate(parts):
        y = 100.0
        rects = []
        for name in order:
            height = 100 * counts.get(name, 0) / top if top else 0.0
            y -= height
            if height:
                rects.append(
                    Rect(
                        round((number + _GAP / 2) * room, 3),
                        round(y, 3),
                        round((1 - _GAP) * room, 3),
                        round(height, 3),
                        name,
                    )
                )
        made.append(rects)
    return made


def ticks(columns: int) -> list[tuple[int, float]]:
    """The columns to be labelled, evenly apart, and where each begins, in percent of the width."""
    every = -(-columns // _TICKS)
    most = columns if columns <= _TICKS else _LAST_TICK * columns
    return [(number, round(100 * number / columns, 3)) for number in range(0, columns, every) if number <= most]


def top_of(largest: int) -> int:
    """A round and even number at or above the largest, as the end of an axis whose middle is named too."""
    power = 1
    while 10 * power < largest:
        power *= 10
    return next(top for factor in (1, 2, 3, 4, 5, 6, 8, 10) if (top := factor * power) >= largest and top % 2 == 0)
