"""``on_unknown = "verify"``, by a table: the disposition of each reading of a customer's referrals."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.dispatch.test_dispatcher import (
    BAD_TOKEN,
    CALL,
    DOWN,
    LOST,
    REJECTED,
    SENT,
    UNREACHABLE,
    Bench,
    result_of,
)
from tests.unit.making import LEASE, NOON, foreign_job, go, make_job
from worker.dispatch.recorder import RETRY_CAP
from worker.dispatch.verification import DEFAULT_THROTTLE, VERIFY_AFTER
from worker.instants import SECOND, to_datetime
from worker.model.dispositions import Fenced, Later, Return
from worker.model.verdicts import Found, Halted, Missing, Reading, Refused, Rejected, Retry, Throttled, Unknown, Verdict
from worker.store.protocol import AlreadyAnswered, Grant
from worker.store.timing import GRANT_LIFETIME, LEASE_MARGIN

FOUND = Found(200, {"referral_bhid": "r1", "channel": "whatsapp", "new": [1, None]})
OBSOLETE = Halted(400, "obsolete_global_api_version", None, every_shop=True)
A_PAGE = Refused(404, "http_404")


def verifying(verdict: Verdict = SENT, **table: Any) -> Bench:
    """A shop that verifies, once the answer to its job's first call was lost and the time to read has come."""
    bench = Bench(LOST, on_unknown="verify", **table)
    first = bench.dispatch()
    assert isinstance(first, Later)
    bench.clock.set(first.not_before)
    bench.verdict = verdict
    return bench


def test_a_lost_answer_is_verified_later() -> None:
    """After a lost answer the job waits, ten seconds at least, for a call that was cut off may still be carried out."""
    bench = Bench(LOST, on_unknown="verify", max_attempts=1)
    bench.fraction = 0.0
    disposition = bench.dispatch()
    assert isinstance(disposition, Later)
    assert disposition.not_before == NOON + CALL + VERIFY_AFTER
    assert bench.reads == 0


def test_found() -> None:
    """What is there is sent, with that referral as it came, no share action and no further call."""
    bench = verifying()
    bench.reading = FOUND
    grant = bench.grant()
    disposition = bench.dispatch(grant)
    result = result_of(disposition)
    assert (bench.calls, bench.reads) == (1, 1)
    assert (result["outcome"], result["code"], result["status"], result["attempts"]) == ("sent", None, 200, 1)
    assert result["referral"] == FOUND.referral
    assert [result[name] for name in ("message", "share_action", "called_at", "latency_seconds")] == [None] * 4
    assert isinstance(bench.store.admit(bench.request()), AlreadyAnswered)
    assert disposition.verdict is None, "that it could be read doesn't tell whether calls work"
    assert bench.registry.get_sample_value("referral_verifications_total", {"result": "found"}) == 1
    assert bench.count("referral_results_total", outcome="sent") == 1


def test_missing() -> None:
    """What is not there is called again by a grant of its own, as a counted attempt, and not read again."""
    bench = verifying(per_day=2)
    grant = bench.grant()
    assert bench.dispatch(grant) == Return(grant.epoch, verified=True)
    assert (bench.calls, bench.reads) == (1, 1)
    again = bench.grant()
    assert (again.attempts, again.unknowns) == (2, 0)
    result = result_of(bench.dispatch(again))
    assert (result["outcome"], result["attempts"]) == ("sent", 2)
    assert (bench.calls, bench.reads) == (2, 1)


def test_a_paused_shop_is_not_read() -> None:
    """A job that ends without a call in a paused shop ends as unknown, without a read; in an open one it is read."""
    for paused, reads, outcome in ((True, 0, "unknown"), (False, 1, "sent")):
        bench = verifying()
        bench.reading = FOUND
        request = replace(bench.request(), uncalled="cancelled")
        grant = bench.store.admit(request)
        assert isinstance(grant, Grant)
        result = result_of(bench.dispatcher.dispatch(bench.job, request, grant, paused=paused))
        assert (bench.reads, bench.calls, result["outcome"]) == (reads, 1, outcome)
        assert result["code"] == ("interrupted" if paused else None)


def test_takeover() -> None:
    """A job whose worker ended during the call is read back before anything else."""
    for reading, calls in ((FOUND, 0), (Missing(), 0)):
        bench = Bench(on_unknown="verify")
        bench.reading = reading
        bench.dispatch(bench.after_takeovers(1))
        assert (bench.calls, bench.reads) == (calls, 1)


def test_the_last_attempt_is_verified_too() -> None:
    """When the last call's answer is lost, reading decides: sent, or failed where no call was carried out."""
    for reading, expected in ((FOUND, ("sent", None)), (Missing(), ("failed", "unanswered"))):
        bench = verifying(max_attempts=1)
        bench.reading = reading
        disposition = bench.dispatch()
        if reading is not FOUND:
            disposition = bench.dispatch()
        result = result_of(disposition)
        assert (result["outcome"], result["code"], result["attempts"]) == (*expected, 1)
        assert bench.calls == 1


