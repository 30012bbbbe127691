"""Halted shops, and jobs that may kill their process, in the consumer that both brokers share."""

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from tests.services.wait import wait_until
from tests.unit.making import NOON, make_job
from tests.unit.scheduling.test_loop import Bench
from worker.instants import SECOND
from worker.model.job import Job
from worker.model.verdicts import Halted, Refused, Retry, Unknown, Verdict
from worker.scheduling.admission import ALONE_FROM
from worker.scheduling.breaker import FIRST_CLOSURE
from worker.scheduling.delivery import Delivery
from worker.scheduling.loop import HOUSEKEEPING
from worker.scheduling.token_probe import GRACE
from worker.shops.config import ShopConfig
from worker.store.timing import LEASE_MARGIN

BAD_TOKEN = Halted(401, "invalid_token", None, every_shop=False)
OBSOLETE = Halted(400, "obsolete_global_api_version", None, every_shop=True)
A_PAGE = Refused(404, "http_404")


class Asked(Bench):
    """A consumer whose questions about a token are answered by the test, from another thread as in earnest."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.answers: SimpleQueue[Verdict | None] = SimpleQueue()
        self.context.status = self.status
        self.start()

    def status(self, shop: ShopConfig) -> Verdict | None:
        self.asked.append(shop.slug)
        return self.answers.get()

    def halt(self, verdict: Halted = BAD_TOKEN) -> None:
        """Have a job of acme answered like this; it stays the shop's first."""
        self.return_job(self.take(), verdict)

    def refuse(self, job: Job) -> Delivery:
        """Have the job that goes next, which is to be this one, answered by a page."""
        delivery = self.take()
        assert delivery.job == job
        self.return_job(delivery, A_PAGE)
        return delivery

    def pass_by(self, microseconds: int) -> None:
        """Let that time pass without a job that may go."""
        until = self.clock.now() + microseconds
        while self.clock.now() < until:
            self.consumer.housekeep(self.clock.now())
            assert self.consumer.gate.next(self.clock.now()) is None
            self.clock.set(min(until, self.clock.now() + HOUSEKEEPING))
        self.consumer.housekeep(self.clock.now())

    def expect(self, questions: int) -> None:
        """So many have been asked by now; the thread may take a moment."""
        wait_until(lambda: len(self.asked) >= questions, 10, "a question")
        assert len(self.asked) == questions

    def answer(self, verdict: Verdict | None) -> None:
        """Answer the question that is under way, and let the consumer take it up."""
        self.answers.put(verdict)
        wait_until(lambda: self.consumer.has_news, 10, "a finding")
        self.consumer.take_reports()


@pytest.fixture
def bench() -> Iterator[Asked]:
    """A consumer with a job of acme in hand."""
    made = Asked()
    made.offer(make_job())
    yield made
    made.consumer.close()


def test_whoever_asks_ends_with_the_consumer(bench: Asked) -> None:
    """Closed, no thread is left that would ask about a halted shop."""
    bench.halt()
    bench.pass_by(FIRST_CLOSURE)
    bench.answer(BAD_TOKEN)
    (asking,) = [thread for thread in threading.enumerate() if thread.name == "prober"]
    bench.consumer.breakers.close()
    asking.join(10)
    assert not asking.is_alive()


def test_a_bad_token_costs_no_further_call(bench: Asked) -> None:
    """While Status2 refuses the token no job is tried, and the pauses between the questions grow."""
    bench.halt()
    pause = FIRST_CLOSURE
    for number in range(1, 9):
        bench.pass_by(pause - 1)
        assert len(bench.asked) == number - 1
        bench.pass_by(1)
        bench.expect(number)
        bench.answer(BAD_TOKEN)
        pause = min(pause * 2, 300 * SECOND)
    assert bench.consumer.gate.waiting("acme") == 1


@pytest.mark.parametrize("answer", [None, A_PAGE, Unknown(200, "unreadable_answer"), Retry(503, "http_503")])
def test_then_one_job_probes(bench: Asked, answer: Verdict | None) -> None:
    """Once Status2 takes the token, or where it tells nothing, one real job goes; its good answer opens the shop."""
    bench.offer(make_job(2))
    bench.halt()
    bench.pass_by(FIRST_CLOSURE)
    bench.answer(answer)
    probe = bench.take()
    assert probe.probing
    assert bench.consumer.gate.next(bench.clock.now()) is None
    bench.finish(probe)
    assert not bench.take().probing


def test_three_jobs_are_tried_while_the_token_is_taken(bench: Asked) -> None:
    """A shop that a page closed tries three other jobs once Status2 takes its token, else one."""
    bench.offer(*(make_job(number) for number in range(2, 9)))
    bench.refuse(make_job(1))
    bench.pass_by(FIRST_CLOSURE)
    bench.answer(None)
    for number in (8, 7, 6):
        bench.refuse(make_job(number))
    bench.pass_by(2 * FIRST_CLOSURE)
    bench.answer(A_PAGE)
    bench.refuse(make_job(5))
    bench.pass_by(4 * FIRST_CLOSURE)
    bench.expect(3)
    bench.answers.put(None)


