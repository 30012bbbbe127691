"""The use case, by a table: each verdict's disposition, ledger entry, result and metrics."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from errno import EMFILE
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from tests.unit.making import LEASE, NOON, PATIENT, foreign_job, go, make_job, make_shop
from worker.clock import ManualClock
from worker.dispatch.dispatcher import LONGEST_OF_A_PACE, LONGEST_WAIT, Dispatcher
from worker.dispatch.recorder import RETRY_BASE, RETRY_CAP
from worker.dispatch.verification import DEFAULT_THROTTLE
from worker.errors import StoreError
from worker.instants import SECOND, from_datetime, to_datetime
from worker.model.dispositions import Disposition, Fenced, Finish, Later, Return
from worker.model.job import Job, is_expired
from worker.model.outcomes import Outcome
from worker.model.verdicts import Halted, Missing, Reading, Refused, Rejected, Retry, Sent, Throttled, Unknown, Verdict
from worker.model.windows import MARGIN
from worker.shops.config import ShopConfig
from worker.store.memory.store import MemoryStore
from worker.store.protocol import AdmitRequest, AlreadyAnswered, Grant, ShopClosed, Wait
from worker.store.timing import GRANT_LIFETIME, LEASE_MARGIN, NO_DEADLINE
from worker.telemetry.metrics.process import Metrics

CALL = SECOND // 4
"""How long each call takes."""

SENT = Sent(200, "Thanks, Zoë \ud800", {"link": "https://example.com/r/1", "new": [1, None]}, {"do": {"text": "hi"}})
PLAIN = Sent(201, None, {"link": "x"}, None)
REJECTED = Rejected(404, "no_customers_match_customer_identity", "nobody", listed=True)
OWN_RULE = Rejected(400, "campaign_over", "too late", listed=False)
OLD_VERSION = Halted(400, "obsolete_global_api_version", None, every_shop=True)
BAD_TOKEN = Halted(401, "invalid_token", None, every_shop=False)
A_PAGE = Refused(403, "http_403")
DOWN = Retry(503, "http_503")
UNREACHABLE = Retry(None, "connection")
LOST = Unknown(None, "timeout")


class Forgetful(MemoryStore):
    """A store that is out of reach for what became of a job ``outages`` times in a row."""

    outages = 1 << 62

    def answer(self, request: AdmitRequest, epoch: int, result: str) -> bool:
        self._fail()
        return super().answer(request, epoch, result)

    def retry(
        self,
        request: AdmitRequest,
        epoch: int,
        not_before: int,
        *,
        unknown: bool = False,
        spent: bool = True,
        elapsed: int = 0,
    ) -> bool:
        self._fail()
        return super().retry(request, epoch, not_before, unknown=unknown, spent=spent, elapsed=elapsed)

    def release(self, request: AdmitRequest, epoch: int, *, called: bool, verified: bool = False) -> None:
        self._fail()
        super().release(request, epoch, called=called, verified=verified)

    def block(self, shop: str, customer: str | None, until: int) -> None:
        self._fail()
        super().block(shop, customer, until)

    def _fail(self) -> None:
        self.outages -= 1
        if self.outages >= 0:
            raise StoreError("out of reach")


class Bench:
    """A dispatcher whose calls end as the test says, on a real store and a clock that each call moves on."""

    def __init__(
        self,
        verdict: Verdict = SENT,
        *,
        store: type[MemoryStore] = MemoryStore,
        metrics: type[Metrics] = Metrics,
        **table: Any,
    ) -> None:
        self.clock = ManualClock(NOON)
        self.store = store(self.clock)
        self.registry = CollectorRegistry()
        self.shop: ShopConfig | None = make_shop(**table)
        self.verdict = verdict
        self.stopping = False
        self.calls = 0
        self.reading: Reading = Missing()
        self.on_read: Callable[[ShopConfig, Job], Reading] = lambda *_: self.reading
        self.reads = 0
        self.urgent = False
        self.fraction = 1.0
        self.during_call: Callable[[], object] = lambda: None
        self.metrics = metrics(self.registry)
        self.metrics.declare_shops({"acme": 1000})
        self.dispatcher = Dispatcher(
            shop_of=lambda _: self.shop,
            refer=self.refer,
            read_back=self.read_back,
            store=self.store,
            clock=self.clock,
            metrics=self.metrics,
            stopping=lambda: self.stopping,
            random=lambda: self.fraction,
            sleep=lambda seconds: self.clock.advance(int(seconds * SECOND)),
        )
        self.job = make_job(published_at=to_datetime(NOON - SECOND), reference="row 1", row=3, sender="cyd@example.com")

    def request(self) -> AdmitRequest:
        assert self.shop is not None
        deadline = from_datetime(self.job.not_after) if self.job.not_after else NO_DEADLINE
        uncalled: Literal["expired"] | None = "expired" if is_expired(self.job, self.clock.now()) else None
        request = AdmitRequest("acme", self.job.customer.key, self.job.job_id, self.shop.limits, LEASE)
        return replace(request, deadline=deadline, uncalled=uncalled, urgent=self.urgent)

    def refer(self, shop: ShopConfig, job: Job) -> Verdict:
        assert shop is self.shop
        assert job is self.job
        assert self.count("refer2_requests_in_flight") == 1
        self.calls += 1
        self.clock.advance(CALL)
        self.during_call()
        return self.verdict

    def read_back(self, shop: ShopConfig, job: Job) -> Reading:
        assert shop is self.shop
        assert job is self.job
        self.reads += 1
        self.clock.advance(CALL)
        return self.on_read(shop, job)

    def grant(self) -> Grant:
        return go(self.store, self.request())

    def dispatch(self, grant: Grant | None = None, **flags: bool) -> Disposition:
        request = self.request()
        return self.dispatcher.dispatch(self.job, request, grant or go(self.store, request), **flags)

    def after_takeovers(self, number: int) -> Grant:
        """The grant of a job whose worker ended that often during the call."""
        for _ in range(number):
            self.clock.set(self.grant().start_by + LEASE + LEASE_MARGIN)
        return self.grant()

    def at_attempt(self, number: int) -> Grant:
        """The grant of a job that was repeated that often."""
        for _ in range(number - 1):
            assert self.store.retry(self.request(), self.grant().epoch, self.clock.now())
        return self.grant()

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, {"shop": "acme", **labels}) or 0


def result_of(disposition: Disposition) -> dict[str, Any]:
    """The result that is to be published."""
    assert isinstance(disposition, Finish), disposition
    fields: dict[str, Any] = json.loads(disposition.body)
    assert (fields["outcome"], fields["code"]) == (disposition.outcome, disposition.code)
    assert (fields["share_action"] is not None) == disposition.has_share_action
    return fields


def test_sent() -> None:
    """A sent job's result carries the job, the vendor's objects untouched, and its times."""
    bench = Bench()
    assert result_of(bench.dispatch()) == {
        "schema": 1,
        "job_id": bench.job.job_id,
        "campaign": "spring",
        "shop": "acme",
        "run": 0,
        "line": 1,
        "row": 3,
        "reference": "row 1",
        "customer": {"bhid": None, "shopid": None, "email": "ann1@example.com"},
        "channel": "whatsapp",
        "destination": None,
        "sender": "cyd@example.com",
        "window": None,
        "outcome": "sent",
        "code": None,
        "status": 200,
        "message": SENT.message,
        "referral": SENT.referral,
        "share_action": SENT.share_action,
        "attempts": 1,
        "published_at": "2026-11-02T11:59:59Z",
        "called_at": "2026-11-02T12:00:00Z",
        "finished_at": "2026-11-02T12:00:00.250000Z",
        "latency_seconds": 0.25,
    }


FINAL: list[tuple[Verdict, Outcome, str | None, int | None]] = [
    (SENT, "sent", None, 200),
    (PLAIN, "sent", None, 201),
    (REJECTED, "rejected", "no_customers_match_customer_identity", 404),
    (OWN_RULE, "rejected", "campaign_over", 400),
]


@pytest.mark.parametrize("attempt", [1, 5])
@pytest.mark.parametrize("on_unknown", ["resend", "report"])
@pytest.mark.parametrize(("verdict", "outcome", "code", "status"), FINAL)
def test_final_verdicts(
    verdict: Verdict, outcome: Outcome, code: str | None, status: int | None, on_unknown: str, attempt: int
) -> None:
    """A final answer is a result, recorded in the ledger before anything else, at whatever attempt it came."""
    bench = Bench(verdict, on_unknown=on_unknown)
    grant = bench.at_attempt(attempt)
    disposition = bench.dispatch(grant)
    result = result_of(disposition)
    assert isinstance(disposition, Finish)
    assert (result["outcome"], result["code"], result["status"]) == (outcome, code, status)
    assert result["attempts"] == attempt
    assert disposition.verdict is verdict
    assert bench.store.admit(bench.request()) == AlreadyAnswered(grant.epoch, disposition.body)
    assert bench.count("referral_results_total", outcome=outcome) == 1


@pytest.mark.parametrize(
    ("verdict", "on_unknown", "attempt", "outcome"),
    [
        (DOWN, "resend", 1, None),
        (DOWN, "resend", 4, None),
        (DOWN, "resend", 5, "failed"),
        (DOWN, "report", 4, None),
        (DOWN, "report", 5, "failed"),
        (LOST, "resend", 1, None),
        (LOST, "resend", 4, None),
        (LOST, "resend", 5, "unknown"),
        (LOST, "report", 1, "unknown"),
        (LOST, "report", 5, "unknown"),
    ],
)
def test_repeat_or_end(verdict: Retry | Unknown, on_unknown: str, attempt: int, outcome: Outcome | None) -> None:
    """What may work later is repeated up to the last attempt; a lost answer is never called failed."""
    bench = Bench(verdict, on_unknown=on_unknown, max_attempts=5)
    grant = bench.at_attempt(attempt)
    disposition = bench.dispatch(grant)
    if outcome is None:
        assert isinstance(disposition, Later)
        assert (disposition.epoch, disposition.verdict) == (grant.epoch, verdict)
        assert bench.store.admit(bench.request()) == Wait("job", disposition.not_before)
        assert sum(bench.count("referral_results_total", outcome=name) for name in ("failed", "unknown")) == 0
    else:
        result = result_of(disposition)
        assert (result["outcome"], result["code"], result["status"]) == (outcome, verdict.code, verdict.status)
        assert (result["attempts"], result["latency_seconds"]) == (attempt, 0.25)
        assert bench.count("referral_results_total", outcome=outcome) == 1
    assert bench.calls == 1


@pytest.mark.parametrize("attempt", [1, 5])
def test_unreachable(attempt: int) -> None:
    """A call that never left is no attempt: its job is given back as it was, for the shop's breaker to decide."""
    bench = Bench(UNREACHABLE, max_attempts=5)
    grant = bench.at_attempt(attempt)
    assert bench.dispatch(grant) == Return(grant.epoch, verdict=UNREACHABLE)
    assert bench.grant().attempts == attempt
    assert bench.count("referral_results_total", outcome="failed") == 0


