"""When a shop's answers in a row close it, for how long, and what opens it again."""

from dataclasses import dataclass
from itertools import count

import pytest

from worker.instants import SECOND
from worker.model.verdicts import Halted, Refused, Rejected, Retry, Sent, Throttled, Unknown, Verdict
from worker.scheduling.attribution import EVERYBODY, Trouble
from worker.scheduling.breaker import (
    FAILURES_IN_A_ROW,
    FIRST_CLOSURE,
    LONGEST_CLOSURE,
    UNLISTED_IN_A_ROW,
    Breaker,
    BreakerClosed,
    BreakerOpen,
)

NUMBERS = count()
SENT = Sent(200, None, {}, None)
DOWN = Retry(503, "http_503")
LOST = Unknown(None, "timeout")
LISTED = Rejected(404, "no_customers_match_customer_identity", None, listed=True)
UNLISTED = Rejected(400, "campaign_over", None, listed=False)
BAD_TOKEN = Halted(401, "invalid_token", None, every_shop=False)
OLD_VERSION = Halted(400, "obsolete_global_api_version", None, every_shop=True)
A_PAGE = Refused(403, "http_403")
THROTTLED = Throttled(429, "rate_limit_exceeded", "shop", None)


@dataclass
class Job:
    """A job whose calls are watched."""

    job_id: str = "a"
    trouble: Trouble | None = None


def feed(breaker: Breaker, verdict: Verdict, times: int, now: int = 0) -> list[BreakerOpen | BreakerClosed | None]:
    """What that many verdicts in a row change, each on a job of its own."""
    return [breaker.record(verdict, now, Job(f"{verdict}{number}")) for number in range(times)]


@pytest.mark.parametrize("verdict", [DOWN, LOST])
def test_failures_in_a_row(verdict: Retry | Unknown) -> None:
    """As many failures in a row as the bound close the shop; one fewer don't."""
    changes = feed(Breaker(), verdict, FAILURES_IN_A_ROW)
    assert changes == [None] * (FAILURES_IN_A_ROW - 1) + [BreakerOpen("breaker", FIRST_CLOSURE, verdict.code, 1)]


@pytest.mark.parametrize("good", [SENT, LISTED, UNLISTED])
def test_an_answer_ends_a_row_of_failures(good: Verdict) -> None:
    """Any readable answer in between starts the count again."""
    breaker = Breaker()
    feed(breaker, DOWN, FAILURES_IN_A_ROW - 1)
    assert breaker.record(good, 0, Job("z")) is None
    assert feed(breaker, LOST, FAILURES_IN_A_ROW - 1) == [None] * (FAILURES_IN_A_ROW - 1)


def test_throttling_changes_nothing() -> None:
    """A 429 neither counts as a failure nor ends a row of them."""
    breaker = Breaker()
    assert feed(breaker, THROTTLED, 100) == [None] * 100
    feed(breaker, DOWN, FAILURES_IN_A_ROW - 1)
    breaker.record(THROTTLED, 0, Job("z"))
    assert isinstance(breaker.record(DOWN, 0, Job("z")), BreakerOpen)


def test_a_job_that_was_not_called_tells_nothing() -> None:
    """Turned down without a call, it neither ends a row of failures nor opens a shop that is closed."""
    uncalled = Rejected(None, "missing_customer_identity", None, listed=True)
    breaker = Breaker()
    feed(breaker, DOWN, FAILURES_IN_A_ROW - 1)
    assert breaker.record(uncalled, 0, Job("z")) is None
    assert isinstance(breaker.record(DOWN, 0, Job("z")), BreakerOpen)
    assert breaker.record(uncalled, FIRST_CLOSURE, Job("z")) is None


@pytest.mark.parametrize(("verdict", "every_shop"), [(BAD_TOKEN, False), (OLD_VERSION, True)])
def test_halted_at_once(verdict: Halted, every_shop: bool) -> None:
    """A refusal that no job of the shop can fix closes at the first answer, and says whether every shop is meant."""
    assert Breaker().record(verdict, 7, Job()) == BreakerOpen("halted", 7 + FIRST_CLOSURE, verdict.code, 1, every_shop)


