"""Whose trouble it is that a job's calls go wrong: its own, or everybody's."""

from dataclasses import dataclass

import pytest

from worker.scheduling.attribution import EVERYBODY, FORGOTTEN_AFTER, REFUSALS, THROTTLES, TOKEN_TAKEN, Others, Trouble


@dataclass
class Job:
    """A job whose calls are watched."""

    job_id: str
    trouble: Trouble | None = None


class Shop:
    """How a shop's jobs fare, one call after the other."""

    def __init__(self) -> None:
        self.others = Others()
        self.now = 1

    def serve(self, job: Job | None = None) -> None:
        """Answer a job well; another one than all that the test has, unless it is given."""
        self.now += 1
        self.others.served(job or Job("served"), self.now)

    def refuse(self, job: Job, times: int = 1, *, token_taken: bool = False) -> bool:
        """Refuse a job so often; whether the last time was its own trouble."""
        own = False
        for _ in range(times):
            self.now += 1
            own = self.others.refused(job, self.now, token_taken=token_taken)
        return own

    def throttle(self, job: Job) -> None:
        """Answer a job 429."""
        self.now += 1
        self.others.throttled(job, self.now)


@pytest.fixture
def shop() -> Shop:
    """A shop that has not been called yet."""
    return Shop()


def test_others_are_served(shop: Shop) -> None:
    """What others were answered well beside is the job's own trouble, and ends it the third time."""
    job = Job("a")
    assert not shop.refuse(job)
    assert not shop.others.is_own(job)
    shop.serve()
    assert shop.others.is_own(job)
    assert not shop.others.ends_if_refused(job), "a firewall that comes and goes may have been there twice"
    assert REFUSALS == 3
    assert shop.refuse(job)
    assert shop.others.ends_if_refused(job)


def test_a_good_answer_before_tells_nothing(shop: Shop) -> None:
    """That others were served before a job was first refused doesn't make it the job's trouble."""
    job = Job("a")
    shop.serve()
    shop.refuse(job, REFUSALS)
    assert not shop.others.is_own(job)
    assert not shop.others.ends_if_refused(job)


def test_a_job_that_is_served_after_all(shop: Shop) -> None:
    """A job that is answered well is in no trouble any more."""
    job = Job("a")
    shop.refuse(job, REFUSALS)
    before = shop.others.in_trouble
    shop.serve(job)
    assert (before, shop.others.in_trouble, job.trouble) == (True, False, None)
    assert not shop.refuse(job)


def test_everybody_is_refused(shop: Shop) -> None:
    """While so many different jobs are refused in a row none ends, not even one that was refused alone before."""
    job, others = Job("a"), [Job(f"{number}") for number in range(EVERYBODY)]
    shop.refuse(job, REFUSALS)
    shop.serve()
    for other in others:
        assert not shop.others.everybody
        assert shop.others.ends_if_refused(job)
        shop.refuse(other, 2, token_taken=True)
    assert shop.others.everybody
    assert not shop.others.is_own(job)
    assert not any(shop.others.ends_if_refused(each) for each in (job, *others))
    shop.serve()
    assert shop.others.ends_if_refused(job)


def test_those_with_trouble_of_their_own_are_not_everybody(shop: Shop) -> None:
    """However many jobs are refused that were refused alone before, and nobody is served between, each may end."""
    jobs = [Job(f"{number}") for number in range(2 * EVERYBODY)]
    for job in jobs:
        shop.refuse(job)
        shop.serve()
    for job in jobs:
        assert shop.refuse(job, REFUSALS - 1)
    assert not shop.others.everybody
    assert all(shop.others.ends_if_refused(job) for job in jobs)


def test_nobody_else_is_there(shop: Shop) -> None:
    """Where a job is all that there is to call, it ends once Status2 has taken the token before each of a few calls."""
    job = Job("a")
    shop.refuse(job, 10)
    assert not shop.others.ends_if_refused(job)
    shop.refuse(job, TOKEN_TAKEN - 1, token_taken=True)
    assert not shop.others.ends_if_refused(job)
    shop.refuse(job, token_taken=True)
    assert shop.others.ends_if_refused(job)