def test_a_probe_spends_no_attempt() -> None:
    """While the upstream fails for everybody, a job that finds it failing still keeps its attempts."""
    bench = Bench(DOWN, max_attempts=2)
    for _ in range(10):
        disposition = bench.dispatch(bench.at_attempt(1), probing=True)
        assert isinstance(disposition, Later)
        assert not disposition.spent
        bench.clock.set(disposition.not_before)
    assert bench.grant().attempts == 1


@pytest.mark.parametrize(("last", "code"), [(DOWN, "http_503"), (LOST, "timeout")])
def test_an_earlier_unknown_is_not_forgotten(last: Retry | Unknown, code: str) -> None:
    """Once a call may have been carried out, the job's outcome is never failed, whatever its later calls return."""
    bench = Bench(LOST, max_attempts=2)
    first = bench.dispatch()
    assert isinstance(first, Later)
    bench.clock.set(first.not_before)
    bench.verdict = last
    result = result_of(bench.dispatch())
    assert (result["outcome"], result["code"], result["attempts"]) == ("unknown", code, 2)


@pytest.mark.parametrize("takeover", [True, False])
def test_expired_after_an_unknown(takeover: bool) -> None:
    """A job whose deadline passes after a call that may have been carried out is unknown, and not called again."""
    bench = Bench(LOST)
    bench.job = make_job(not_after=to_datetime(NOON + SECOND))
    if takeover:
        grant = bench.after_takeovers(1)
    else:
        first = bench.dispatch()
        assert isinstance(first, Later)
        bench.clock.set(first.not_before + SECOND)
        grant = bench.grant()
    calls = bench.calls
    result = result_of(bench.dispatch(grant))
    assert (result["outcome"], result["code"], result["attempts"]) == ("unknown", "interrupted", 1)
    assert bench.calls == calls


