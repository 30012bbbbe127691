"""Jobs that a page answers, over RabbitMQ: out of the others' way, known to whichever worker meets them next."""

import json

import pytest

from tests.integration.rabbitmq.bench import (
    SENT,
    Bench,
    FakeRefer2,
    declare,
    message_of,
    new_job,
    new_shop,
)
from tests.integration.rabbitmq.tap import Tap, limit
from tests.services import RabbitMQ, Vhost
from worker.clock import SystemClock
from worker.instants import SECOND
from worker.model.job import Job
from worker.model.verdicts import Refused, Verdict
from worker.rabbitmq.topology import DEAD, JOBS, RESULTS, RETURN

A_PAGE = Refused(403, "http_403")
REFUSED = 20
"""More than the prefetch holds."""

GOOD = 40


@pytest.fixture(autouse=True)
def _declared(vhost: Vhost) -> None:
    declare(vhost, ["acme"])


def refuses(*jobs: Job) -> FakeRefer2:
    """Answers these jobs by a page, and all others well."""
    ids = {job.job_id for job in jobs}

    def answer(job: Job) -> Verdict:
        return A_PAGE if job.job_id in ids else SENT

    return FakeRefer2(answer)


def test_more_refused_jobs_than_the_prefetch(rabbitmq: RabbitMQ, vhost: Vhost, tap: Tap) -> None:
    """Refused jobs at the head of the queue, more than a worker takes at once, leave the way to those behind them, and
    fail once these were answered."""
    # RabbitMQ takes the shorter one, so that nobody waits for ten seconds.
    limit(rabbitmq, vhost, "referrals.delay.15", **{"message-ttl": 500})
    bad, good = [new_job(number) for number in range(REFUSED)], [new_job(100 + number) for number in range(GOOD)]
    for job in (*bad, *good):
        tap.put(JOBS, "acme", message_of(job))
    refer = refuses(*bad)
    with Bench(vhost, [new_shop()], refer, status=lambda _shop: None):
        results = [json.loads(letter.body) for letter in tap.take(RESULTS, REFUSED + GOOD, 60)]
    ended = {result["job_id"]: (result["outcome"], result["code"], result["attempts"]) for result in results}
    assert ended == dict.fromkeys((job.job_id for job in good), ("sent", None, 1)) | dict.fromkeys(
        (job.job_id for job in bad), ("failed", "http_403", 1)
    )
    assert tap.peek(DEAD) is None


def test_the_next_worker_knows_a_refused_job(vhost: Vhost, tap: Tap) -> None:
    """A refused job goes back to its shop by a delay queue, its body untouched and with what its calls have met; a
    worker that never saw it ends it by the one call that was left to tell."""
    job = new_job(1)
    with Bench(vhost, [new_shop()], refuses(job)):
        tap.put(JOBS, "acme", message_of(new_job(2)))
        tap.take(RESULTS, 1, 10)
        tap.put(JOBS, "acme", message_of(job), headers={"x-mine": "kept"})
        (letter,) = tap.take("referrals.delay.15", 1, 10)
    assert letter.body == message_of(job)
    assert letter.headers.keys() == {"x-mine", "x-referral-trouble"}
    since, refusals, token_taken = map(int, letter.headers["x-referral-trouble"].split())
    assert (refusals, token_taken) == (1, 0)
    assert 0 <= SystemClock().now() - since < 60 * SECOND

    refer = refuses(job)
    with Bench(vhost, [new_shop()], refer):
        tap.put(JOBS, "acme", message_of(new_job(3)))
        tap.take(RESULTS, 1, 10)
        tap.put(RETURN, "acme", message_of(job), headers={"x-referral-trouble": f"{since} 2 0"})
        (result,) = tap.take(RESULTS, 1, 10)
    assert json.loads(result.body)["outcome"] == "failed"
    assert refer.per_job()[job.job_id] == 1


@pytest.mark.parametrize("exchange", [JOBS, RETURN])
def test_a_header_that_no_worker_wrote(vhost: Vhost, tap: Tap, exchange: str) -> None:
    """A note about a job's refusals that can't be read, or that its producer wrote, counts as none."""
    refer, told = FakeRefer2(), ["x", "1 2", 7, b"\xff", "9" * 500, None, {"a": 1}]
    for number, words in enumerate(told):
        tap.put(exchange, "acme", message_of(new_job(number)), headers={"x-referral-trouble": words})
    with Bench(vhost, [new_shop()], refer):
        results = tap.take(RESULTS, len(told), 20)
    assert {json.loads(letter.body)["outcome"] for letter in results} == {"sent"}
    assert tap.peek(DEAD) is None


def test_a_producer_does_not_end_its_jobs(vhost: Vhost, tap: Tap) -> None:
    """A job that comes from its producer has met nothing yet, whatever its headers say: refused, it is put aside."""
    job = new_job(1)
    words = f"{SystemClock().now() - SECOND} 2 2"
    with Bench(vhost, [new_shop()], refuses(job)):
        tap.put(JOBS, "acme", message_of(new_job(2)))
        tap.take(RESULTS, 1, 10)
        tap.put(JOBS, "acme", message_of(job), headers={"x-referral-trouble": words})
        (letter,) = tap.take("referrals.delay.15", 1, 10)
    assert letter.headers["x-referral-trouble"].split()[1:] == ["1", "0"]
