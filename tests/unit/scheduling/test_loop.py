"""The gate in front of Dramatiq's worker threads: what becomes of a job for each disposition and each answer."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.origins import KIM
from tests.unit.making import NOON, make_job, make_request, make_shop
from worker.clock import ManualClock
from worker.errors import DamagedOrdersError, DeadLetterError, StoreError
from worker.instants import SECOND, to_datetime
from worker.limits.adaptive import RECOVERY
from worker.model.controls import EVERY_SHOP, Controls
from worker.model.dispositions import Disposition, Fenced, Finish, Later, Return
from worker.model.job import Customer, Job
from worker.model.lanes import Lane
from worker.model.orders import Origin
from worker.model.outcomes import Outcome
from worker.model.suppression import AddressKey, Suppression
from worker.model.verdicts import Halted, Refused, Rejected, Retry, Sent, Throttled, Verdict
from worker.scheduling.admission import CRASH_LOOP
from worker.scheduling.breaker import FAILURES_IN_A_ROW, FIRST_CLOSURE, UNLISTED_IN_A_ROW, BreakerOpen
from worker.scheduling.context import Context
from worker.scheduling.delivery import Delivery
from worker.scheduling.gate import EXTRA_GRANTS, FOREVER
from worker.scheduling.loop import DRAIN, HOUSEKEEPING, GatedConsumer
from worker.scheduling.outcomes import REFUSED_DELAY
from worker.scheduling.port import Intake
from worker.scheduling.set_aside import LONGEST_ASIDE, MAX_ASIDE_PER_CUSTOMER
from worker.shops.config import ShopConfig
from worker.shops.credentials import ReadyToken
from worker.shops.registry import ShopRegistry
from worker.store.braking import Braking
from worker.store.memory.ledger import Started
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, Reply, Wait
from worker.store.shop_state import Closure
from worker.store.timing import GRANT_LIFETIME, HORIZON, LEASE_MARGIN
from worker.telemetry.metrics.process import Metrics

SENT = Sent(200, None, {}, None)
BODY = (
    '{"job_id":"a163cc80b8c85552cf445c4a9637b26a","campaign":"spring","shop":"acme","channel":"whatsapp",'
    '"outcome":"sent","code":null,"share_action":{"do":"it"},"attempts":1,"finished_at":"2026-11-02T12:00:00Z"}'
)
TIMEOUT = 5
THREADS = 4


Answers = list[tuple[Callable[[list[Reply] | StoreError], None], list[Reply] | StoreError]]
"""Whom to tell, and what, in the order of the questions."""


class BreakableStore(MemoryStore):
    """A memory store that can go out of reach, and whose answers can be kept on their way."""

    down = False
    answers: Answers | None = None
    unwatchable = False
    damaged = False
    silent = False
    watches: list[tuple[int, Callable[[], None]]] | None = None
    hold: list[Callable[[], None]] | None = None

    def watch(self, known: int, reply: Callable[[Controls | StoreError | None], None]) -> None:
        if self.unwatchable:
            reply(StoreError("out of reach"))
        elif self.damaged:
            reply(DamagedOrdersError(["rd:controls"]))
        elif self.watches is not None:
            self.watches.append((known, lambda: super(BreakableStore, self).watch(known, reply)))
        elif not self.silent:
            super().watch(known, reply)

    def submit(
        self,
        requests: Sequence[AdmitRequest],
        reply: Callable[[list[Reply] | StoreError], None],
        *,
        turn: bool,
        holds: int,
    ) -> None:
        if self.down:
            reply(StoreError("out of reach"))
        elif self.hold is not None:
            self.hold.append(lambda: super(BreakableStore, self).submit(requests, reply, turn=turn, holds=holds))
        elif (answers := self.answers) is not None:
            super().submit(requests, lambda replies: answers.append((reply, replies)), turn=turn, holds=holds)
        else:
            super().submit(requests, reply, turn=turn, holds=holds)

    def release(self, request: AdmitRequest, epoch: int, *, called: bool, verified: bool = False) -> None:
        self.check()
        super().release(request, epoch, called=called, verified=verified)

    def settle(
        self,
        request: AdmitRequest,
        epoch: int,
        outcome: Outcome,
        code: str | None = None,
        *,
        braking: Braking | None = None,
    ) -> None:
        # As every store: it never raises, and what is not settled stays answered.
        if not self.down:
            super().settle(request, epoch, outcome, code, braking=braking)

    def lose_lists(self) -> None:
        """Be another store, whose orders are of the same version by chance."""
        self._controls = replace(self._controls, suppression=Suppression())
        self.generation += 1

    def check(self) -> None:
        if self.down:
            raise StoreError("out of reach")


class BenchPort:
    """A port and an observer that note what they hear, and on which waiting moves the clock."""

    def __init__(self, clock: ManualClock) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.moved: list[Delivery] = []
        self.waits: list[int] = []
        self.while_waiting: Callable[[], None] = lambda: None
        self.wakes = 0
        self.fails = False
        self.unconfirmed = 0
        self.disconnected: str | None = None
        self.intake: Intake[Delivery] | None = None
        self._clock = clock

    def connect(self, intake: Intake[Delivery]) -> "BenchPort":
        """Be the port of this loop."""
        self.intake = intake
        return self

    def events(self, *names: str) -> list[tuple[Any, ...]]:
        return [event for event in self.done if event[0] in names]

    def poll(self, until: int) -> None:
        assert until > self._clock.now(), "waiting for what has passed is spinning"
        self.waits.append(until)
        self.while_waiting()
        self._clock.set(until)

    def wake(self) -> None:
        self.wakes += 1

    def housekeep(self, now: int) -> None:
        pass

    def ack(self, delivery: Delivery) -> None:
        self.done.append(("ack", delivery.job))

    def requeue(self, delivery: Delivery) -> None:
        self.done.append(("requeue", delivery.job))

    def publish_result(self, delivery: Delivery, finish: Finish) -> None:
        self.done.append(("publish", delivery.job, finish))
        assert self.intake is not None
        self.intake.settle(delivery, finish)
        self.ack(delivery)

    def publish_delayed(self, delivery: Delivery, until: int) -> None:
        self.done.append(("delayed", delivery.job, until, delivery.request.place_in_line))

    def move(self, delivery: Delivery, lane: Lane, until: int) -> None:
        self.done.append(("moved", delivery.job, lane, until))
        self.moved.append(delivery)

    def dead_letter(self, delivery: Delivery, error: DeadLetterError) -> None:
        self.done.append(("dead_letter", delivery.job, error.reason))

    def failed(self, error: Exception) -> None:
        if not self.fails:
            raise error
        self.done.append(("failed", type(error).__name__))

    def close(self) -> None:
        self.done.append(("closed",))

    def granted(self, delivery: Delivery, grant: Grant) -> None:
        self.done.append(("granted", delivery.job, grant.epoch))

    def released(self, delivery: Delivery, grant: Grant, *, called: bool) -> None:
        self.done.append(("released", delivery.job, grant.epoch, called))

    def repeated(self, delivery: Delivery, grant: Grant, later: Later) -> None:
        self.done.append(("repeated", delivery.job, grant.epoch, later.not_before))

    def shops_closed(self, shops: Sequence[str], opening: BreakerOpen) -> None:
        self.done.append(("shops_closed", *shops, opening.cause))


class Bench:
    """A consumer with all that it works with."""

    def __init__(self, registry: ShopRegistry | None = None, **table: Any) -> None:
        self.clock = ManualClock(NOON)
        self.store = BreakableStore(self.clock)
        self.counted = CollectorRegistry()
        self.context = Context(
            store=self.store,
            shops=registry or ShopRegistry.of(make_shop("acme", **table), make_shop("zeta", **table)),
            clock=self.clock,
            metrics=Metrics(self.counted),
            threads=THREADS,
            prefetch=16,
            longest_call=20 * SECOND,
        )
        self.start()

    def start(self) -> None:
        """Make the consumer, or another one in its place."""
        self.port = BenchPort(self.clock)
        self.consumer: GatedConsumer[Delivery] = GatedConsumer(
            self.context, self.port.connect, timeout=TIMEOUT * 1000, observer=self.port
        )

    def offer(self, *jobs: Job, arrived_at: int = 0, lane: Lane = "bulk") -> None:
        """Have these jobs delivered."""
        for job in jobs:
            shop = self.context.shops.get(job.shop)
            assert shop is not None
            delivery = Delivery(job, self.consumer.request_for(job, shop))
            delivery.arrived_at, delivery.lane = arrived_at, lane
            self.consumer.gate.offer(delivery)

    def take(self) -> Delivery:
        """What a worker thread gets next."""
        delivery = next(self.consumer)
        assert delivery is not None
        assert delivery.grant is not None
        return delivery

    def report(self, delivery: Delivery, disposition: Disposition | None) -> None:
        """What a worker thread does at the end, and the loop next."""
        delivery.disposition = disposition
        self.consumer.ack(delivery)
        self.consumer.take_reports()

    def finish(self, delivery: Delivery, verdict: Verdict = SENT) -> Finish:
        """Report the job as done, recorded as the dispatcher does it."""
        assert delivery.grant is not None
        assert self.store.answer(delivery.request, delivery.grant.epoch, BODY)
        finish = Finish(delivery.grant.epoch, BODY, "sent", None, has_share_action=True, verdict=verdict)
        self.report(delivery, finish)
        return finish

    def return_job(self, delivery: Delivery, verdict: Verdict) -> None:
        """Report the job as returned after a call, released as the dispatcher does it."""
        assert delivery.grant is not None
        self.store.release(delivery.request, delivery.grant.epoch, called=True)
        self.report(delivery, Return(delivery.grant.epoch, verdict=verdict))

    def count(self, name: str) -> float | None:
        return self.counted.get_sample_value(name, {"shop": "acme"})


@pytest.fixture
def bench() -> Bench:
    """Two shops without limits worth mentioning."""
    return Bench()


def test_idle(bench: Bench) -> None:
    """With nothing to do it sleeps from one look at the shops file to the next, and gives up at its time-out."""
    assert next(bench.consumer) is None
    assert bench.port.waits == [NOON + SECOND * number for number in range(1, TIMEOUT + 1)]


def test_granted(bench: Bench) -> None:
    """A job that may go is handed out at once, with its grant."""
    job = make_job()
    bench.offer(job)
    delivery = bench.take()
    assert (delivery.job, delivery.message_id, delivery.kwargs) == (job, job.job_id, {"job": job})
    assert delivery.grant == Grant(1, NOON, NOON + GRANT_LIFETIME, 1, 0)
    assert bench.port.done == [("granted", job, 1)]
    assert bench.port.waits == []


def test_no_more_than_the_threads_need(bench: Bench) -> None:
    """Jobs beyond the free threads aren't granted; a report makes room and wakes the consumer."""
    bench.offer(*(make_job(number) for number in range(10)))
    deliveries = [bench.take() for _ in range(THREADS + EXTRA_GRANTS)]
    assert next(bench.consumer) is None
    bench.finish(deliveries[0])
    assert bench.port.wakes == 1
    assert bench.take().job == make_job(THREADS + EXTRA_GRANTS)