@pytest.mark.parametrize("takeover", [True, False])
def test_suppressed_after_an_unknown(takeover: bool) -> None:
    """So is one whose customer is suppressed by then."""
    bench = Bench(LOST)
    if takeover:
        bench.clock.set(bench.grant().start_by + LEASE + LEASE_MARGIN)
    else:
        first = bench.dispatch()
        assert isinstance(first, Later)
        bench.clock.set(first.not_before)
    bench.store.suppress("acme", [b"hers"], 1)
    request = replace(bench.request(), addresses=(b"hers",))
    grant = go(bench.store, request)
    assert grant.suppressed
    calls = bench.calls
    result = result_of(bench.dispatcher.dispatch(bench.job, replace(request, uncalled="cancelled"), grant))
    assert (result["outcome"], result["code"], result["attempts"]) == ("unknown", "interrupted", 1)
    assert bench.calls == calls


@PATIENT
@given(attempt=st.integers(1, 99), fraction=st.floats(0, 1, exclude_max=True))
def test_jitter(attempt: int, fraction: float) -> None:
    """The wait is spread over all of its span, which doubles with each attempt from 2 s to five minutes."""
    bench = Bench(DOWN, max_attempts=100)
    bench.fraction = fraction
    grant = replace(bench.grant(), attempts=attempt)
    disposition = bench.dispatch(grant)
    assert isinstance(disposition, Later)
    span = min(RETRY_BASE * 2 ** (attempt - 1), RETRY_CAP)
    assert disposition.not_before == NOON + CALL + int(span * fraction)


