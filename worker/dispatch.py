"""The use case: one granted job, one call, one disposition."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.clock import SECOND, Clock, from_datetime, to_datetime
from worker.errors import StoreError
from worker.jobs import Job, Outcome, Result
from worker.metrics import Metrics
from worker.shops import ShopConfig
from worker.store.base import GRANT_LIFETIME, LEASE_MARGIN, Ask, Go, Store
from worker.verdicts import Halted, Rejected, Retry, Scope, Sent, Throttled, Unknown, Verdict

DEFAULT_THROTTLE = SECOND
"""How long a 429 without a readable ``Retry-After`` blocks; the vendor's shortest window is a second."""

RETRY_BASE = 2 * SECOND
RETRY_CAP = 300 * SECOND
"""Bounds of the wait before a repeated call; an outage of five minutes is seen through in eight attempts."""

STORE_PAUSE = SECOND // 2
"""How long a store that was out of reach is left alone before an outcome is offered to it again."""

LONGEST_OF_A_PACE = 60 * SECOND
"""A shop's 429 that asks for a longer wait speaks of a day's quota, not of its pace."""


@dataclass(frozen=True, slots=True)
class Finish:
    """A final result is recorded in the ledger: publish ``body``, then settle and acknowledge."""

    epoch: int
    body: str
    outcome: Outcome
    code: str | None
    has_share_action: bool
    verdict: Verdict | None = None

    @classmethod
    def recorded(cls, epoch: int, body: str) -> "Finish":
        """The disposition of a job whose result (its JSON) was recorded earlier and has yet to be published."""
        result: dict[str, Any] = json.loads(body)
        return cls(epoch, body, result["outcome"], result["code"], result["share_action"] is not None)


@dataclass(frozen=True, slots=True)
class Later:
    """The repeat is recorded in the ledger: put a copy into a delay queue until ``not_before``, then acknowledge.

    ``spent`` tells whether the call counts as an attempt.
    """

    epoch: int
    not_before: int
    verdict: Verdict
    spent: bool = True


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Nothing became of it, and no attempt was spent: the job stays a job.

    ``scope`` and ``until`` tell who waits and until when; None where it may ask again at once.
    """

    epoch: int
    scope: Scope | None = None
    until: int = 0
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another worker took the job over while this call was under way: publish nothing, acknowledge nothing."""

    verdict: Verdict


Disposition = Finish | Later | GiveBack | Fenced


