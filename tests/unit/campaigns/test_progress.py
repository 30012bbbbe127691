"""How a campaign stands, whether all jobs are accounted for, and how long the rest takes."""

import pytest

from tests.unit.making import NOON, make_limits
from worker.campaigns.progress import Progress, seconds_to_go, unaccounted
from worker.instants import DAY, SECOND
from worker.limits.token_bucket import Rate
from worker.model.windows import window_of
from worker.store.shop_state import ShopState

COUNTERS = {
    "published": 100,
    "duplicate": 5,
    "dead": 2,
    "sent": 40,
    "rejected:no_customers_match_customer_identity": 7,
    "rejected:rule": 1,
    "failed": 1,
    "unknown": 1,
    "cancelled": 2,
    "cancelled:suppressed": 1,
}


def test_standing() -> None:
    """What is left is what was published less duplicates, dead ones and results."""
    progress = Progress.of("spring", "acme", COUNTERS)
    assert progress.rejected == {"no_customers_match_customer_identity": 7, "rule": 1}
    assert progress.outcomes["rejected"] == 8
    assert (progress.outcomes["cancelled"], progress.suppressed) == (3, 1)
    assert progress.results == 53
    assert progress.left == 40


@pytest.mark.parametrize(("in_queues", "dead", "gap"), [(40, 2, 0), (39, 2, 1), (41, 2, -1), (38, 4, 0), (40, 0, 2)])
def test_unaccounted(in_queues: int, dead: int, gap: int) -> None:
    """Jobs in the queues and dead ones account for what is left, also dead ones that were never counted."""
    assert unaccounted([Progress.of("spring", "acme", COUNTERS)], in_queues=in_queues, dead=dead) == gap


def test_letters_taken_out_are_accounted_for() -> None:
    """A letter that was dropped or replayed is missing nowhere, whether its death was counted before or not."""
    # Two deaths were counted by workers; a third, which RabbitMQ alone knew of, as its letter was removed.
    counters = COUNTERS | {"dead": 3, "removed": 2}
    progress = Progress.of("spring", "acme", counters)
    assert progress.left == 39
    assert unaccounted([progress], in_queues=39, dead=1) == 0


@pytest.mark.parametrize(
    ("jobs", "calls_today", "closed_until", "seconds"),
    [
        pytest.param(0, 0, 0, 0, id="nothing left"),
        pytest.param(50, 0, 0, 5, id="at ten a second"),
        pytest.param(50, 0, NOON + 60 * SECOND, 65, id="closed for a minute"),
        pytest.param(100, 100, 0, DAY / 2 / SECOND + 10, id="the day is spent: from its reset"),
        pytest.param(250, 50, 0, (DAY / 2 + DAY) / SECOND + 10, id="over two resets"),
    ],
)
def test_seconds_to_go(jobs: int, calls_today: int, closed_until: int, seconds: float) -> None:
    """The rest takes its rate, from when the shop opens, and continues after each day's reset."""
    limits = make_limits(shop=Rate.per_second(10, 1), per_day=100)
    state = ShopState(at=NOON, interval=SECOND // 10, blocked_until=0, calls_today=calls_today, closure=None)
    assert seconds_to_go(jobs, limits, state, closed_until=closed_until) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("jobs", "calls_today", "hours", "interval", "per_day", "seconds"),
    [
        pytest.param(50, 0, "12:00-13:00 UTC", 0, 0, 6, id="it opens now"),
        pytest.param(50, 0, "15:00-16:00 UTC", 0, 0, 3 * 3600 + 6, id="it opens later"),
        pytest.param(
            30, 0, "15:00-15:01, 17:00-18:00 UTC", 4 * SECOND, 0, 5 * 3600 + 61, id="one minute does not suffice"
        ),
        pytest.param(150, 0, "11:00-13:00 UTC", 0, 0, 86_400 - 3600 + 6, id="the next day's quota, in its hours"),
        pytest.param(50, 0, None, SECOND, 0, 50, id="at a campaign's pace"),
        pytest.param(50, 0, None, 0, 20, 43_200 + 86_400 + 1, id="by a campaign's days"),
        pytest.param(50, 90, "Mon 00:00-24:00 UTC", 0, 0, 7 * 86_400 - 43_200 + 5, id="once a week"),
    ],
)
def test_seconds_to_go_within_hours_and_at_a_pace(
    jobs: int, calls_today: int, hours: str | None, interval: int, per_day: int, seconds: float
) -> None:
    """Hours that are closed count, each time they come by; the noon of a Monday is the beginning."""
    limits = make_limits(shop=Rate.per_second(10, 1), per_day=100)
    state = ShopState(at=NOON, interval=SECOND // 10, blocked_until=0, calls_today=calls_today, closure=None)
    window = window_of(hours) if hours is not None else None
    found = seconds_to_go(jobs, limits, state, closed_until=0, window=window, interval=interval, per_day=per_day)
    assert found == pytest.approx(seconds, abs=2)


def test_an_end_beyond_a_year_is_unknown() -> None:
    """Nobody waits for it."""
    state = ShopState(at=NOON, interval=3600 * SECOND, blocked_until=0, calls_today=0, closure=None)
    limits = make_limits(shop=Rate.per_second(10, 1), per_day=100)
    window = window_of("Mon 09:00-10:00 UTC")
    assert seconds_to_go(1000, limits, state, closed_until=0, window=window) is None
