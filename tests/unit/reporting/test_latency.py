"""Percentiles and the histogram of latencies."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.reporting.latency import Latency


@given(st.lists(st.floats(0.001, 1000), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_percentiles_are_right_to_half_a_percent(latencies: list[float], share: float) -> None:
    """A percentile is the latency of its rank, rounded to three digits."""
    latency = Latency()
    for each in latencies:
        latency.add(each)
    exact = sorted(latencies)[max(1, math.ceil(share * len(latencies))) - 1]
    assert latency.percentile(share) == pytest.approx(exact, rel=0.0051)


@pytest.mark.parametrize(("seconds", "bar"), [(0.0, 0), (0.0999, 3), (0.1, 4), (4.999, 8), (5.0, 9), (1e300, 11)])
def test_a_bar_begins_where_the_one_before_it_ends(seconds: float, bar: int) -> None:
    """Each latency is in one bar, and its bounds say in which."""
    latency = Latency()
    latency.add(seconds)
    begin, end, number = latency.bars()[bar]
    assert number == latency.count == 1
    assert begin <= seconds
    assert end is None or seconds < end


def test_nothing_was_called() -> None:
    """Without a call there is no percentile."""
    assert Latency().percentile(0.5) is None