def test_one_question_about_a_shop_at_a_time(bench: Bench) -> None:
    """A second one on its way would be turned away like the first, and its turn lost; other shops' jobs may ask."""
    held: list[Callable[[], None]] = []
    bench.store.hold = held
    for number, questions in ((1, 1), (2, 1), (3, 1)):
        bench.offer(make_job(number))
        assert next(bench.consumer) is None
        assert len(held) == questions
    bench.offer(make_job(4, shop="zeta"), make_job(5, not_after=to_datetime(NOON)))
    assert next(bench.consumer) is None
    assert len(held) == 3
    for answer in held:
        answer()
    bench.store.hold = None
    assert {bench.take().job for _ in range(5)} == {
        *(make_job(number) for number in (1, 2, 3)),
        make_job(4, shop="zeta"),
        make_job(5, not_after=to_datetime(NOON)),
    }


def test_a_question_that_fails_is_over(bench: Bench) -> None:
    """After the store was out of reach the shop is asked about again."""
    bench.store.down = True
    bench.offer(make_job(1))
    assert next(bench.consumer) is None
    bench.store.down = False
    assert bench.take().job == make_job(1)


def ask_for_a_day_of_one_call(bench: Bench) -> Answers:
    """Have two jobs of a campaign ask: the first is granted the only call, the second none."""
    answers: Answers = []
    bench.store.pace_campaign("spring", "acme", 0, 1, KIM)
    bench.store.answers = answers
    bench.offer(make_job(1))
    assert next(bench.consumer) is None
    bench.offer(make_job(2), lane="urgent")
    assert next(bench.consumer) is None
    bench.store.answers = None
    return answers


def test_a_day_s_last_call_that_is_heard_of_late(bench: Bench) -> None:
    """It is made, although another job of the campaign has heard before that there is none left."""
    (hear, granted), (hear_of_another, refused) = ask_for_a_day_of_one_call(bench)
    hear_of_another(refused)
    hear(granted)
    assert bench.take().job == make_job(1)
    assert next(bench.consumer) is None
    assert [event[1] for event in bench.port.events("moved")] == [make_job(2)]


def test_a_day_s_last_call_whose_answer_is_lost(bench: Bench) -> None:
    """The job asks again and does not go where those wait that have none: nobody else would have its call."""
    (hear, _), (hear_of_another, refused) = ask_for_a_day_of_one_call(bench)
    hear(StoreError("no answer"))
    hear_of_another(refused)
    asked_again: Answers = []
    bench.store.answers = asked_again
    assert next(bench.consumer) is None
    assert len(asked_again) == 1
    assert [event[1] for event in bench.port.events("moved")] == [make_job(2)]


def test_what_a_store_granted_that_may_have_lost_its_lists(bench: Bench) -> None:
    """It is called once the journal is known, by another grant; jobs that end without a call go on."""
    jobs = [make_job(number) for number in range(3)]
    expired = [make_job(number, not_after=to_datetime(NOON - SECOND)) for number in (8, 9)]
    bench.offer(*jobs, *expired)
    first = bench.take().job
    assert first in expired
    bench.store.generation = 1
    assert {first, bench.take().job} == {*expired}
    assert next(bench.consumer) is None
    assert len(bench.port.events("released")) == len(jobs)
    assert bench.consumer.suppression.doubted == 1
    bench.consumer.suppression.journal_has(0, 1)
    assert {bench.take().job for _ in jobs} == {*jobs}


def test_what_such_a_store_grants_to_an_earlier_question(bench: Bench) -> None:
    """The reply comes while the journal is being asked: nobody is called by it."""
    held: list[Callable[[], None]] = []
    bench.store.hold = held
    bench.offer(make_job())
    assert next(bench.consumer) is None
    bench.store.generation = 1
    assert next(bench.consumer) is None
    held.pop()()
    assert next(bench.consumer) is None
    assert len(bench.port.events("granted", "released")) == 1
    bench.store.hold = None
    bench.consumer.suppression.journal_has(0, 1)
    assert bench.take().job == make_job()


def test_what_a_store_grants_that_has_lost_its_lists(bench: Bench) -> None:
    """Nobody is called by what was heard of the lists before, though the journal has no more than that."""
    bench.context = replace(bench.context, address_key=AddressKey(b"k" * 32))
    bench.start()
    bench.store.suppress("acme", [AddressKey(b"k" * 32).hashed("ann@example.com")], 1)
    bench.store.pause("zeta", KIM)
    assert next(bench.consumer) is None
    guard = bench.consumer.suppression
    guard.journal_has(1)
    assert guard.problem is None
    bench.store.lose_lists()
    bench.offer(make_job())
    bench.store.watches = []
    assert bench.consumer.next_granted(bench.clock.now()) is None
    guard.journal_has(1, 1)
    assert bench.consumer.next_granted(bench.clock.now()) is None
    (_, answer) = bench.store.watches.pop()
    answer()
    assert bench.consumer.next_granted(bench.clock.now()) is None
    assert (str(guard.problem), bench.port.events("granted")) == ("lost", [])