def test_the_only_job_ends_after_a_few_probes(bench: Asked) -> None:
    """A job that has no other beside it is given up once Status2 has taken the token before each of a few calls; a
    Status2 that tells nothing gives up none."""
    job = make_job()
    for answer in (A_PAGE, None, A_PAGE, None, None):
        delivery = bench.refuse(job)
        assert not delivery.ends_if_refused
        bench.consumer.gate.offer(delivery)
        if bench.consumer.gate.reasons("acme") == {}:
            bench.consumer.gate.offer(bench.refuse(job))
        bench.pass_by(bench.consumer.gate.shop("acme").closed_until() - GRACE - bench.clock.now())
        bench.answer(answer)
    assert bench.take().ends_if_refused


def test_a_slow_status_holds_nobody_for_ever(bench: Asked) -> None:
    """A question that gets no answer within the longest call leaves the shop to a real job."""
    bench.halt()
    bench.pass_by(FIRST_CLOSURE + bench.context.longest_call + GRACE)
    assert bench.take().probing
    bench.expect(1)
    bench.answers.put(None)


def test_an_answer_that_comes_too_late(bench: Asked) -> None:
    """What was found out about a shop that is open again, or halted anew, changes nothing."""
    bench.halt()
    bench.pass_by(FIRST_CLOSURE)
    bench.consumer.breakers.start_anew("acme")
    bench.answer(BAD_TOKEN)
    assert bench.consumer.gate.reasons("acme") == {}
    bench.finish(bench.take())


def test_one_question_for_all_shops(bench: Asked) -> None:
    """Where every shop is halted one answer stands for all: a thousand shops don't ask a thousand times."""
    bench.halt(OBSOLETE)
    bench.pass_by(FIRST_CLOSURE)
    bench.answer(OBSOLETE)
    assert len(bench.asked) == 1
    bench.pass_by(2 * FIRST_CLOSURE - 1)
    assert len(bench.asked) == 1
    bench.pass_by(1)
    bench.answer(None)
    bench.expect(3)
    assert sorted(bench.asked[1:]) == ["acme", "zeta"]
    bench.answer(None)
    assert bench.take().probing


def test_a_status_that_breaks(bench: Asked) -> None:
    """An error of our own in asking leaves the shop to a real job, and the next one is asked about all the same."""

    def broken(shop: ShopConfig) -> Verdict | None:
        bench.asked.append(shop.slug)
        raise ZeroDivisionError

    bench.context.status = broken
    bench.start()
    bench.offer(make_job())
    bench.halt()
    for number in (1, 2):
        bench.pass_by(FIRST_CLOSURE * number)
        wait_until(lambda: bench.consumer.has_news, 10, "a finding")
        bench.halt()
        assert len(bench.asked) == number


def test_a_suspect_runs_alone() -> None:
    """From the second takeover on a job waits until the process makes no other call, and no other starts beside it."""
    bench = Bench()
    suspect = make_job()
    shop = bench.context.shops.get("acme")
    assert shop is not None
    for _ in range(ALONE_FROM):
        bench.store.admit(bench.consumer.request_for(suspect, shop))
        bench.clock.advance(bench.context.longest_call + LEASE_MARGIN + SECOND)
    others = [make_job(2, shop="zeta"), make_job(3, shop="zeta"), make_job(4)]
    bench.offer(others[0], suspect, *others[1:])
    first = [bench.take() for _ in range(1)]
    while (delivery := next(bench.consumer)) is not None:
        first.append(delivery)
    assert suspect not in [delivery.job for delivery in first]
    for delivery in first:
        bench.finish(delivery)
    alone = bench.take()
    assert alone.job is suspect
    assert alone.grant is not None
    assert (alone.grant.takeovers, alone.grant.attempts) == (ALONE_FROM, ALONE_FROM + 1)
    bench.offer(make_job(5), make_job(6, shop="zeta"))
    assert next(bench.consumer) is None
    bench.finish(alone)
    assert {bench.take().job.line, bench.take().job.line} >= {5, 6} - {4}


def test_one_takeover_is_no_suspicion() -> None:
    """A job that was taken over once, as after any restart, runs beside the others."""
    bench = Bench()
    job = make_job()
    shop = bench.context.shops.get("acme")
    assert shop is not None
    bench.store.admit(bench.consumer.request_for(job, shop))
    bench.clock.set(NOON + bench.context.longest_call + LEASE_MARGIN + SECOND)
    bench.offer(job, make_job(2))
    assert {bench.take().job.line, bench.take().job.line} == {1, 2}
