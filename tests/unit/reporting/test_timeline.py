"""Results over time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.reporting.timeline import DAY, HOUR, MINUTE, MOST_SPANS, WEEK, Timeline

BEGIN = datetime(2026, 11, 27, 10, 0, 30, tzinfo=UTC)
NOW = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("length", "step", "first"),
    [
        (timedelta(0), 1, datetime(2026, 11, 27, 10, 0, 30, tzinfo=UTC)),
        (timedelta(seconds=40), 1, datetime(2026, 11, 27, 10, 0, 30, tzinfo=UTC)),
        (timedelta(seconds=60), 5, datetime(2026, 11, 27, 10, 0, 30, tzinfo=UTC)),
        (timedelta(minutes=10), 15, datetime(2026, 11, 27, 10, 0, 30, tzinfo=UTC)),
        (timedelta(minutes=46), MINUTE, datetime(2026, 11, 27, 10, 0, tzinfo=UTC)),
        (timedelta(minutes=50), 5 * MINUTE, datetime(2026, 11, 27, 10, 0, tzinfo=UTC)),
        (timedelta(hours=11), 15 * MINUTE, datetime(2026, 11, 27, 10, 0, tzinfo=UTC)),
        (timedelta(hours=40), HOUR, datetime(2026, 11, 27, 10, 0, tzinfo=UTC)),
        (timedelta(days=7), 4 * HOUR, datetime(2026, 11, 27, 8, 0, tzinfo=UTC)),
        (timedelta(days=10), DAY, datetime(2026, 11, 27, tzinfo=UTC)),
        (timedelta(days=40), DAY, datetime(2026, 11, 27, tzinfo=UTC)),
        (timedelta(days=300), WEEK, datetime(2026, 11, 23, tzinfo=UTC)),
        (timedelta(days=365 * 20), 32 * WEEK, None),
    ],
)
def test_spans_are_as_short_as_their_number_allows(length: timedelta, step: int, first: datetime | None) -> None:
    """Seconds for a minute, days for a month; days begin at midnight, weeks on Mondays, in UTC."""
    timeline = Timeline(NOW)
    timeline.add(BEGIN, "sent")
    timeline.add(BEGIN + length, "failed")
    spans = list(timeline.spans())
    assert timeline.step == step
    assert len(spans) <= MOST_SPANS
    assert sum(counts["sent"] for _, counts in spans) == sum(counts["failed"] for _, counts in spans) == 1
    if first is not None:
        assert spans[0][0] == first


@given(st.lists(st.integers(0, 10**9), min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_results_changes_nothing(seconds: list[int], random: object) -> None:
    """Results come in any order, and the spans are the same; each result is in the span that holds its time."""
    forward, shuffled = Timeline(NOW), Timeline(NOW)
    for each in seconds:
        forward.add(BEGIN + timedelta(seconds=each), "sent")
    for each in sorted(seconds, key=lambda each: hash((each, str(random)))):
        shuffled.add(BEGIN + timedelta(seconds=each), "sent")
    spans = list(forward.spans())
    assert spans == list(shuffled.spans())
    for begin, counts in spans:
        end = begin + timedelta(seconds=forward.step)
        assert counts["sent"] == sum(begin <= BEGIN + timedelta(seconds=each) < end for each in seconds)


def test_no_result_is_no_span() -> None:
    """Before the first result there is nothing to show."""
    assert list(Timeline(NOW).spans()) == []


@pytest.mark.parametrize(
    "at",
    [
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+05:00",
        "1970-01-01T00:00:07Z",
        "2100-01-02T00:00:01Z",
    ],
)
def test_a_time_that_cannot_be_right(at: str) -> None:
    """It is counted by itself: it would push all other results into one span."""
    timeline = Timeline(NOW)
    for second in range(10):
        timeline.add(BEGIN + timedelta(seconds=second), "sent")
    timeline.add(datetime.fromisoformat(at), "failed")
    assert timeline.outside == {"failed": 1}
    assert timeline.step == 1
    assert [counts["sent"] for _, counts in timeline.spans()] == [1] * 10
    assert timeline.last == BEGIN + timedelta(seconds=9)


def test_a_clock_that_is_ahead() -> None:
    """A worker's clock may be fast by minutes, and its results are in the picture."""
    timeline = Timeline(BEGIN)
    timeline.add(BEGIN + timedelta(minutes=10), "sent")
    assert not timeline.outside
    assert len(list(timeline.spans())) == 1