@pytest.mark.parametrize(
    ("scope", "customer", "blocked"),
    [
        ("customer", True, "customer"),
        ("shop", True, "shop"),
        (None, True, "customer"),
        (None, False, "shop"),
    ],
)
@pytest.mark.parametrize("retry_after", [7 * SECOND, None])
def test_throttled(
    scope: Literal["customer", "shop"] | None, customer: bool, blocked: str, retry_after: int | None
) -> None:
    """A 429 blocks whom it names, or else the customer, for as long as it says; it is no attempt and no result."""
    bench = Bench(Throttled(429, "rate_limit_exceeded", scope, retry_after))
    if not customer:
        bench.job = foreign_job(customer={})
    until = NOON + CALL + (retry_after or DEFAULT_THROTTLE)
    grant = bench.grant()
    assert bench.dispatch(grant) == Return(grant.epoch, blocked, until, bench.verdict)  # type: ignore[arg-type]
    another = replace(bench.request(), job_id="1" * 32, customer="e:bob@example.com")
    if blocked == "shop":
        assert bench.store.admit(another) == ShopClosed(until, "throttled")
    else:
        assert isinstance(bench.store.admit(another), Grant)
        assert bench.store.admit(replace(another, job_id="2" * 32, customer=bench.request().customer)) == Wait(
            "customer", until
        )
    bench.clock.set(until)
    again = go(bench.store, replace(bench.request(), place_in_line=until))
    assert (again.attempts, again.takeovers) == (1, 0)


def test_a_probe_whose_answer_is_lost_spends_its_attempt() -> None:
    """It may have been carried out: an outage, however long, doesn't repeat it more often than any other call."""
    bench = Bench(LOST, max_attempts=2)
    first = bench.dispatch(bench.grant(), probing=True)
    assert isinstance(first, Later)
    assert first.spent
    bench.clock.set(first.not_before)

    assert result_of(bench.dispatch(bench.grant(), probing=True))["outcome"] == "unknown"
    assert bench.calls == 2


@pytest.mark.parametrize("verdict", [BAD_TOKEN, A_PAGE])
def test_halted(verdict: Halted | Refused) -> None:
    """An answer that may not be about the job gives the job back, without an attempt and without a result."""
    bench = Bench(verdict)
    grant = bench.grant()
    assert bench.dispatch(grant) == Return(grant.epoch, verdict=verdict)
    assert bench.grant().attempts == 1


def test_refused_for_the_last_time() -> None:
    """Of a job that alone is refused that is the end: it failed, with the answer's status and without an attempt of
    those before; what every shop is refused is not about the job even then, and a good answer is one."""
    bench = Bench(A_PAGE)
    disposition = bench.dispatch(ends_if_refused=True)
    result = result_of(disposition)
    assert (result["outcome"], result["code"], result["status"], result["attempts"]) == ("failed", "http_403", 403, 1)
    assert isinstance(disposition, Finish)
    assert disposition.verdict == A_PAGE
    assert bench.store.admit(bench.request()) == AlreadyAnswered(1, disposition.body)
    refused = result_of(Bench(BAD_TOKEN).dispatch(ends_if_refused=True))
    assert (refused["outcome"], refused["code"], refused["status"]) == ("failed", "invalid_token", 401)
    assert isinstance(Bench(OLD_VERSION).dispatch(ends_if_refused=True), Return)
    assert result_of(Bench(SENT).dispatch(ends_if_refused=True))["outcome"] == "sent"


