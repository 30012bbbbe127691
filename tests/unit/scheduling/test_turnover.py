"""How many jobs may be in flight beyond the threads."""

import pytest

from worker.scheduling.turnover import Turnover
from worker.store.timing import HORIZON


@pytest.mark.parametrize(
    ("ended", "after", "spare"),
    [
        (0, HORIZON, 0),
        (2, HORIZON, 0),
        (12, HORIZON, 10),
        # Counted late: only as many as end in one horizon.
        (12, 2 * HORIZON, 4),
        # Counted early, as by a clock that steps back: no more than have ended.
        (12, HORIZON // 2, 10),
        (12, -HORIZON, 10),
    ],
)
def test_spare(ended: int, after: int, spare: int) -> None:
    """As many as calls end in a horizon, but for those that are granted beyond the threads anyway."""
    turnover = Turnover(but=2)
    turnover.count(HORIZON)
    turnover.ended += ended
    turnover.count(HORIZON + after)
    assert (turnover.spare, turnover.ended, turnover.counts_at) == (spare, 0, 2 * HORIZON + after)