@pytest.mark.parametrize(
    ("reading", "expected"),
    [(FOUND, ("sent", None)), (Missing(), ("expired", None)), (DOWN, ("unknown", "unverified"))],
)
def test_expired(reading: Reading, expected: tuple[str, str | None]) -> None:
    """A job whose deadline passed after a lost answer is still read back, and never called again."""
    bench = Bench(LOST, on_unknown="verify", max_attempts=1)
    bench.job = make_job(not_after=to_datetime(NOON + SECOND))
    bench.reading = reading
    disposition = bench.dispatch()
    while isinstance(disposition, Later | Return):
        bench.clock.advance(RETRY_CAP)
        disposition = bench.dispatch()
    result = result_of(disposition)
    assert (result["outcome"], result["code"]) == expected
    assert bench.calls == 1


FAILED: list[Reading] = [
    DOWN,
    Unknown(None, "timeout"),
    Unknown(None, "connection_lost"),
    Unknown(200, "unreadable_answer"),
    A_PAGE,
    Refused(302, "http_302"),
]


@pytest.mark.parametrize("reading", FAILED)
def test_a_read_that_fails(reading: Retry | Unknown | Halted) -> None:
    """A read that finds nothing out is repeated as an attempt; after the last the job is unknown, and never called."""
    bench = verifying(max_attempts=2)
    bench.reading = reading
    disposition = bench.dispatch()
    while isinstance(disposition, Later):
        assert disposition.verdict == Retry(reading.status, reading.code), "the shop's breaker learns of it"
        assert disposition.spent
        bench.clock.set(disposition.not_before)
        disposition = bench.dispatch()
    result = result_of(disposition)
    assert (result["outcome"], result["code"], result["referral"]) == ("unknown", "unverified", None)
    assert (bench.calls, bench.reads) == (1, 3)
    assert bench.registry.get_sample_value("referral_verifications_total", {"result": "failed"}) == 3


def test_a_read_that_fails_and_then_works() -> None:
    """Once a read works again, the job goes on as if the others had not been."""
    bench = verifying()
    bench.reading = DOWN
    failed = bench.dispatch()
    assert isinstance(failed, Later)
    bench.clock.set(failed.not_before)
    bench.reading = FOUND
    assert result_of(bench.dispatch())["outcome"] == "sent"


def test_a_read_that_fails_while_probing() -> None:
    """While the upstream fails for everybody, reads that fail spend no attempts either."""
    bench = verifying(max_attempts=1)
    bench.reading = DOWN
    for _ in range(10):
        disposition = bench.dispatch(probing=True)
        assert isinstance(disposition, Later)
        bench.clock.set(disposition.not_before)
    assert bench.calls == 1
    assert bench.grant().unknowns == 1


@pytest.mark.parametrize("reading", [UNREACHABLE, BAD_TOKEN, OBSOLETE])
def test_a_read_that_nobody_could_make(reading: Retry | Halted) -> None:
    """A bad token, a wrong version, an upstream out of reach are the shop's affair: no attempt, no result, no call.

    The job waits elsewhere, so that it is not the one that the shop is tried with again and again.
    """
    bench = verifying(max_attempts=1)
    bench.reading = reading
    elapsed = 0
    for _ in range(10):
        grant = bench.grant()
        elapsed = grant.elapsed
        disposition = bench.dispatch(grant)
        assert isinstance(disposition, Later)
        assert (disposition.verdict, disposition.spent) == (reading, False)
        assert isinstance(reading, Retry) or disposition.not_before >= bench.clock.now() + RETRY_CAP // 2
        bench.clock.set(disposition.not_before)
    assert bench.calls == 1
    again = bench.grant()
    assert (again.attempts, again.unknowns, again.elapsed) == (2, 1, elapsed)


def test_a_token_that_may_call_and_not_read() -> None:
    """Where others are called meanwhile, a read that is refused for the last time ends the job, which stays unknown."""
    bench = verifying()
    bench.reading = BAD_TOKEN
    disposition = bench.dispatch(ends_if_refused=True)
    result = result_of(disposition)
    assert (result["outcome"], result["code"], result["attempts"]) == ("unknown", "invalid_token", 1)
    assert disposition.verdict is None
    assert bench.calls == 1


@pytest.mark.parametrize("retry_after", [7 * SECOND, None])
def test_a_read_that_is_throttled(retry_after: int | None) -> None:
    """A read's 429 makes the job wait as it says, and neither blocks the customer's calls nor counts as an attempt."""
    bench = verifying(per_day=2)
    bench.reading = Throttled(429, "rate_limit_exceeded", "customer", retry_after)
    grant = bench.grant()
    until = bench.clock.now() + CALL + (retry_after or DEFAULT_THROTTLE)
    assert bench.dispatch(grant) == Return(grant.epoch, scope="customer", until=until)
    assert (bench.calls, bench.reads) == (1, 1)
    again = bench.grant()
    assert (again.attempts, again.unknowns) == (2, 1)