def test_refused_after_a_lost_answer() -> None:
    """A job of which an earlier call may have been carried out is never called failed, whatever refuses it later."""
    bench = Bench(LOST)
    bench.dispatch()
    bench.clock.advance(LEASE)
    bench.verdict = A_PAGE
    result = result_of(bench.dispatch(ends_if_refused=True))
    assert (result["outcome"], result["code"]) == ("unknown", "http_403")


def test_a_429_that_one_job_gets_alone() -> None:
    """Where it is known that others are answered, a 429 for the shop blocks nobody but the job's customer."""
    bench = Bench(Throttled(429, "rate_limit_exceeded", "shop", 5 * SECOND))
    disposition = bench.dispatch(waits_alone=True)
    assert isinstance(disposition, Return)
    assert disposition.scope == "customer"
    other = AdmitRequest("acme", "e:other@example.com", make_job(2).job_id, bench.request().limits, LEASE)
    assert isinstance(bench.store.admit(other), Grant)
    blocked = bench.store.admit(bench.request())
    assert isinstance(blocked, Wait)
    assert blocked.scope == "customer"


@pytest.mark.parametrize("verdict", [Throttled(429, "rate_limit_exceeded", "shop", None), BAD_TOKEN, A_PAGE])
def test_a_call_that_was_made_uses_its_tokens(verdict: Verdict) -> None:
    """A call that came to nothing was a call all the same: the day's quota counts it."""
    bench = Bench(verdict, per_day=1)
    bench.dispatch()
    bench.clock.advance(2 * SECOND)
    reply = bench.store.admit(bench.request())
    assert isinstance(reply, ShopClosed)
    assert reply.reason == "day_quota"


def stop(bench: Bench) -> None:
    bench.stopping = True


def be_late(bench: Bench) -> None:
    bench.clock.advance(GRANT_LIFETIME + 1)


def drop_the_shop(bench: Bench) -> None:
    bench.shop = None


@pytest.mark.parametrize("happens", [stop, be_late, drop_the_shop])
def test_not_started(happens: Callable[[Bench], None]) -> None:
    """While stopping, after the grant's time and without its shop, no call starts; the grant undoes itself."""
    bench = Bench(per_day=1)
    request, grant = bench.request(), bench.grant()
    happens(bench)
    assert bench.dispatcher.dispatch(bench.job, request, grant) == Return(grant.epoch)
    assert bench.calls == 0
    again = go(bench.store, request)
    assert (again.attempts, again.takeovers) == (1, 0)


def test_the_grant_s_last_moment() -> None:
    """A call may start at the very end of its grant."""
    bench = Bench()
    grant = bench.grant()
    bench.clock.set(grant.start_by)
    assert result_of(bench.dispatch(grant))["outcome"] == "sent"


@pytest.mark.parametrize(("late_by", "outcome"), [(-1, "sent"), (0, "sent"), (1, "expired")])
def test_expired(late_by: int, outcome: str) -> None:
    """A job past its last moment ends without a call."""
    bench = Bench()
    bench.job = make_job(not_after=to_datetime(NOON) - timedelta(microseconds=late_by))
    result = result_of(bench.dispatch())
    assert result["outcome"] == outcome
    if outcome == "expired":
        assert bench.calls == 0
        assert result["attempts"] == 0
        assert [result[name] for name in ("code", "status", "called_at", "latency_seconds")] == [None] * 4


def test_the_copy_that_is_called_counts() -> None:
    """What copies of a job may differ in goes to Refer2 and into the result as the called one has it, none merged."""
    bench = Bench()
    first, second = (
        make_job(sender=f"{name}@example.com", reference=name, line=line)
        for line, name in enumerate(("ann", "bob"), start=1)
    )
    assert first.job_id == second.job_id
    bench.job, bench.verdict = first, DOWN
    later = bench.dispatch()
    assert isinstance(later, Later)
    bench.clock.set(later.not_before)
    bench.job, bench.verdict = second, SENT
    result = result_of(bench.dispatch())
    assert [result[name] for name in ("sender", "reference", "line", "attempts")] == ["bob@example.com", "bob", 2, 2]
    bench.job = first
    assert isinstance(seen := bench.store.admit(bench.request()), AlreadyAnswered)
    assert seen.result is not None
    assert json.loads(seen.result)["reference"] == "bob"