def test_unlisted_code_in_a_row() -> None:
    """One code of the shop's own rules for job after job closes the shop; two codes in turn don't."""
    changes = feed(Breaker(), UNLISTED, UNLISTED_IN_A_ROW)
    assert changes == [None] * (UNLISTED_IN_A_ROW - 1) + [
        BreakerOpen("unlisted_code", FIRST_CLOSURE, "campaign_over", 1)
    ]
    breaker = Breaker()
    other = Rejected(400, "not_today", None, listed=False)
    assert not any(breaker.record(UNLISTED if turn % 2 else other, 0, Job("z")) for turn in range(200))


@pytest.mark.parametrize("good", [SENT, LISTED])
def test_success_ends_a_row_of_unlisted_codes(good: Verdict) -> None:
    """A job that fares otherwise shows that not the whole campaign is turned down."""
    breaker = Breaker()
    feed(breaker, UNLISTED, UNLISTED_IN_A_ROW - 1)
    breaker.record(good, 0, Job("z"))
    assert not any(feed(breaker, UNLISTED, UNLISTED_IN_A_ROW - 1))


def test_pauses_double() -> None:
    """Each pause in a row is twice as long, up to five minutes, and counts up."""
    breaker, now, lengths = Breaker(), 0, []
    for number in range(1, 16):
        pause = breaker.record(BAD_TOKEN, now, Job("z"))
        assert isinstance(pause, BreakerOpen)
        assert pause.in_a_row == number
        lengths.append((pause.until - now) // SECOND)
        now = pause.until
    assert lengths == [5, 10, 20, 40, 80, 160, *([LONGEST_CLOSURE // SECOND] * 9)]


def test_calls_under_way_do_not_lengthen_a_pause() -> None:
    """Answers to calls that were under way when the pause began change nothing; the first one after its end does."""
    breaker = Breaker()
    feed(breaker, DOWN, FAILURES_IN_A_ROW)
    assert feed(breaker, DOWN, 12, FIRST_CLOSURE - 1) == [None] * 12
    assert breaker.record(BAD_TOKEN, FIRST_CLOSURE - 1, Job("z")) is None
    assert breaker.record(DOWN, FIRST_CLOSURE, Job("z")) == BreakerOpen(
        "breaker", FIRST_CLOSURE + 2 * FIRST_CLOSURE, "http_503", 2
    )


@pytest.mark.parametrize("good", [SENT, LISTED, UNLISTED])
def test_a_good_answer_resumes_once(good: Verdict) -> None:
    """The first good answer reopens and forgets the pauses; further ones change nothing."""
    breaker = Breaker()
    breaker.record(BAD_TOKEN, 0, Job("z"))
    assert feed(breaker, good, 3, FIRST_CLOSURE) == [BreakerClosed(), None, None]
    assert breaker.record(BAD_TOKEN, FIRST_CLOSURE, Job("z")) == BreakerOpen(
        "halted", 2 * FIRST_CLOSURE, "invalid_token", 1
    )


def test_reset() -> None:
    """A changed credential reopens a paused shop, and is nothing to one that wasn't."""
    breaker = Breaker()
    assert breaker.reset() is None
    breaker.record(BAD_TOKEN, 0, Job("z"))
    assert breaker.reset() == BreakerClosed()
    assert breaker.record(BAD_TOKEN, 1, Job("z")) == BreakerOpen("halted", 1 + FIRST_CLOSURE, "invalid_token", 1)


def test_reset_forgets_who_was_refused() -> None:
    """A job that was refused under the old credential is refused for the first time under the new one."""
    breaker = Breaker()
    breaker.record(SENT, 0, Job("z"))
    assert breaker.record(A_PAGE, 1, Job("a")) is None
    breaker.reset()
    breaker.token_was_taken()
    assert breaker.record(A_PAGE, 2, Job("a")) is None


def test_join() -> None:
    """A shop that another one's answers paused waits as long, and its own next good answer ends that."""
    breaker = Breaker()
    breaker.join(BreakerOpen("halted", 100, "obsolete_global_api_version", 3, every_shop=True))
    assert breaker.record(OLD_VERSION, 99, Job("z")) is None
    assert breaker.record(OLD_VERSION, 100, Job("z")) == BreakerOpen(
        "halted", 100 + 2 * FIRST_CLOSURE, "obsolete_global_api_version", 2, every_shop=True
    )
    assert breaker.record(SENT, 100, Job("z")) == BreakerClosed()


def pages(breaker: Breaker, *jobs: Job, now: int = 0) -> list[BreakerOpen | BreakerClosed | None]:
    """What it changes that each of these jobs is answered by a page."""
    return [breaker.record(A_PAGE, now, job) for job in jobs]


def different(number: int) -> list[Job]:
    """So many jobs that nobody has met yet."""
    return [Job(f"{next(NUMBERS)}") for _ in range(number)]


def closed(until: int, in_a_row: int = 1, *, token_taken: bool = False) -> BreakerOpen:
    """The pause that a page causes."""
    return BreakerOpen("halted", until, "http_403", in_a_row, token_taken=token_taken)


def test_a_page_before_any_good_answer() -> None:
    """A shop that has not answered since it started is closed by the first page: its URL may be wrong."""
    assert pages(Breaker(), Job()) == [closed(FIRST_CLOSURE)]


@pytest.mark.parametrize("good", [SENT, LISTED, UNLISTED])
def test_pages_of_different_jobs(good: Verdict) -> None:
    """A shop that answers is closed once so many different jobs are answered by a page in a row."""
    breaker = Breaker()
    breaker.record(good, 0, Job("z"))
    assert pages(breaker, *different(2)) == [None, None]
    breaker.record(good, 0, Job("z"))
    assert EVERYBODY == 3
    assert pages(breaker, *different(3)) == [None, None, closed(FIRST_CLOSURE)]


def test_a_page_again() -> None:
    """A job that comes back to be refused again, while nobody else was answered, closes the shop to ask Status2."""
    breaker, job = Breaker(), Job()
    breaker.record(SENT, 0, Job("z"))
    assert pages(breaker, job, job) == [None, closed(FIRST_CLOSURE)]


def test_a_job_that_is_refused_alone() -> None:
    """However often one job is refused, the shop stays open once others were answered in between."""
    breaker, job = Breaker(), Job()
    breaker.record(SENT, 0, Job("z"))
    assert pages(breaker, job, now=1) == [None]
    breaker.record(SENT, 2, Job("z"))
    assert pages(breaker, *[job] * 100, now=3) == [None] * 100


def test_a_refusal_that_ends_the_job() -> None:
    """A job that ends by being refused tells nothing of its shop."""
    assert Breaker().record(A_PAGE, 0, Job(), ended=True) is None


def test_probes_after_a_page() -> None:
    """While Status2 takes the token three other jobs are tried between two pauses, one where it tells nothing."""
    breaker = Breaker()
    assert pages(breaker, Job()) == [closed(FIRST_CLOSURE)]
    assert pages(breaker, *different(4), now=FIRST_CLOSURE - 1) == [None] * 4, "they were under way"
    breaker.token_was_taken()
    now = FIRST_CLOSURE
    changes = pages(breaker, *different(3), now=now)
    assert changes == [None, None, closed(now + 2 * FIRST_CLOSURE, 2, token_taken=True)]
    now += 2 * FIRST_CLOSURE
    assert pages(breaker, *different(1), now=now) == [closed(now + 4 * FIRST_CLOSURE, 3)]


def test_a_token_is_taken_once_for_a_job() -> None:
    """Of a job that is refused again and again after one answer of Status2's, one refusal counts as after it."""
    breaker, job = Breaker(), Job()
    now = 1
    for _ in range(2):
        assert isinstance(pages(breaker, job, now=now)[-1], BreakerOpen)
        now += 10 * FIRST_CLOSURE
        breaker.token_was_taken()
        assert pages(breaker, job, now=now) == [None]
    assert job.trouble is not None
    assert (job.trouble.refusals, job.trouble.token_taken) == (4, 2)


def test_a_bad_token_closes_at_once() -> None:
    """What no job of the shop can fix closes it by one answer, however well it answered before."""
    breaker, job = Breaker(), Job()
    breaker.record(SENT, 0, Job("z"))
    assert breaker.record(BAD_TOKEN, 0, job) == BreakerOpen("halted", FIRST_CLOSURE, "invalid_token", 1)


def test_a_token_that_is_refused_for_one_job_alone() -> None:
    """A job that is answered so again, while others are served with the same token, doesn't close the shop: it ends."""
    breaker, job = Breaker(), Job()
    assert isinstance(breaker.record(BAD_TOKEN, 1, job), BreakerOpen)
    breaker.token_was_taken()
    assert isinstance(breaker.record(SENT, 2, Job("z")), BreakerClosed)
    assert not breaker.others.ends_if_refused(job)
    assert breaker.record(BAD_TOKEN, 3, job) is None
    assert breaker.others.ends_if_refused(job)
    assert breaker.record(BAD_TOKEN, 4, job, ended=True) is None


def test_a_token_that_is_refused_for_everybody() -> None:
    """Each answer closes the shop again, and no job ends, as long as nobody is served or Status2 takes no token."""
    breaker, jobs = Breaker(), [Job("a"), Job("b")]
    now = 1
    for job in jobs * 5:
        now += LONGEST_CLOSURE
        assert isinstance(breaker.record(BAD_TOKEN, now, job), BreakerOpen)
        assert not any(map(breaker.others.ends_if_refused, jobs))


def test_a_read_that_is_refused() -> None:
    """A token that is refused for a read closes the shop like that of a call, unless others are called meanwhile."""
    breaker, job = Breaker(), Job()
    assert breaker.record(BAD_TOKEN, 1, job, read=True) == BreakerOpen("halted", 1 + FIRST_CLOSURE, "invalid_token", 1)
    breaker.record(SENT, 2, Job("z"))
    assert [breaker.record(BAD_TOKEN, 3, job, read=True) for _ in range(2)] == [None, None]
    assert breaker.others.ends_if_refused(job)
    assert isinstance(breaker.record(OLD_VERSION, 3, job), BreakerOpen)


@pytest.mark.parametrize("verdict", [DOWN, LOST])
def test_a_job_that_fails_alone(verdict: Retry | Unknown) -> None:
    """Calls of one job that fail while others are answered are no outage, however many follow each other; those of
    different jobs are, and so are those that never got there."""
    breaker, job = Breaker(), Job()
    breaker.record(verdict, 1, job)
    breaker.record(SENT, 2, Job("z"))
    assert [breaker.record(verdict, 3, job) for _ in range(100)] == [None] * 100
    assert isinstance(feed(breaker, verdict, FAILURES_IN_A_ROW, now=4)[-1], BreakerOpen)
    breaker, job = Breaker(), Job()
    breaker.record(verdict, 1, job)
    breaker.record(SENT, 2, Job("z"))
    unreachable = Retry(None, "connection")
    assert isinstance([breaker.record(unreachable, 3, job) for _ in range(FAILURES_IN_A_ROW)][-1], BreakerOpen)


def test_start_anew() -> None:
    """With another credential or address nothing is known of the shop's answers."""
    breaker = Breaker()
    breaker.record(SENT, 0, Job("z"))
    pages(breaker, *different(1))
    breaker.reset()
    assert not breaker.others.in_trouble
    assert pages(breaker, *different(1)) == [closed(FIRST_CLOSURE)]
