"""When a shop's answers in a row close it, for how long, and what opens it again."""

import pytest

from worker.breaker import (
    FAILURES_IN_A_ROW,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    UNLISTED_IN_A_ROW,
    Breaker,
    Pause,
    Resume,
)
from worker.clock import SECOND
from worker.verdicts import Halted, Rejected, Retry, Sent, Throttled, Unknown, Verdict

SENT = Sent(200, None, {}, None)
DOWN = Retry(503, "http_503")
LOST = Unknown(None, "timeout")
LISTED = Rejected(404, "no_customers_match_customer_identity", None, listed=True)
UNLISTED = Rejected(400, "campaign_over", None, listed=False)
BAD_TOKEN = Halted(401, "invalid_token", None, every_shop=False)
OLD_VERSION = Halted(400, "obsolete_global_api_version", None, every_shop=True)
THROTTLED = Throttled(429, "rate_limit_exceeded", "shop", None)


def feed(breaker: Breaker, verdict: Verdict, times: int, now: int = 0) -> list[Pause | Resume | None]:
    """What that many verdicts in a row change."""
    return [breaker.record(verdict, now) for _ in range(times)]


@pytest.mark.parametrize("verdict", [DOWN, LOST])
def test_failures_in_a_row(verdict: Retry | Unknown) -> None:
    """As many failures in a row as the bound close the shop; one fewer don't."""
    changes = feed(Breaker(), verdict, FAILURES_IN_A_ROW)
    assert changes == [None] * (FAILURES_IN_A_ROW - 1) + [Pause("breaker", FIRST_PAUSE, verdict.code, 1)]


@pytest.mark.parametrize("good", [SENT, LISTED, UNLISTED])
def test_an_answer_ends_a_row_of_failures(good: Verdict) -> None:
    """Any readable answer in between starts the count again."""
    breaker = Breaker()
    feed(breaker, DOWN, FAILURES_IN_A_ROW - 1)
    assert breaker.record(good, 0) is None
    assert feed(breaker, LOST, FAILURES_IN_A_ROW - 1) == [None] * (FAILURES_IN_A_ROW - 1)


def test_throttling_changes_nothing() -> None:
    """A 429 neither counts as a failure nor ends a row of them."""
    breaker = Breaker()
    assert feed(breaker, THROTTLED, 100) == [None] * 100
    feed(breaker, DOWN, FAILURES_IN_A_ROW - 1)
    breaker.record(THROTTLED, 0)
    assert isinstance(breaker.record(DOWN, 0), Pause)


def test_a_job_that_was_not_called_tells_nothing() -> None:
    """Turned down without a call, it neither ends a row of failures nor opens a shop that is closed."""
    uncalled = Rejected(None, "missing_customer_identity", None, listed=True)
    breaker = Breaker()
    feed(breaker, DOWN, FAILURES_IN_A_ROW - 1)
    assert breaker.record(uncalled, 0) is None
    assert isinstance(breaker.record(DOWN, 0), Pause)
    assert breaker.record(uncalled, FIRST_PAUSE) is None


@pytest.mark.parametrize(("verdict", "every_shop"), [(BAD_TOKEN, False), (OLD_VERSION, True)])
def test_halted_at_once(verdict: Halted, every_shop: bool) -> None:
    """A refusal that no job of the shop can mend closes at the first answer, and says whether every shop is meant."""
    assert Breaker().record(verdict, 7) == Pause("halted", 7 + FIRST_PAUSE, verdict.code, 1, every_shop)


def test_unlisted_code_in_a_row() -> None:
    """One code of the shop's own rules for job after job closes the shop; two codes in turn don't."""
    changes = feed(Breaker(), UNLISTED, UNLISTED_IN_A_ROW)
    assert changes == [None] * (UNLISTED_IN_A_ROW - 1) + [Pause("unlisted_code", FIRST_PAUSE, "campaign_over", 1)]
    breaker = Breaker()
    other = Rejected(400, "not_today", None, listed=False)
    assert not any(breaker.record(UNLISTED if turn % 2 else other, 0) for turn in range(200))


@pytest.mark.parametrize("good", [SENT, LISTED])
def test_success_ends_a_row_of_unlisted_codes(good: Verdict) -> None:
    """A job that fares otherwise shows that not the whole campaign is turned down."""
    breaker = Breaker()
    feed(breaker, UNLISTED, UNLISTED_IN_A_ROW - 1)
    breaker.record(good, 0)
    assert not any(feed(breaker, UNLISTED, UNLISTED_IN_A_ROW - 1))


def test_pauses_double() -> None:
    """Each pause in a row is twice as long, up to five minutes, and counts up."""
    breaker, now, lengths = Breaker(), 0, []
    for number in range(1, 16):
        pause = breaker.record(BAD_TOKEN, now)
        assert isinstance(pause, Pause)
        assert pause.in_a_row == number
        lengths.append((pause.until - now) // SECOND)
        now = pause.until
    assert lengths == [5, 10, 20, 40, 80, 160, *([LONGEST_PAUSE // SECOND] * 9)]


def test_calls_under_way_do_not_lengthen_a_pause() -> None:
    """Answers to calls that were under way when the pause began change nothing; the first one after its end does."""
    breaker = Breaker()
    feed(breaker, DOWN, FAILURES_IN_A_ROW)
    assert feed(breaker, DOWN, 12, FIRST_PAUSE - 1) == [None] * 12
    assert breaker.record(BAD_TOKEN, FIRST_PAUSE - 1) is None
    assert breaker.record(DOWN, FIRST_PAUSE) == Pause("breaker", FIRST_PAUSE + 2 * FIRST_PAUSE, "http_503", 2)


@pytest.mark.parametrize("good", [SENT, LISTED, UNLISTED])
def test_a_good_answer_resumes_once(good: Verdict) -> None:
    """The first good answer reopens and forgets the pauses; further ones change nothing."""
    breaker = Breaker()
    breaker.record(BAD_TOKEN, 0)
    assert feed(breaker, good, 3, FIRST_PAUSE) == [Resume(), None, None]
    assert breaker.record(BAD_TOKEN, FIRST_PAUSE) == Pause("halted", 2 * FIRST_PAUSE, "invalid_token", 1)


def test_reset() -> None:
    """A changed credential reopens a paused shop, and is nothing to one that wasn't."""
    breaker = Breaker()
    assert breaker.reset() is None
    breaker.record(BAD_TOKEN, 0)
    assert breaker.reset() == Resume()
    assert breaker.record(BAD_TOKEN, 1) == Pause("halted", 1 + FIRST_PAUSE, "invalid_token", 1)


def test_join() -> None:
    """A shop that another one's answers paused waits as long, and its own next good answer ends that."""
    breaker = Breaker()
    breaker.join(Pause("halted", 100, "obsolete_global_api_version", 3, every_shop=True))
    assert breaker.record(OLD_VERSION, 99) is None
    assert breaker.record(OLD_VERSION, 100) == Pause(
        "halted", 100 + 2 * FIRST_PAUSE, "obsolete_global_api_version", 2, every_shop=True
    )
    assert breaker.record(SENT, 100) == Resume()