@pytest.mark.parametrize("takeovers", [0, 1])
def test_expired_since_its_grant(takeovers: int) -> None:
    """A job whose deadline passes between grant and call gives the grant back: the ledger says who ends it, and how."""
    bench = Bench(burst=1, per_second=1)
    bench.job = make_job(not_after=to_datetime(NOON + 200 * SECOND))
    for _ in range(takeovers):
        bench.clock.set(bench.grant().start_by + LEASE + LEASE_MARGIN)
    bench.clock.set(NOON + 200 * SECOND)
    request, grant = bench.request(), bench.grant()
    bench.clock.advance(1)
    assert bench.dispatcher.dispatch(bench.job, request, grant) == Return(grant.epoch)
    assert bench.calls == 0
    bench.job = make_job(2)
    assert isinstance(bench.store.admit(bench.request()), Grant), "its token is there again"


@pytest.mark.parametrize(
    ("on_unknown", "takeovers", "max_attempts", "called"),
    [("resend", 1, 5, True), ("resend", 4, 5, True), ("resend", 3, 3, False), ("report", 1, 5, False)],
)
def test_takeover(on_unknown: str, takeovers: int, max_attempts: int, called: bool) -> None:
    """After a worker's end during the call, the shop's policy and the attempts left decide about another call."""
    bench = Bench(on_unknown=on_unknown, max_attempts=max_attempts)
    result = result_of(bench.dispatch(bench.after_takeovers(takeovers)))
    assert bench.calls == called
    if called:
        assert (result["outcome"], result["attempts"]) == ("sent", takeovers + 1)
    else:
        assert (result["outcome"], result["code"], result["attempts"]) == ("unknown", "interrupted", takeovers)
        assert result["called_at"] is None


@pytest.mark.parametrize("verdict", [SENT, REJECTED, DOWN, LOST])
def test_fenced(verdict: Verdict) -> None:
    """A worker that was overtaken during its call publishes nothing, repeats nothing and counts no result."""
    bench = Bench(verdict)
    overtaken_by: list[Grant] = []

    def freeze() -> None:
        bench.clock.advance(LEASE + LEASE_MARGIN + GRANT_LIFETIME)
        overtaken_by.append(bench.grant())

    bench.during_call = freeze
    assert bench.dispatch() == Fenced(verdict)
    assert bench.store.answer(bench.request(), overtaken_by[0].epoch, "{}")
    for outcome in ("sent", "rejected", "failed", "unknown"):
        assert bench.count("referral_results_total", outcome=outcome) == 0
    assert bench.count("referral_retries_total", code="http_503") == 0


def test_fenced_before_the_call() -> None:
    """A result without a call gives the job back where another worker has it."""
    bench = Bench()
    bench.job = make_job(not_after=to_datetime(NOON - 1))
    old = bench.grant()
    bench.clock.advance(LEASE + LEASE_MARGIN + GRANT_LIFETIME)
    new = bench.grant()
    assert bench.dispatch(replace(old, start_by=new.start_by)) == Return(old.epoch)
    assert bench.store.answer(bench.request(), new.epoch, "{}")


@pytest.mark.parametrize("verdict", [SENT, DOWN])
def test_store_down(verdict: Verdict) -> None:
    """What can't be recorded while its lease lasts is an error: nothing goes out that the ledger doesn't know."""
    bench = Bench(verdict, store=Forgetful)
    grant = bench.grant()
    lease_ends = grant.start_by + LEASE + LEASE_MARGIN
    with pytest.raises(StoreError):
        bench.dispatch(grant)
    assert lease_ends - SECOND <= bench.clock.now() < lease_ends
    assert isinstance(bench.store.admit(bench.request()), Wait)
    assert bench.count("referral_results_total", outcome="sent") == 0


@pytest.mark.parametrize("verdict", [SENT, DOWN])
def test_store_back(verdict: Verdict) -> None:
    """An outcome is kept while the store is out of reach, and recorded when it is back: one call, nothing forgotten."""
    bench = Bench(verdict, store=Forgetful)
    assert isinstance(bench.store, Forgetful)
    bench.store.outages = 9
    assert isinstance(bench.dispatch(), Finish | Later)
    assert bench.calls == 1