def test_what_the_store_has_is_asked_for_at_once_after_a_doubt(bench: Bench) -> None:
    """An answer that was on its way when it began doesn't count: another question follows it."""
    assert next(bench.consumer) is None
    bench.offer(make_job())
    asked = bench.store.watches = []
    bench.consumer.follow_orders(bench.clock.now())
    bench.store.generation = 1
    assert bench.consumer.next_granted(bench.clock.now()) is None
    bench.consumer.suppression.journal_has(0, 1)
    ((known, answer),) = asked
    assert known == bench.store.controls().version
    asked.clear()
    answer()
    assert bench.consumer.next_granted(bench.clock.now()) is None
    ((known, answer),) = asked
    assert known == -1
    answer()
    delivery = bench.consumer.next_granted(bench.clock.now())
    assert delivery is not None
    assert delivery.job == make_job()


def test_finish(bench: Bench) -> None:
    """A final result is published, then settled, then acknowledged."""
    bench.offer(make_job())
    delivery = bench.take()
    finish = bench.finish(delivery)
    assert bench.port.done[1:] == [("publish", make_job(), finish), ("ack", make_job())]
    assert bench.store.admit(delivery.request) == AlreadyAnswered(0, None)
    assert bench.consumer.gate.in_flight == 0


def test_settling_fails(bench: Bench) -> None:
    """A store that is out of reach when the result is safe keeps nobody from acknowledging."""
    bench.offer(make_job())
    delivery = bench.take()
    assert delivery.grant is not None
    bench.store.answer(delivery.request, delivery.grant.epoch, BODY)
    bench.store.down = True
    bench.report(delivery, Finish.recorded(delivery.grant.epoch, BODY))
    assert bench.port.done[-1] == ("ack", make_job())
    bench.store.down = False
    assert bench.store.admit(delivery.request) == AlreadyAnswered(delivery.grant.epoch, BODY)


def test_later(bench: Bench) -> None:
    """A job to be repeated goes where it waits, and its place is free."""
    bench.offer(make_job())
    delivery = bench.take()
    bench.report(delivery, Later(1, NOON + 7, Retry(503, "http_503")))
    assert bench.port.done[1:] == [
        ("repeated", make_job(), 1, NOON + 7),
        ("delayed", make_job(), NOON + 7, None),
    ]
    assert (bench.consumer.gate.in_flight, bench.consumer.gate.waiting("acme")) == (0, 0)


def test_expired_jobs_ask_for_nothing(bench: Bench) -> None:
    """A job past its deadline needs no token: a campaign that is over doesn't hold up the next one."""
    bench = Bench(per_second=1.0, burst=1)
    late = [make_job(number, not_after=to_datetime(NOON - 1)) for number in range(3)]
    bench.offer(*late, make_job(7, not_after=to_datetime(NOON + SECOND)))
    taken = [bench.take() for _ in range(4)]
    assert [delivery.request.uncalled for delivery in taken] == ["expired", "expired", "expired", None]
    assert bench.clock.now() == NOON


def test_a_throttled_shop_takes_its_grants_back() -> None:
    """What was granted ahead for a shop that is throttled now is undone: it would be refused too."""
    bench = Bench(per_second=1000.0, burst=1)
    bench.store = BreakableStore(bench.clock, horizon=HORIZON)
    bench.context.store = bench.store
    bench.offer(*(make_job(number) for number in range(4)))
    delivery = bench.take()
    assert delivery.grant is not None
    granted = len(bench.port.events("granted"))
    assert granted > 1
    bench.store.release(delivery.request, delivery.grant.epoch, called=True)
    throttled = Throttled(429, "rate_limit_exceeded", "shop", SECOND)
    bench.report(delivery, Return(delivery.grant.epoch, "shop", NOON + SECOND, throttled))
    assert len(bench.port.events("released")) == granted
    assert bench.consumer.gate.waiting("acme") == 4


def test_probes_are_told(bench: Bench) -> None:
    """A call that finds out whether a failing upstream works again knows that it does."""
    bench.offer(*(make_job(number) for number in range(FAILURES_IN_A_ROW + 2)))
    for _ in range(FAILURES_IN_A_ROW):
        delivery = bench.take()
        assert not delivery.probing
        assert delivery.grant is not None
        bench.report(delivery, Later(delivery.grant.epoch, NOON, Retry(503, "http_503")))
    bench.clock.advance(FIRST_CLOSURE)
    assert bench.take().probing