@pytest.mark.parametrize("answered_once", [False, True])
def test_two_are_everybody_at_a_new_shop(shop: Shop, answered_once: bool) -> None:
    """A shop that has never answered well may have a firewall that refuses all: of two jobs neither ends, and where it
    did answer once both do."""
    if answered_once:
        shop.serve()
    jobs = Job("a"), Job("b")
    for job in jobs:
        shop.refuse(job, TOKEN_TAKEN, token_taken=True)
    assert [shop.others.ends_if_refused(job) for job in jobs] == [answered_once] * 2


def test_what_has_ended_still_counts(shop: Shop) -> None:
    """One after the other, the jobs of a quiet shop don't end before anybody is served again."""
    first, second = Job("a"), Job("b")
    shop.refuse(first, TOKEN_TAKEN, token_taken=True)
    assert shop.others.ends_if_refused(first)
    shop.refuse(second, TOKEN_TAKEN, token_taken=True)
    assert not shop.others.ends_if_refused(second)


def test_failures_count_alike(shop: Shop) -> None:
    """A failing call is trouble too: its own where others are served, everybody's where others fail."""
    job = Job("a")
    assert not shop.others.failed(job, 2)
    shop.now = 2
    shop.serve()
    assert shop.others.failed(job, 4)
    for number in range(EVERYBODY):
        shop.others.failed(Job(f"{number}"), 5)
    assert not shop.others.failed(job, 6)
    assert not shop.others.ends_if_refused(job)


def test_a_job_that_is_throttled_alone(shop: Shop) -> None:
    """A 429 that one job gets again and again while others are served is its customer's; it is no trouble besides."""
    job = Job("a")
    for _ in range(THROTTLES):
        assert not shop.others.waits_alone(job)
        shop.throttle(job)
        shop.throttle(job)
        assert not shop.others.waits_alone(job), "nobody else was served"
        shop.serve()
    assert shop.others.waits_alone(job)
    assert not shop.others.is_own(job)
    assert not shop.refuse(job), "it is refused for the first time"
    shop.serve(job)
    assert not shop.others.waits_alone(job)


def test_trouble_goes_with_the_job(shop: Shop) -> None:
    """What one worker has seen of a job the next one knows, and holds against its own shop's answers."""
    job = Job("a")
    shop.refuse(job, 2, token_taken=True)
    assert job.trouble is not None
    elsewhere = Shop()
    arrived = Job("a", Trouble.read(job.trouble.words, now=10))
    assert arrived.trouble == job.trouble
    assert elsewhere.others.ends_if_refused(arrived), "the only one, and the token was taken each time"
    elsewhere.refuse(Job("b"))
    assert not elsewhere.others.ends_if_refused(arrived)
    elsewhere.now = 11
    elsewhere.serve()
    assert elsewhere.others.ends_if_refused(arrived)


@pytest.mark.parametrize(
    "words",
    [
        None,
        7,
        b"5 1 1",
        "",
        "5 1",
        "5 1 1 1",
        "-5 1 1",
        "x 1 1",
        "5 1 1 ",
        "5\n1 1",
        "٥ 1 1",
        "0 2 2",
        "11 2 2",
        "9" * 99,
    ],
)
def test_words_that_no_worker_wrote(words: object) -> None:
    """What can't be read, or speaks of the future, is as if nothing had been written."""
    assert Trouble.read(words, now=10) is None


def test_old_trouble_is_forgotten() -> None:
    """After an hour a job's trouble says nothing any more, and numbers that nobody needs are not passed on whole."""
    words = Trouble(7, 1_000_000, 2_000_000).words
    assert Trouble.read(words, FORGOTTEN_AFTER + 6) == Trouble(7, 999, 999)
    assert Trouble.read(words, FORGOTTEN_AFTER + 7) is None