@pytest.mark.parametrize("verdict", [BAD_TOKEN, UNREACHABLE, Throttled(429, "rate_limit_exceeded", "customer", None)])
def test_what_was_refused_is_no_lost_call(verdict: Verdict) -> None:
    """A job that was given back while the store was out of reach is as it was: neither an attempt nor a takeover."""
    bench = Bench(verdict, store=Forgetful, on_unknown="report")
    assert isinstance(bench.store, Forgetful)
    bench.store.outages = 9
    assert isinstance(bench.dispatch(), Return)
    bench.clock.advance(LEASE + LEASE_MARGIN)

    again = bench.grant()
    assert (again.attempts, again.takeovers, again.unknowns) == (1, 0, 0)


class Uncountable(Metrics):
    """As where no file can be opened for a new series."""

    def answered(self, *_: object) -> None:
        raise OSError(EMFILE, "Too many open files")


def test_an_answer_outlives_what_counts_it() -> None:
    """Where counting fails, as without a file descriptor, the ledger has the answer all the same."""
    bench = Bench(metrics=Uncountable)
    with pytest.raises(OSError, match="Too many open files"):
        bench.dispatch()

    assert isinstance(bench.store.admit(bench.request()), AlreadyAnswered)


def test_a_fast_shop_slows_down() -> None:
    """A shop's 429 lowers its pace for everybody, unless it is about a day's quota or adapting is switched off."""
    minute = LONGEST_OF_A_PACE
    assert minute == 60 * SECOND
    for retry_after, adapt, slower in (
        (SECOND, True, True),
        (minute, True, True),
        (minute + 1, True, False),
        (3600 * SECOND, True, False),
        (SECOND, False, False),
    ):
        bench = Bench(Throttled(429, "rate_limit_exceeded", "shop", retry_after), per_second=1.0, burst=1, adapt=adapt)
        bench.dispatch()
        bench.clock.advance(retry_after)
        bench.verdict = SENT
        bench.job = make_job(2)
        bench.dispatch()
        bench.job = make_job(3)
        reply = bench.store.admit(bench.request())
        assert isinstance(reply, ShopClosed)
        assert (reply.interval > SECOND) is slower


@pytest.mark.parametrize("scope", ["customer", None])
@pytest.mark.parametrize("retry_after", [SECOND, None])
def test_a_customer_s_429_leaves_the_shop_s_pace(scope: Literal["customer"] | None, retry_after: int | None) -> None:
    """One customer was too fast, or the answer doesn't say who: that customer waits, and the shop keeps its pace."""
    bench = Bench(Throttled(429, "rate_limit_exceeded", scope, retry_after), per_second=1.0, burst=1)
    refused = bench.dispatch()
    assert refused == Return(1, scope="customer", until=bench.clock.now() + SECOND, verdict=bench.verdict)
    state = bench.store.inspect("acme", bench.request().limits)
    assert (state.interval, state.blocked_until) == (SECOND, 0)
    bench.clock.advance(SECOND - CALL)
    bench.job = make_job(2)
    bench.grant()


def test_calls_booked_before_a_fall_are_no_news() -> None:
    """A refusal of a call that was granted ahead, before the pace fell, doesn't lower it again."""
    bench = Bench(Throttled(429, "rate_limit_exceeded", "shop", SECOND), per_second=1.0, burst=5)
    bench.dispatch()
    fallen = bench.store.inspect("acme", bench.request().limits).interval
    bench.clock.advance(SECOND)
    second = bench.grant()
    bench.dispatch(replace(second, start_at=NOON + CALL + GRANT_LIFETIME))
    assert bench.store.inspect("acme", bench.request().limits).interval <= fallen


def test_counted() -> None:
    """Every call is counted once by a bounded label, and none is in flight afterwards."""
    bench = Bench()
    verdicts: list[tuple[Verdict, str]] = [
        (SENT, "ok"),
        (REJECTED, REJECTED.code),
        (OWN_RULE, OWN_RULE.code),
        (DOWN, "http_5xx"),
        (LOST, "timeout"),
        (BAD_TOKEN, "invalid_token"),
        (Throttled(429, "rate_limit_exceeded", "shop", 1), "rate_limit_exceeded"),
    ]
    for number, (verdict, label) in enumerate(verdicts, start=1):
        bench.job, bench.verdict = make_job(number, published_at=to_datetime(NOON - SECOND)), verdict
        bench.dispatch()
        assert bench.count("refer2_responses_total", code=label) == 1
    assert bench.count("refer2_requests_in_flight") == 0
    for code in ("http_5xx", "timeout"):
        assert bench.registry.get_sample_value("referral_retries_total", {"code": code}) == 1
    assert bench.registry.get_sample_value("referral_unknown_calls_total", {"code": "timeout"}) == 1
    assert bench.registry.get_sample_value("referral_publish_to_call_seconds_count") == len(verdicts)
    length = bench.registry.get_sample_value("refer2_call_duration_seconds_sum", {"answered": "true"})
    assert length == pytest.approx(5 * CALL / SECOND)