class Dispatcher:
    """Calls Refer2 for granted jobs. Safe to use from many threads.

    ``shop_of`` looks a shop up, ``refer`` makes the call (it may block for the longest call that a lease allows for),
    ``stopping`` tells that no call may start any more, ``random`` (0 to 1) spreads repeats, ``sleep`` (seconds) waits
    for a store that is out of reach.
    """

    def __init__(
        self,
        *,
        shop_of: Callable[[str], ShopConfig | None],
        refer: Callable[[ShopConfig, Job], Verdict],
        store: Store,
        clock: Clock,
        metrics: Metrics,
        stopping: Callable[[], bool],
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._shop_of = shop_of
        self._refer = refer
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._stopping = stopping
        self._random = random
        self._sleep = sleep

    def dispatch(self, job: Job, ask: Ask, grant: Go, *, probing: bool = False) -> Disposition:
        """Make the call that the grant allows and record what it came to.

        ``probing`` says that the upstream has failed for everybody and this call only finds out whether it still does:
        it spends none of the job's attempts. What the disposition says has still to be carried out; the ledger already
        knows it, so that whoever meets the job again carries on from there.

        Raises:
          worker.errors.StoreError: the outcome could not be recorded; the ledger's lease decides who goes on.
        """
        called_at = self._clock.now()
        shop = self._shop_of(job.shop)
        if self._stopping() or called_at > grant.start_by or shop is None:
            return self._give_back(ask, grant)
        if ask.free or is_expired(job, called_at):
            return self._finish(job, ask, grant, "expired")
        if grant.takeovers and shop.on_unknown == "report":
            return self._finish(job, ask, grant, "unknown", code="interrupted")
        if grant.attempts > shop.max_attempts:
            return self._finish(job, ask, grant, "unknown", code="interrupted")

        if grant.attempts == 1 and job.published_at is not None:
            self._metrics.publish_to_call.observe((called_at - from_datetime(job.published_at)) / SECOND)
        with self._metrics.calling(job.shop):
            verdict = self._refer(shop, job)
        if not (isinstance(verdict, Rejected) and verdict.status is None):
            self._metrics.answered(job.shop, verdict, (self._clock.now() - called_at) / SECOND)

        match verdict:
            case Sent():
                return self._finish(job, ask, grant, "sent", verdict=verdict, called_at=called_at)
            case Rejected():
                return self._finish(job, ask, grant, "rejected", verdict=verdict, called_at=called_at)
            case Throttled():
                return self._throttled(ask, grant, verdict)
            case Halted():
                self._store.release(ask, grant.epoch, called=True)
                return GiveBack(grant.epoch, verdict=verdict)
            case Retry(status=None):
                # The job never got there, so it can't be the reason: the shop's breaker decides when to try again.
                self._store.release(ask, grant.epoch, called=True)
                return GiveBack(grant.epoch, verdict=verdict)
            case Retry():
                if probing or grant.attempts < shop.max_attempts:
                    return self._retry(ask, grant, verdict, probing=probing)
                return self._finish(job, ask, grant, "failed", verdict=verdict, called_at=called_at)
            case Unknown():
                if (probing or grant.attempts < shop.max_attempts) and shop.on_unknown == "resend":
                    return self._retry(ask, grant, verdict, probing=probing)
                return self._finish(job, ask, grant, "unknown", verdict=verdict, called_at=called_at)

    def _give_back(self, ask: Ask, grant: Go) -> GiveBack:
        self._store.release(ask, grant.epoch, called=False)
        return GiveBack(grant.epoch)

    def _throttled(self, ask: Ask, grant: Go, verdict: Throttled) -> GiveBack:
        # Where the answer doesn't tell whose limit it was, blocking the customer is the smaller mistake; a shop's
        # limit then answers 429 to the next customer too.
        wait = verdict.retry_after or DEFAULT_THROTTLE
        until = self._clock.now() + wait
        scope = verdict.scope or ("customer" if ask.customer else "shop")
        if scope == "shop" and wait <= LONGEST_OF_A_PACE and ask.limits.adapts:
            # Booked up to so long ahead, perhaps before an earlier refusal: that fall has allowed for it already.
            self._store.slow_down(ask, grant.start_at - GRANT_LIFETIME)
        self._store.block(ask.shop, ask.customer if scope == "customer" else None, until)
        self._store.release(ask, grant.epoch, called=True)
        return GiveBack(grant.epoch, scope=scope, until=until, verdict=verdict)

    def _retry(self, ask: Ask, grant: Go, verdict: Retry | Unknown, *, probing: bool) -> Later | Fenced:
        # Full jitter: after an outage the repeats of a whole campaign must not come back at one instant.
        bound = min(RETRY_BASE << (grant.attempts - 1), RETRY_CAP)
        not_before = self._clock.now() + int(bound * self._random())
        unknown = isinstance(verdict, Unknown)
        spent = not probing
        recorded = self._insist(
            ask,
            grant,
            lambda: self._store.retry(ask, grant.epoch, not_before, unknown=unknown, spent=spent),
        )
        if not recorded:
            return Fenced(verdict)
        self._metrics.repeated(verdict)
        return Later(grant.epoch, not_before, verdict, spent=spent)

    def _insist(self, ask: Ask, grant: Go, record: Callable[[], bool]) -> bool:
        # The call was made. Forgotten, it would be made again once its lease is over, so the lease is used to the end.
        # What was recorded unheard is refused the second time; the job's message then finds it in the ledger.
        lease_ends = grant.start_by + ask.lease + LEASE_MARGIN
        while True:
            try:
                return record()
            except StoreError:
                if self._clock.now() + STORE_PAUSE >= lease_ends:
                    raise
            self._sleep(STORE_PAUSE / SECOND)

    def _finish(
        self,
        job: Job,
        ask: Ask,
        grant: Go,
        outcome: Outcome,
        *,
        code: str | None = None,
        verdict: Verdict | None = None,
        called_at: int | None = None,
    ) -> Disposition:
        if grant.unknowns and outcome in ("failed", "expired"):
            # This call was not carried out, but an earlier one may have been.
            outcome, code = "unknown", code or "interrupted"
        finished_at = self._clock.now()
        answer = verdict if isinstance(verdict, Sent) else None
        if verdict is not None and not isinstance(verdict, Sent):
            code = verdict.code
        result = Result(
            job_id=job.job_id,
            campaign=job.campaign,
            shop=job.shop,
            run=job.run,
            line=job.line,
            reference=job.reference,
            customer=job.customer,
            channel=job.channel,
            destination=job.destination,
            sender=job.sender,
            outcome=outcome,
            code=code,
            status=verdict.status if verdict is not None else None,
            message=getattr(verdict, "message", None),
            referral=dict(answer.referral) if answer else None,
            share_action=answer.share_action if answer else None,
            # Without a call this time, the attempt that the grant counted was not made.
            attempts=grant.attempts if called_at is not None else grant.attempts - 1,
            published_at=job.published_at,
            called_at=to_datetime(called_at) if called_at is not None else None,
            finished_at=to_datetime(finished_at),
            latency_seconds=(finished_at - called_at) / SECOND if called_at is not None else None,
        )
        body = result.to_json()
        if not self._insist(ask, grant, lambda: self._store.answer(ask, grant.epoch, body)):
            return Fenced(verdict) if verdict is not None else GiveBack(grant.epoch)
        self._metrics.finished(job.shop, outcome)
        return Finish(grant.epoch, body, outcome, code, result.share_action is not None, verdict)


def is_expired(job: Job, now: int) -> bool:
    """Whether the job's deadline has passed, so that it ends without a call."""
    return job.not_after is not None and now > from_datetime(job.not_after)
