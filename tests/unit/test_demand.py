"""What limits would let run, as one process tells it."""

import pytest

from worker.demand import runnable_jobs_per_second


@pytest.mark.parametrize(
    ("ready", "in_flight", "set_aside", "runnable"),
    [
        pytest.param(0, 0, 0, 0, id="nothing here"),
        pytest.param(16, 0, 0, 25, id="hands full, so more lies behind: its pace"),
        pytest.param(4, 12, 0, 25, id="full with calls under way"),
        pytest.param(0, 12, 0, 25, id="full though none waits: the prefetch is what holds it up"),
        pytest.param(3, 1, 0, 3, id="no more than is here"),
        pytest.param(0, 3, 0, 0, id="nothing waits"),
        pytest.param(0, 0, 8, 0, id="all wait for their customers"),
        pytest.param(6, 0, 8, 25, id="full, customers' jobs among them"),
    ],
)
def test_runnable(ready: int, in_flight: int, set_aside: int, runnable: float) -> None:
    """A shop's pace where more lies behind, what is here otherwise, nothing for customers that are held back."""
    assert runnable_jobs_per_second(25, ready=ready, in_flight=in_flight, set_aside=set_aside, prefetch=16) == runnable


def test_a_slow_shop_asks_for_its_pace_only() -> None:
    """A few jobs of a shop at one call in ten seconds ask for a tenth of a job a second."""
    assert runnable_jobs_per_second(0.1, ready=3, in_flight=0, set_aside=0, prefetch=16) == 0.1