def test_in_flight_after_a_crash_of_the_call() -> None:
    """A call that raises is not in flight for ever."""
    bench = Bench()

    def crash() -> None:
        raise ZeroDivisionError

    bench.during_call = crash
    with pytest.raises(ZeroDivisionError):
        bench.dispatch()
    assert bench.count("refer2_requests_in_flight") == 0


@pytest.mark.parametrize("verdict", [SENT, PLAIN, REJECTED])
def test_recorded(verdict: Verdict) -> None:
    """A result that was recorded and not published is published later as it would have been then."""
    disposition = Bench(verdict).dispatch()
    assert isinstance(disposition, Finish)
    assert Finish.recorded(disposition.epoch, disposition.body) == replace(disposition, verdict=None)


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_times_of_a_result_follow_a_corrected_clock(seconds: int) -> None:
    """They are the right time's, also of a call that began before the correction; how long it took is measured."""
    bench = Bench()
    bench.during_call = lambda: bench.clock.correct(seconds * SECOND)
    result = result_of(bench.dispatch())
    assert datetime.fromisoformat(result["called_at"]) == to_datetime(NOON + seconds * SECOND)
    assert datetime.fromisoformat(result["finished_at"]) == to_datetime(NOON + seconds * SECOND + CALL)
    assert result["latency_seconds"] == 0.25


@pytest.mark.parametrize(("corrected", "called"), [(0, True), (2, False), (-3600, True)])
def test_deadlines_follow_a_corrected_clock(corrected: int, called: bool) -> None:
    """A deadline is a time of the world's, so it is over when the right clock says so."""
    bench = Bench()
    bench.job = make_job(not_after=to_datetime(NOON + SECOND))
    bench.clock.correct(corrected * SECOND)
    assert isinstance(bench.dispatch(), Finish if called else Return)
    assert bench.calls == called


@pytest.mark.parametrize(
    ("published", "waited"),
    [(-60, 60), (60, 0), (3600 * 24 * 365, 0), (-(3600 * 24 * 365 * 50), LONGEST_WAIT // SECOND)],
)
def test_a_publication_from_the_future_or_antiquity(published: int, waited: int) -> None:
    """What a producer says of its job's age counts within reason: one sum holds every job's for ever."""
    bench = Bench()
    bench.job = make_job(published_at=to_datetime(NOON + published * SECOND))
    result_of(bench.dispatch())
    assert bench.registry.get_sample_value("referral_publish_to_call_seconds_sum") == waited


@pytest.mark.parametrize("urgent", [True, False])
def test_the_wait_of_an_urgent_job_is_counted_by_itself_too(urgent: bool) -> None:
    bench = Bench()
    bench.job = make_job(published_at=to_datetime(NOON - SECOND))
    bench.urgent = urgent
    result_of(bench.dispatch())
    counts = [f"referral_{kind}publish_to_call_seconds_sum" for kind in ("", "urgent_")]
    assert [bench.registry.get_sample_value(name) for name in counts] == [1, int(urgent)]


def test_outside_of_its_window_no_call_starts() -> None:
    """Also by a grant from within it; a channel that keeps no hours is called."""
    bench = Bench(window="09:00-12:00 UTC")
    bench.job = make_job(channel="email", destination="bob@example.com")
    bench.clock.set(NOON - MARGIN - 1)
    assert isinstance(bench.dispatch(), Finish)
    bench.job = make_job(2, channel="email", destination="bob@example.com")
    bench.clock.set(NOON - MARGIN - 1)
    grant = bench.grant()
    bench.clock.set(NOON - MARGIN)
    assert bench.dispatch(grant) == Return(grant.epoch)
    assert bench.calls == 1
    # The grant was given back: no lease runs.
    assert bench.grant().attempts == 1
    bench.job = make_job(3)
    assert isinstance(bench.dispatch(), Finish)
    assert bench.calls == 2


def test_the_windows_clock_is_the_wall_clock() -> None:
    bench = Bench(window="13:00-18:00 UTC")
    bench.job = make_job(channel="email", destination="bob@example.com")
    bench.clock.correct(3600 * SECOND + MARGIN)
    assert isinstance(bench.dispatch(), Finish)