def test_reads_have_their_own_limit() -> None:
    """A read that its customer's limit doesn't allow is not made: the job waits for its time, its grant undone."""
    bench = verifying(per_day=2)
    request = bench.request()
    assert [bench.store.take_read(request), bench.store.take_read(request)] == [None, None]
    grant = bench.grant()
    until = bench.clock.now() + SECOND // 2
    assert bench.dispatch(grant) == Return(grant.epoch, scope="customer", until=until)
    assert (bench.calls, bench.reads) == (1, 0)
    assert bench.grant().unknowns == 1


def test_a_read_that_is_refused() -> None:
    """An error that another read would get too ends the job as unknown, with that code."""
    bench = verifying()
    bench.reading = Rejected(403, "customer_identity_does_not_match_token", None, listed=True)
    result = result_of(bench.dispatch())
    assert (result["outcome"], result["code"]) == ("unknown", "customer_identity_does_not_match_token")
    assert bench.calls == 1


@pytest.mark.parametrize("reading", [FOUND, Missing(), DOWN, BAD_TOKEN])
def test_fenced(reading: Reading) -> None:
    """A worker that was overtaken while reading publishes nothing, repeats nothing and hides no lost answer."""
    bench = verifying()
    bench.reading = reading
    grant = bench.grant()
    overtaken_by: list[Grant] = []

    def freeze(shop: object, job: object) -> Reading:
        del shop, job
        bench.clock.advance(LEASE + LEASE_MARGIN + GRANT_LIFETIME)
        overtaken_by.append(bench.grant())
        return reading

    bench.on_read = freeze
    disposition = bench.dispatch(grant)
    assert isinstance(disposition, Fenced | Return)
    assert disposition.verdict is None or isinstance(disposition, Fenced)
    bench.store.release(bench.request(), overtaken_by[0].epoch, called=False)
    assert bench.grant().unknowns == 2


def test_nobody_to_ask_about() -> None:
    """A job that names no customer can't be read back; Refer2 refuses it however often it is called."""
    bench = Bench(LOST, on_unknown="verify")
    bench.job = foreign_job(customer={})
    first = bench.dispatch()
    assert isinstance(first, Later)
    bench.clock.set(first.not_before)
    bench.verdict = REJECTED
    assert result_of(bench.dispatch())["outcome"] == "rejected"
    assert (bench.calls, bench.reads) == (2, 0)


def test_a_policy_that_changed() -> None:
    """A shop that is switched from verify to report ends the job as unknown, without a call."""
    bench = verifying()
    bench.shop = Bench(on_unknown="report").shop
    result = result_of(bench.dispatch())
    assert (result["outcome"], result["code"]) == ("unknown", "interrupted")
    assert bench.calls == 1


@pytest.mark.parametrize("on_unknown", ["resend", "verify", "report"])
@pytest.mark.parametrize(("verdict", "outcome"), [(DOWN, "failed"), (LOST, "unknown")])
def test_elapsed(verdict: Verdict, outcome: str, on_unknown: str) -> None:
    """A job is tried no longer than its shop's bound, calls and ordered waits counted and time in the queue not."""
    bench = Bench(verdict, on_unknown=on_unknown, max_attempts=100, max_elapsed_seconds=60)
    bench.reading = Missing()
    disposition = bench.dispatch()
    tried = 0
    while isinstance(disposition, Later | Return):
        if isinstance(disposition, Later):
            tried = disposition.elapsed
            bench.clock.set(disposition.not_before + 3600 * SECOND)
        disposition = bench.dispatch(go(bench.store, bench.request()))
    result = result_of(disposition)
    if on_unknown == "verify" and verdict is LOST:
        assert (result["outcome"], result["code"]) == ("failed", "unanswered")
        assert bench.calls == 4, "12.25 + 14.25 + 18.25 s fit, and with 26.25 more the next grant makes no call"
    elif on_unknown == "report" and verdict is LOST:
        assert (result["outcome"], bench.calls) == ("unknown", 1)
    else:
        assert (result["outcome"], bench.calls) == (outcome, 5), "2 + 4 + 8 + 16 s fit in a minute, 32 more don't"
        assert tried == 30 * SECOND + 4 * CALL


def test_a_probe_takes_no_time() -> None:
    """What an outage lasts doesn't count: probes leave the bound as it was."""
    bench = Bench(DOWN, max_elapsed_seconds=1)
    for _ in range(20):
        disposition = bench.dispatch(probing=True)
        assert isinstance(disposition, Later)
        assert disposition.elapsed == 0
        bench.clock.set(disposition.not_before)
    assert bench.grant().elapsed == 0