def test_the_pace_in_force_is_shown(bench: Bench) -> None:
    """A shop that had to slow down shows by how much, and its climb back while nobody asks."""
    bench = Bench(per_second=10.0, burst=1)
    labels = {"shop": "acme"}
    name = "referral_effective_rate_calls_per_second"
    bench.consumer.housekeep(bench.clock.now())
    assert bench.counted.get_sample_value(name, labels) == 10
    bench.offer(make_job(1), make_job(2), make_job(3))
    delivery = bench.take()
    bench.store.slow_down(delivery.request, NOON)
    bench.take()
    bench.take()
    assert bench.counted.get_sample_value(name, labels) == pytest.approx(8, abs=0.1)
    bench.clock.advance(RECOVERY // 20)
    bench.consumer.housekeep(bench.clock.now())
    assert bench.counted.get_sample_value(name, labels) == pytest.approx(8.5, abs=0.1)
    bench.clock.advance(RECOVERY)
    bench.consumer.housekeep(bench.clock.now())
    assert bench.counted.get_sample_value(name, labels) == 10
    assert bench.counted.get_sample_value("referral_rate_calls_per_second", labels) == 10


def test_closures_are_noted_in_the_store(bench: Bench) -> None:
    """A closure is in the store for everybody to see, until the shop answers again."""
    bench.offer(make_job(1), make_job(2))
    delivery = bench.take()
    assert delivery.grant is not None
    halted = Halted(401, "invalid_token", None, every_shop=False)
    bench.store.release(delivery.request, delivery.grant.epoch, called=True)
    bench.report(delivery, Return(delivery.grant.epoch, verdict=halted))
    limits = delivery.request.limits
    assert bench.store.inspect("acme", limits).closure == Closure("halted", "invalid_token", NOON + FIRST_CLOSURE)
    assert bench.store.inspect("zeta", limits).closure is None
    bench.clock.advance(FIRST_CLOSURE - 1)
    assert bench.store.inspect("acme", limits).closure is not None
    bench.clock.advance(1)
    probe = bench.take()
    assert probe.grant is not None
    bench.report(probe, Finish(probe.grant.epoch, BODY, "sent", None, has_share_action=True, verdict=SENT))
    assert bench.store.inspect("acme", limits).closure is None


def test_fenced(bench: Bench) -> None:
    """A job that another worker took over is requeued, and nothing is published about it."""
    bench.offer(make_job())
    bench.report(bench.take(), Fenced(SENT))
    assert bench.port.done[1:] == [("requeue", make_job())]
    assert bench.consumer.gate.in_flight == 0


@pytest.mark.parametrize("called", [True, False])
def test_returned(called: bool) -> None:
    """A job that was not done is the next of its shop."""
    bench = Bench(max_in_flight=1)
    bench.offer(make_job(1), make_job(2))
    delivery = bench.take()
    assert delivery.grant is not None
    bench.store.release(delivery.request, delivery.grant.epoch, called=called)
    verdict = Throttled(429, "rate_limit_exceeded", None, None) if called else None
    bench.report(delivery, Return(1, verdict=verdict))
    assert bench.port.events("released") == [("released", make_job(1), 1, called)]
    assert bench.take().job == make_job(1)


def test_customer_throttled(bench: Bench) -> None:
    """A throttled customer's job waits in memory until its time; the shop's other jobs go on meanwhile."""
    bench.offer(make_job(1), make_job(2))
    delivery = bench.take()
    assert delivery.grant is not None
    bench.store.release(delivery.request, delivery.grant.epoch, called=True)
    bench.report(delivery, Return(1, "customer", NOON + 2 * SECOND))
    assert bench.take().job == make_job(2)
    assert bench.clock.now() == NOON
    assert bench.take().job == make_job(1)
    assert bench.clock.now() == NOON + 2 * SECOND


def test_customer_throttled_for_long(bench: Bench) -> None:
    """A customer that is throttled for long has its job deferred, and that is counted."""
    bench.offer(make_job())
    until = NOON + LONGEST_ASIDE + 1
    bench.report(bench.take(), Return(1, "customer", until))
    assert bench.port.events("delayed") == [("delayed", make_job(), until, None)]
    assert bench.count("referral_deferrals_total") == 1


def test_shop_throttled(bench: Bench) -> None:
    """A throttled shop is closed until its time, and the other shops aren't."""
    bench.offer(make_job(1), make_job(2, shop="zeta"))
    delivery = bench.take()
    assert delivery.grant is not None
    bench.store.release(delivery.request, delivery.grant.epoch, called=True)
    bench.report(delivery, Return(1, "shop", NOON + 3 * SECOND))
    assert bench.consumer.gate.reasons("acme") == {"throttled": NOON + 3 * SECOND}
    assert bench.take().shop == "zeta"
    assert bench.take().shop == "acme"
    assert bench.clock.now() == NOON + 3 * SECOND


def test_no_disposition(bench: Bench) -> None:
    """An actor that raised has its job requeued, and the shop rests longer each time, up to a minute."""
    rests = []
    for number in range(8):
        bench.offer(make_job(number))
        delivery = bench.take()
        bench.consumer.nack(delivery)
        bench.consumer.take_reports()
        rests.append((bench.consumer.gate.reasons("acme")["backing_off"] - bench.clock.now()) // SECOND)
        bench.clock.set(bench.consumer.gate.shop("acme").closed_until())
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(bench.port.events("requeue")) == 8
    bench.offer(make_job(9))
    bench.finish(bench.take())
    bench.offer(make_job(10))
    bench.report(bench.take(), None)
    assert bench.consumer.gate.reasons("acme")["backing_off"] == bench.clock.now() + SECOND


def test_rate() -> None:
    """At its limit a shop is asked for again at the instant of its next token, and not once in between."""
    bench = Bench(per_second=4, burst=1)
    bench.offer(*(make_job(number) for number in range(4)))
    for number in range(4):
        bench.finish(bench.take())
        assert bench.clock.now() == NOON + number * SECOND // 4
    assert len(bench.port.waits) == 3


def test_day_quota() -> None:
    """A shop whose day is full costs nothing but the look at the shops file."""
    bench = Bench(per_day=1)
    bench.offer(make_job(1), make_job(2))
    bench.finish(bench.take())
    assert next(bench.consumer) is None
    assert bench.consumer.gate.reasons("acme") == {"day_quota": NOON + 12 * 3600 * SECOND}
    assert len(bench.port.waits) == TIMEOUT


def test_a_customer_s_wall() -> None:
    """Jobs of one busy customer wait in memory up to a few, the rest at their places in line; others go at once."""
    bench = Bench(customer_per_second=1)
    wall = [
        make_job(number, customer=Customer(shopid="wall"), reference=str(number), destination=f"{number}@example.com")
        for number in range(10)
    ]
    bench.offer(*wall, make_job(99))
    assert bench.take().job == wall[0]
    assert bench.take().job == make_job(99)
    places = [NOON + SECOND * number for number in range(1, 10)]
    deferred = list(zip(wall[1:], places, strict=True))[MAX_ASIDE_PER_CUSTOMER:]
    assert bench.port.events("delayed") == [("delayed", job, place, place) for job, place in deferred]
    assert bench.count("referral_deferrals_total") == len(deferred)
    for job, place in zip(wall[1 : 1 + MAX_ASIDE_PER_CUSTOMER], places, strict=False):
        delivery = bench.take()
        assert (delivery.job, bench.clock.now()) == (job, place)


def test_copies_of_a_job(bench: Bench) -> None:
    """A copy waits for the call under way, then is done with without a call of its own."""
    bench.offer(make_job(), make_job())
    delivery = bench.take()
    assert next(bench.consumer) is None
    lease = NOON + GRANT_LIFETIME + bench.context.longest_call + LEASE_MARGIN
    assert bench.port.events("delayed") == [("delayed", make_job(), lease, None)]
    bench.finish(delivery)
    bench.offer(make_job())
    assert next(bench.consumer) is None
    assert len(bench.port.events("granted")) == 1
    assert len(bench.port.events("ack")) == 2
    assert bench.counted.get_sample_value("referral_ledger_hits_total") == 1


def test_an_unpublished_result(bench: Bench) -> None:
    """A job whose result was recorded and not published is published without a call."""
    bench.offer(make_job())
    delivery = bench.take()
    assert delivery.grant is not None
    bench.store.answer(delivery.request, delivery.grant.epoch, BODY)
    bench.offer(make_job())
    assert next(bench.consumer) is None
    finish = Finish(delivery.grant.epoch, BODY, "sent", None, has_share_action=True)
    assert bench.port.events("publish") == [("publish", make_job(), finish)]
    assert bench.store.admit(delivery.request) == AlreadyAnswered(0, None)


@pytest.mark.parametrize("body", ["", "null", "[]", '{"outcome":"sent"}', "[" * 1000, BODY.replace("sent", "lost")])
def test_an_answer_that_is_none(bench: Bench, body: str) -> None:
    """What the store holds for a result and is none is published as nothing; the job is parked, and others go on."""
    bench.offer(make_job())
    delivery = bench.take()
    assert delivery.grant is not None
    bench.store.answer(delivery.request, delivery.grant.epoch, body)
    bench.offer(make_job(), make_job(2))
    assert bench.take().job == make_job(2)
    ((_, job, reason),) = bench.port.events("dead_letter")
    assert (job, reason) == (make_job(), "unreadable_result")
    assert bench.port.events("publish") == []


def test_orders_that_cant_be_read(bench: Bench) -> None:
    """The last ones that were read stay in force, and each ends jobs; it is said once, and readiness shows it."""
    bench.store.pause("zeta", KIM)
    bench.store.cancel("autumn", "acme", KIM)
    assert next(bench.consumer) is None
    bench.store.damaged = True
    with capture_logs() as logs:
        bench.clock.advance(2 * SECOND)
        bench.offer(make_job(1, shop="zeta"), make_job(2), arrived_at=bench.clock.now())
        bench.offer(make_job(3, campaign="autumn"), arrived_at=bench.clock.now())
        found = [bench.take() for _ in range(2)]
        assert next(bench.consumer) is None
    assert {(each.job.job_id, each.uncalled) for each in found} == {
        (make_job(2).job_id, False),
        (make_job(3, campaign="autumn").job_id, True),
    }
    assert [entry["event"] for entry in logs].count("orders_damaged") == 1
    assert bench.counted.get_sample_value("referral_ready", {"part": "store"}) == 0
    bench.store.damaged = False
    bench.store.resume("zeta", KIM)
    assert bench.take().job == make_job(1, shop="zeta")


def test_orders_that_cant_be_read_at_the_beginning(bench: Bench) -> None:
    """Nobody knows what is paused: no call starts, and it is said why."""
    bench.store.damaged = True
    with capture_logs() as logs:
        bench.start()
        bench.offer(make_job())
        assert next(bench.consumer) is None
    (said,) = (entry for entry in logs if entry["event"] == "store_down")
    assert said["reason"] == "damaged"
    assert "`referrals shops pause --all`" in said["problem"]
    # Nor whether it has the key of the suppression lists: a rollout must wait to know.
    assert bench.counted.get_sample_value("referral_unready", {"part": "suppression", "reason": "unknown"}) == 1
    bench.store.damaged = False
    assert bench.take().job == make_job()
    assert bench.counted.get_sample_value("referral_ready", {"part": "suppression"}) == 1


def test_store_down(bench: Bench) -> None:
    """While the store is out of reach nothing is granted or lost, and it is asked once a second."""
    bench.offer(make_job(1), make_job(2, shop="zeta"))
    bench.store.down = True
    assert next(bench.consumer) is None
    assert len(bench.port.waits) <= 2 * TIMEOUT
    assert (bench.consumer.gate.waiting("acme"), bench.consumer.gate.waiting("zeta")) == (1, 1)
    assert bench.port.done == []
    assert set(bench.consumer.gate.reasons("acme")) == {"store_down"}
    bench.store.down = False
    assert {bench.take().shop, bench.take().shop} == {"acme", "zeta"}


@pytest.mark.parametrize(("takeovers", "buried"), [(CRASH_LOOP - 1, False), (CRASH_LOOP, True)])
def test_crash_loop(bench: Bench, takeovers: int, buried: bool) -> None:
    """A job during whose calls five workers ended is parked; one fewer still is called."""
    lost = Started(epoch=0, lease=0, attempts=takeovers, takeovers=takeovers - 1)
    bench.store.load_record(make_job().job_id, lost)
    bench.offer(make_job())
    delivery = next(bench.consumer)
    assert (delivery is None) == buried
    assert bench.port.events("dead_letter") == ([("dead_letter", make_job(), "crash_loop")] if buried else [])
    assert bench.consumer.gate.in_flight == (0 if buried else 1)


BAD_TOKEN = Halted(401, "invalid_token", None, every_shop=False)
OLD_VERSION = Halted(400, "obsolete_global_api_version", None, every_shop=True)


def test_halted_shop(bench: Bench) -> None:
    """A shop with a bad token is closed, probed by one job at a time, and open again after a good answer."""
    consumer = bench.consumer
    bench.offer(*(make_job(number) for number in range(6)), make_job(9, shop="zeta"))
    bench.return_job(bench.take(), BAD_TOKEN)
    assert bench.port.events("shops_closed") == [("shops_closed", "acme", "halted")]
    assert consumer.gate.reasons("acme") == {"halted": NOON + FIRST_CLOSURE}
    assert bench.take().shop == "zeta"
    probe = bench.take()
    assert (probe.job, bench.clock.now()) == (make_job(5), NOON + FIRST_CLOSURE), (
        "another than the one that was refused"
    )
    assert next(consumer) is None
    bench.return_job(probe, BAD_TOKEN)
    assert consumer.gate.shop("acme").closed_until() == bench.clock.now() + 2 * FIRST_CLOSURE
    bench.clock.set(consumer.gate.shop("acme").closed_until())
    good = bench.take()
    assert good.job == make_job(4)
    bench.finish(good)
    assert consumer.gate.reasons("acme") == {}
    assert {bench.take().job.line for _ in range(5)} == {0, 1, 2, 3, 5}


@pytest.mark.parametrize("elsewhere", [{"base_url": "https://other.example"}, {"api_version": "v2024010"}])
def test_a_version_is_refused_where_it_is_called(elsewhere: dict[str, str]) -> None:
    """A version that is refused is so for the shops of that base URL and version, and for no other."""
    shops = [make_shop("acme"), make_shop("beta"), make_shop("zeta", **elsewhere)]
    bench = Bench(ShopRegistry.of(*shops))
    bench.offer(make_job(), make_job(shop="beta"), make_job(shop="zeta"))
    bench.return_job(bench.take(), OLD_VERSION)
    assert bench.port.events("shops_closed") == [("shops_closed", "acme", "beta", "halted")]
    assert [bool(bench.consumer.gate.reasons(shop.slug)) for shop in shops] == [True, True, False]
    assert bench.take().shop == "zeta"


def test_every_shop_halted(bench: Bench) -> None:
    """An answer that concerns every shop closes them all; each opens by its own good answer."""
    consumer = bench.consumer
    bench.offer(*(make_job(number, shop=shop) for number in range(3) for shop in ("acme", "zeta")))
    bench.return_job(bench.take(), OLD_VERSION)
    for shop in ("acme", "zeta"):
        assert consumer.gate.reasons(shop) == {"halted": NOON + FIRST_CLOSURE}
    probes = [bench.take(), bench.take()]
    assert {probe.shop for probe in probes} == {"acme", "zeta"}
    assert next(consumer) is None
    bench.finish(probes[0])
    assert [bench.take().shop for _ in range(2)] == [probes[0].shop] * 2
    assert next(consumer) is None


@pytest.mark.parametrize(
    ("verdict", "times", "cause"),
    [
        (Retry(503, "http_503"), FAILURES_IN_A_ROW, "breaker"),
        (Rejected(400, "campaign_over", None, listed=False), UNLISTED_IN_A_ROW, "unlisted_code"),
    ],
)
def test_breaker(bench: Bench, verdict: Verdict, times: int, cause: str) -> None:
    """As many bad answers in a row as the bound close the shop, whatever became of their jobs."""
    for number in range(times):
        assert bench.consumer.gate.reasons("acme") == {}
        bench.offer(make_job(number))
        bench.finish(bench.take(), verdict)
    assert set(bench.consumer.gate.reasons("acme")) == {cause}
    assert bench.consumer.gate.reasons("zeta") == {}


@pytest.mark.parametrize("down", [False, True])
def test_requeue(bench: Bench, down: bool) -> None:
    """A job that Dramatiq never started is requeued and its grant released, also when the store is out of reach."""
    bench.offer(make_job(1), make_job(2))
    deliveries = [bench.take(), bench.take()]
    bench.store.down = down
    bench.consumer.requeue(deliveries)
    assert bench.port.events("requeue") == [("requeue", make_job(1)), ("requeue", make_job(2))]
    assert bench.port.events("released") == [
        ("released", make_job(1), 1, False),
        ("released", make_job(2), 2, False),
    ]
    assert bench.consumer.gate.in_flight == 0
    bench.store.down = False
    reply = bench.store.admit(deliveries[0].request)
    assert isinstance(reply, Wait if down else Grant)


def test_stopping() -> None:
    """Once stopping, nothing is granted; reports are still taken up, and a shop's time that has come isn't spun on."""
    bench = Bench(per_second=100, burst=1)
    bench.offer(make_job(1), make_job(2))
    delivery = bench.take()
    assert bench.consumer.next_granted(bench.clock.now()) is None
    bench.context.stopping.set()
    bench.clock.advance(SECOND)
    delivery.disposition = Later(1, NOON, Retry(503, "http_503"))
    bench.consumer.ack(delivery)
    assert next(bench.consumer) is None
    assert len(bench.port.events("granted")) == 1
    assert len(bench.port.events("repeated")) == 1
    assert len(bench.port.waits) <= TIMEOUT + 1
    assert bench.consumer.gate.waiting("acme") == 1


def test_what_was_granted_goes_back_as_soon_as_it_stops() -> None:
    """A job granted ahead of its time is requeued at once, not after the calls under way: a kill leaves no lease."""
    bench = Bench(per_second=1000.0, burst=1)
    bench.store = bench.context.store = BreakableStore(bench.clock, horizon=HORIZON)
    bench.offer(make_job(1), make_job(2))
    bench.take()
    assert len(bench.port.events("granted")) == 2
    bench.context.stopping.set()

    assert next(bench.consumer) is None
    assert [event[1].line for event in bench.port.events("requeue")] == [2]
    assert [event[1].line for event in bench.port.events("released")] == [2]


def test_a_new_credential_reopens(tmp_path: Path) -> None:
    """A shop closed for its token is open as soon as the shops file brings another one."""
    (tmp_path / "acme.key").write_text("old")
    shops = tmp_path / "shops.toml"
    shops.write_text('[shops.acme]\nkey_id = "k1"\nsecret_file = "acme.key"\n')
    bench = Bench(ShopRegistry.load(shops))
    bench.offer(*(make_job(number) for number in range(3)))
    bench.return_job(bench.take(), BAD_TOKEN)
    assert bench.consumer.gate.reasons("acme") == {"halted": NOON + FIRST_CLOSURE}
    (tmp_path / "acme.key").write_text("newer")
    deliveries = [bench.take() for _ in range(3)]
    assert bench.clock.now() == NOON + SECOND
    assert [delivery.job.line for delivery in deliveries] == [0, 1, 2]


def test_max_in_flight_follows_the_file(tmp_path: Path) -> None:
    """A changed number in the shops file is in force within a second."""
    (tmp_path / "acme.key").write_text("s3cret")
    shops = tmp_path / "shops.toml"
    table = '[shops.acme]\nkey_id = "k1"\nsecret_file = "acme.key"\n'
    shops.write_text(f"{table}max_in_flight = 1\n")
    bench = Bench(ShopRegistry.load(shops))
    bench.offer(make_job(1), make_job(2))
    bench.take()
    shops.write_text(f"{table}max_in_flight = 2\n")
    bench.take()
    assert bench.clock.now() == NOON + SECOND


def test_a_pause_closes_the_gate_and_its_end_opens_it(bench: Bench) -> None:
    """Within a second of a pause no job of the shop goes, others go on; its end is heard as quickly."""
    bench.offer(make_job(1), make_job(2, shop="zeta"))
    bench.store.pause("acme", Origin("kim", "texts"))
    bench.clock.set(NOON + HOUSEKEEPING)
    assert bench.take().shop == "zeta"
    assert next(bench.consumer) is None
    assert bench.consumer.gate.reasons("acme") == {"paused": FOREVER}
    bench.store.resume("acme", KIM)
    assert bench.take().shop == "acme"
    assert bench.clock.now() <= NOON + 2 * HOUSEKEEPING + TIMEOUT * SECOND


def test_a_shop_s_own_pause_outlasts_that_of_all(bench: Bench) -> None:
    """All shops stop; resumed together, one that has a pause of its own stays paused."""
    bench.store.pause(EVERY_SHOP, Origin("kim", "incident"))
    bench.store.pause("acme", Origin("kim", "texts"))
    bench.offer(make_job(1), make_job(2, shop="zeta"))
    assert next(bench.consumer) is None
    bench.store.resume(EVERY_SHOP, KIM)
    assert bench.take().shop == "zeta"
    assert next(bench.consumer) is None


@pytest.mark.parametrize("closed", [True, False], ids=["paused", "open"])
def test_cancelled_jobs_end_without_a_call(bench: Bench, closed: bool) -> None:
    """Jobs of a cancelled campaign come out as such, by no limit and no pause held back; other campaigns' stay."""
    if closed:
        bench.store.pause("acme", Origin("kim", "texts"))
    bench.offer(make_job(1), make_job(2), make_job(3, campaign="autumn"))
    if closed:
        assert next(bench.consumer) is None
    bench.store.cancel("spring", "acme", KIM)
    taken = [delivery for delivery in (next(bench.consumer) for _ in range(4)) if delivery is not None]
    ended = {delivery.job.line: delivery.request.uncalled for delivery in taken}
    assert ended == {1: "cancelled", 2: "cancelled"} | ({} if closed else {3: None})


@pytest.mark.parametrize("undone", [True, False])
@pytest.mark.parametrize("out_of_reach", [True, False])
def test_a_job_that_comes_after_its_campaign_s_cancellation_was_heard_of(
    bench: Bench, undone: bool, out_of_reach: bool
) -> None:
    """It ends by what is ordered when it comes, not by what was a second ago; nothing is decided without the store."""
    bench.store.cancel("spring", "acme", KIM)
    assert next(bench.consumer) is None
    bench.clock.advance(1)
    if undone:
        bench.store.restore("spring", "acme", KIM)
    bench.store.unwatchable = out_of_reach
    bench.offer(make_job(1), arrived_at=bench.clock.now())
    if out_of_reach:
        assert next(bench.consumer) is None
        bench.store.unwatchable = False
    assert bench.take().request.uncalled == (None if undone else "cancelled")


def test_what_waits_to_hear_of_its_campaign_goes_back_at_the_end(bench: Bench) -> None:
    """Where nobody answers any more, a stop leaves no job behind."""
    bench.store.cancel("spring", "acme", KIM)
    assert next(bench.consumer) is None
    bench.clock.advance(1)
    bench.store.silent = True
    bench.offer(job := make_job(1), arrived_at=bench.clock.now())
    assert next(bench.consumer) is None
    assert bench.consumer.gate.in_flight == 1
    bench.context.stopping.set()
    assert next(bench.consumer) is None
    assert bench.port.events("requeue") == [("requeue", job)]
    assert bench.consumer.gate.in_flight == 0


def test_a_deadline_passes_in_a_closed_shop(bench: Bench) -> None:
    """A job that waits for its shop to open ends once its time is over; those with more time go on waiting."""
    bench.store.pause("acme", Origin("kim", "texts"))
    soon, late = (to_datetime(NOON + seconds * SECOND) for seconds in (3, 300))
    bench.offer(make_job(1), make_job(2, not_after=late), make_job(3, not_after=soon))
    delivery = bench.take()
    assert (delivery.job.line, delivery.request.uncalled) == (3, "expired")
    assert NOON + 3 * SECOND < bench.clock.now() <= NOON + 5 * SECOND
    assert next(bench.consumer) is None


def test_what_cannot_publish_its_result_holds_back_expired_jobs_too(bench: Bench) -> None:
    """While results have nowhere to go, a job that needs no call waits like the others."""
    bench.consumer.gate.close("acme", NOON + 3 * SECOND, "backing_off")
    bench.offer(make_job(1, not_after=to_datetime(NOON - 1)))
    assert bench.take().request.uncalled == "expired"
    assert bench.clock.now() >= NOON + 3 * SECOND


def test_no_call_starts_by_a_rate_that_was_lowered_since(bench: Bench) -> None:
    """What was granted by the shops file's rate is undone once a limit is heard of; then calls keep its distance."""
    bench = Bench(per_second=100, burst=20)
    bench.offer(*(make_job(line, customer=Customer(shopid=f"c{line}")) for line in range(THREADS)))
    assert bench.take().grant is not None
    held = len(bench.port.events("granted")) - 1
    assert held == THREADS - 1
    bench.store.limit("acme", 2 * SECOND, NOON + 600 * SECOND, Origin("kim", "slow site"))
    bench.clock.set(NOON + HOUSEKEEPING)
    bench.consumer.housekeep(bench.clock.now())
    starts: list[int] = []
    while len(starts) < held:
        delivery = next(bench.consumer)
        if delivery is not None:
            starts.append(bench.clock.now())
    assert all(later - earlier >= 2 * SECOND for earlier, later in pairwise(starts))
    rate = bench.counted.get_sample_value("referral_effective_rate_calls_per_second", {"shop": "acme"})
    full = bench.counted.get_sample_value("referral_rate_calls_per_second", {"shop": "acme"})
    assert (rate, full) == (0.5, 100)


def test_an_answer_by_the_rate_before_is_of_no_use(bench: Bench) -> None:
    """A grant that was asked for before a limit was heard of, and answered after it, is undone and asked for anew."""
    bench.offer(make_job(1))
    held: list[Callable[[], None]] = []
    bench.store.hold = held
    assert next(bench.consumer) is None
    (answer,) = held
    bench.store.hold = None
    bench.store.limit("acme", 60 * SECOND, NOON + 600 * SECOND, Origin("kim", "slow site"))
    answer()
    bench.consumer.housekeep(bench.clock.now())
    delivery = bench.take()
    assert delivery.request.limits.shop.interval == 60 * SECOND


def test_a_job_whose_shop_has_left_the_file(bench: Bench) -> None:
    """It is requeued, and housekeeping follows at once, or it would be delivered again and again for a second."""
    bench.offer(job := make_job(1))
    delivery = bench.take()
    bench.clock.advance(HOUSEKEEPING // 2)
    bench.context.shops = ShopRegistry.of(make_shop("zeta"))
    assert delivery.grant is not None
    bench.report(delivery, Return(delivery.grant.epoch))
    assert bench.port.events("requeue") == [("requeue", job)]
    looked = bench.clock.now()
    assert next(bench.consumer) is None
    assert bench.port.waits[0] == looked + HOUSEKEEPING


def test_a_limit_outlasts_another_shops_file(bench: Bench) -> None:
    """What is ordered stays in force when the file is read anew."""
    bench.store.limit("acme", 60 * SECOND, NOON + 600 * SECOND, Origin("kim", "slow site"))
    assert next(bench.consumer) is None
    bench.offer(make_job(1))
    bench.consumer.housekeep(bench.clock.now())
    assert bench.take().request.limits.shop.interval == 60 * SECOND


def test_until_when_a_ready_token_is_taken_is_shown() -> None:
    """The alert goes by it; a signing key never expires."""
    payload = base64.urlsafe_b64encode(json.dumps({"exp": 1_900_000_000}).encode()).rstrip(b"=").decode()
    token = ShopConfig.of("acme", ReadyToken(f"e30.{payload}.c2ln"))
    bench = Bench(ShopRegistry.of(token, make_shop("zeta")))
    name = "refer2_credential_expiry_timestamp_seconds"
    bench.consumer.housekeep(bench.clock.now())
    shown = [bench.counted.get_sample_value(name, {"shop": shop}) for shop in ("acme", "zeta")]
    assert shown == [1_900_000_000, None]


def test_an_answer_that_is_on_its_way_at_the_end_is_awaited(bench: Bench) -> None:
    """Its grant is undone and its job put back, so that the next process needn't wait for the lease."""
    bench.offer(job := make_job(1))
    held: list[Callable[[], None]] = []
    bench.store.hold = held
    assert next(bench.consumer) is None
    bench.store.hold = None
    bench.port.while_waiting = held.pop()
    bench.consumer.close()
    assert bench.port.events("granted", "released", "requeue") == [
        ("granted", job, 1),
        ("released", job, 1, False),
        ("requeue", job),
    ]
    assert isinstance(bench.store.admit(make_request(1)), Grant)


def test_a_limit_ends_by_itself_and_by_hand(bench: Bench) -> None:
    """At its end, or once it is lifted, the shop is at the file's rate within a second, however slow it was."""
    bench = Bench(per_second=100, burst=1)
    bench.offer(*(make_job(line, customer=Customer(shopid=f"c{line}")) for line in range(THREADS)))
    bench.store.limit("acme", 500 * SECOND, NOON + 20 * SECOND, Origin("kim", "a"))
    bench.consumer.housekeep(bench.clock.now())
    bench.take()
    while bench.clock.now() < NOON + 19 * SECOND:
        assert next(bench.consumer) is None
    bench.take()
    assert bench.clock.now() <= NOON + 20 * SECOND + HOUSEKEEPING + TIMEOUT * SECOND
    bench.store.limit("acme", 500 * SECOND, bench.clock.now() + 3600 * SECOND, Origin("kim", "b"))
    bench.consumer.housekeep(bench.clock.now())
    bench.clock.set(bench.clock.now() + HOUSEKEEPING)
    bench.store.unlimit("acme", KIM)
    bench.take()
    assert bench.clock.now() <= NOON + 30 * SECOND


def test_a_limit_never_raises_a_rate(bench: Bench) -> None:
    """A limit above what the shops file gives changes nothing."""
    bench = Bench(per_second=1, burst=1)
    bench.store.limit("acme", SECOND // 100, NOON + 600 * SECOND, Origin("kim", "more!"))
    bench.consumer.housekeep(bench.clock.now())
    bench.offer(make_job(1))
    assert bench.take().request.limits.shop.interval == SECOND


def test_nothing_goes_before_the_pauses_are_known(bench: Bench) -> None:
    """A worker that can't hear what is paused starts no call and is not ready; then it goes on by itself."""
    bench.store.unwatchable = True
    bench.start()
    bench.offer(make_job(1))
    assert next(bench.consumer) is None
    assert bench.counted.get_sample_value("referral_ready", {"part": "store"}) == 0
    bench.store.unwatchable = False
    assert next(bench.consumer) is not None
    next(bench.consumer)
    assert bench.counted.get_sample_value("referral_ready", {"part": "store"}) == 1


def test_a_job_of_a_held_back_customer_is_back_by_its_deadline(bench: Bench) -> None:
    """It is deferred to its deadline and not to its customer's later turn."""
    deadline = to_datetime(NOON + 100 * SECOND)
    bench.store.block("acme", make_job(1).customer.key, NOON + 1000 * SECOND)
    bench.offer(make_job(1, not_after=deadline))
    assert next(bench.consumer) is None
    ((_, _, until, _),) = bench.port.events("delayed")
    assert until == NOON + 100 * SECOND + 1


A_PAGE = Refused(403, "http_403")


def refuse(bench: Bench, delivery: Delivery) -> int:
    """Report that a page answered the call, as the dispatcher does; when the job is to come back."""
    bench.return_job(delivery, A_PAGE)
    ((_, job, until, _),) = bench.port.events("delayed")[-1:]
    assert job == delivery.job
    return int(until)


def come_back(bench: Bench, delivery: Delivery) -> Delivery:
    """The job comes back from its delay queue, with the trouble noted on it, and is handed out."""
    shop = bench.context.shops.get(delivery.shop)
    assert shop is not None
    again = Delivery(delivery.job, bench.consumer.request_for(delivery.job, shop))
    again.trouble = delivery.trouble
    bench.consumer.gate.offer(again)
    assert bench.take() is again
    return again


def serve(bench: Bench, number: int) -> None:
    """A job that has no trouble is answered well, a moment later."""
    bench.clock.advance(1)
    bench.offer(make_job(number))
    bench.finish(bench.take())
    bench.clock.advance(1)


def test_a_refused_job_is_put_aside(bench: Bench) -> None:
    """A job whose call a page answered leaves the gate for a delay queue, no attempt spent; the shop goes on."""
    consumer = bench.consumer
    bench.offer(*(make_job(number) for number in range(20)))
    bench.finish(bench.take())
    delivery = bench.take()
    until = refuse(bench, delivery)
    assert REFUSED_DELAY <= until - NOON <= 2 * REFUSED_DELAY
    assert [event[1::2] for event in bench.port.events("released")] == [(delivery.job, True)]
    assert consumer.gate.reasons("acme") == {}
    assert bench.counted.get_sample_value("referral_refusals_total", {"then": "put_aside"}) == 1
    for _ in range(18):
        bench.finish(bench.take())
    again = come_back(bench, delivery)
    assert again.grant is not None
    assert again.grant.attempts == 1


def test_refused_jobs_come_back_apart(bench: Bench) -> None:
    """Jobs that were refused together are called again at different times."""
    times = set()
    for number in range(8):
        serve(bench, 100 + number)
        bench.offer(make_job(number))
        times.add(refuse(bench, bench.take()) - bench.clock.now())
    assert len(times) == 8


def test_a_refused_job_is_back_by_its_deadline(bench: Bench) -> None:
    """A refused job that expires while it is delayed comes back at its deadline, to end."""
    serve(bench, 1)
    deadline = NOON + SECOND
    bench.offer(make_job(2, not_after=to_datetime(deadline)))
    assert refuse(bench, bench.take()) == deadline + 1


def test_a_job_that_alone_is_refused_may_end(bench: Bench) -> None:
    """A job that was refused twice, while others were answered, is granted a call that ends it if it is refused."""
    serve(bench, 1)
    bench.offer(make_job(2))
    delivery = bench.take()
    for number in range(2):
        assert not delivery.ends_if_refused
        refuse(bench, delivery)
        serve(bench, 10 + number)
        delivery = come_back(bench, delivery)
    assert delivery.ends_if_refused
    bench.finish(delivery, A_PAGE)
    assert bench.counted.get_sample_value("referral_refusals_total", {"then": "failed"}) == 1
    assert bench.consumer.gate.reasons("acme") == {}


def test_the_probe_is_another_job(bench: Bench) -> None:
    """A shop that a page closed is tried with a job that hasn't been refused, though that one has come back."""
    consumer = bench.consumer
    bench.offer(make_job(1))
    delivery = bench.take()
    refuse(bench, delivery)
    assert set(consumer.gate.reasons("acme")) == {"halted"}
    bench.offer(make_job(2))
    consumer.gate.offer(delivery)
    probe = bench.take()
    assert (probe.job, probe.probing) == (make_job(2), True)
    bench.finish(probe)
    assert bench.take() is delivery


def test_a_job_that_fails_alone_pays_for_its_calls(bench: Bench) -> None:
    """A job that failed while others were answered finds out nothing about a failing upstream: its calls count."""
    consumer = bench.consumer
    bench.offer(make_job(1))
    delivery = bench.take()
    bench.finish(delivery, Retry(503, "http_503"))
    serve(bench, 2)
    consumer.gate.probe("acme", probing=True)
    bench.offer(make_job(3))
    fresh = bench.take()
    assert fresh.probing
    bench.finish(fresh, Retry(503, "http_503"))
    other = Delivery(make_job(4), consumer.request_for(make_job(4), make_shop("acme")))
    other.trouble = delivery.trouble
    consumer.gate.offer(other)
    assert not bench.take().probing


def test_a_read_that_alone_is_refused(bench: Bench) -> None:
    """A job whose customer can't be read, while others are called, closes the shop once, and then no more."""
    bench.offer(make_job(1))
    delivery = bench.take()
    for closed in (True, False):
        assert delivery.grant is not None
        assert bench.store.retry(delivery.request, delivery.grant.epoch, NOON, spent=False)
        bench.report(delivery, Later(delivery.grant.epoch, NOON, BAD_TOKEN, spent=False))
        assert bool(bench.consumer.gate.reasons("acme")) == closed
        serve(bench, 2 + closed)
        delivery = come_back(bench, delivery)


def test_a_429_of_one_job_alone(bench: Bench) -> None:
    """A job that is answered 429 again and again while others are answered holds back its customer, not its shop."""
    bench.offer(make_job(1))
    delivery = bench.take()
    for number in range(3):
        assert not delivery.waits_alone
        assert delivery.grant is not None
        bench.store.release(delivery.request, delivery.grant.epoch, called=True)
        verdict = Throttled(429, "rate_limit_exceeded", "shop", SECOND)
        hour = bench.clock.now() + 3600 * SECOND
        bench.report(delivery, Return(1, scope="customer", until=hour, verdict=verdict))
        serve(bench, 10 + number)
        delivery = come_back(bench, delivery)
    assert delivery.waits_alone


@pytest.mark.parametrize("changed", ['base_url = "https://right.example"', 'api_version = "v2024010"'])
def test_another_address_opens_the_shop(tmp_path: Path, changed: str) -> None:
    """A shop that is called elsewhere, or by another version, is open at once, as with another credential."""
    (tmp_path / "acme.key").write_text("s3cret")
    shops = tmp_path / "shops.toml"
    table = '[shops.acme]\nkey_id = "k1"\nsecret_file = "acme.key"\n'
    shops.write_text(table)
    bench = Bench(ShopRegistry.load(shops))
    bench.offer(make_job(1))
    refuse(bench, bench.take())
    assert bench.consumer.gate.reasons("acme") == {"halted": NOON + FIRST_CLOSURE}
    shops.write_text(f"{table}{changed}\n")
    bench.offer(make_job(2))
    bench.take()
    assert bench.clock.now() == NOON + SECOND


def test_a_deadline_is_the_corrected_clocks(bench: Bench) -> None:
    """A job that waits for its shop ends as soon as the machine's clock, put right, says that its time is over."""
    bench.store.pause("acme", Origin("kim", "texts"))
    bench.offer(make_job(1, not_after=to_datetime(NOON + 3600 * SECOND)))
    assert next(bench.consumer) is None
    bench.clock.correct(3600 * SECOND)
    delivery = bench.take()
    assert (delivery.request.uncalled, bench.clock.now() < NOON + 10 * SECOND) == ("expired", True)


def test_a_job_is_back_by_the_corrected_clocks_deadline(bench: Bench) -> None:
    """What is deferred counts from the steady time, and its deadline from the wall's."""
    bench.clock.correct(-50 * SECOND)
    deadline = to_datetime(NOON + 50 * SECOND)
    bench.store.block("acme", make_job(1).customer.key, NOON + 1000 * SECOND)
    bench.offer(make_job(1, not_after=deadline))
    assert next(bench.consumer) is None
    ((_, _, until, _),) = bench.port.events("delayed")
    assert until == NOON + 100 * SECOND + 1


def test_it_closes_once_everything_is_confirmed(bench: Bench) -> None:
    """A consumer that closes polls its port while confirms are on their way, and closes it then."""
    bench.port.unconfirmed = 1

    def confirmed() -> None:
        bench.port.unconfirmed = 0 if len(bench.port.waits) == 3 else 1

    bench.port.while_waiting = confirmed
    bench.consumer.close()
    assert len(bench.port.waits) == 3
    assert bench.port.done == [("closed",)]


def test_it_does_not_wait_for_confirms_for_ever(bench: Bench) -> None:
    """After half a minute without the last confirm the port is closed: RabbitMQ has the message still."""
    bench.port.unconfirmed = 1
    bench.consumer.close()
    assert bench.clock.now() == NOON + DRAIN
    assert bench.port.done == [("closed",)]


def test_an_unexpected_error_is_the_ports(bench: Bench) -> None:
    """Dramatiq sees no error, of which it would log the text and start a second consumer; the port hears of it."""
    bench.port.fails = True

    def broken() -> None:
        raise ZeroDivisionError

    bench.port.while_waiting = broken
    assert next(bench.consumer) is None
    assert bench.port.done == [("failed", "ZeroDivisionError")]


def test_what_follows_a_cancellation_is_for_everybody_to_see(bench: Bench) -> None:
    """Each change to the cancelled campaigns is counted once, and nothing that was cancelled before the start."""
    bench.store.cancel("winter", "acme", KIM)
    bench.start()
    assert next(bench.consumer) is None
    assert bench.consumer.controls.cancellations == 0
    bench.store.cancel("spring", "acme", KIM)
    bench.store.pause("acme", Origin("kim", "texts"))
    assert next(bench.consumer) is None
    assert bench.consumer.controls.cancellations == 1
    bench.clock.advance(SECOND)
    bench.store.cancel("spring", "acme", KIM)
    assert next(bench.consumer) is None
    assert bench.consumer.controls.cancellations == 1


class UnreadableOnce(ShopRegistry):
    """Fails the first time that somebody asks which shops there are."""

    failed = False

    def slugs(self) -> tuple[str, ...]:
        if not self.failed:
            self.failed = True
            raise OSError("no file descriptor left")
        return super().slugs()


def test_an_error_while_shops_are_taken_over_is_made_good() -> None:
    """The next turn takes them over, so that no shop goes on without its own limit of calls at once."""
    bench = Bench(UnreadableOnce.of(make_shop("acme", max_in_flight=1)))
    bench.port.fails = True
    assert next(bench.consumer) is None
    assert bench.port.done == [("failed", "OSError")]
    bench.clock.advance(HOUSEKEEPING)
    bench.offer(make_job(1), make_job(2))
    bench.take()
    assert next(bench.consumer) is None
    assert bench.count("referral_rate_calls_per_second") == 1000
