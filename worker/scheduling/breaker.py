"""When calling a shop is pointless: a row of bad answers closes it for a while.

What may be a single job's trouble does not close the shop: see :mod:`worker.scheduling.attribution`.
Pure; the time is an argument (microseconds). Runs on the consumer's thread.
"""

from dataclasses import dataclass
from typing import Literal

from worker.backoff import doubling_pause
from worker.instants import SECOND
from worker.model.verdicts import Halted, Refused, Rejected, Retry, Sent, Throttled, Unknown, Verdict
from worker.scheduling.attribution import EVERYBODY, NOBODY, Others, Subject

FAILURES_IN_A_ROW = 10
"""Failed calls in a row that close the shop: one bad job is not an outage."""

UNLISTED_IN_A_ROW = 50
"""Rejections in a row, all with one undocumented code, that close the shop: a rule of the shop's rejects the whole
campaign."""

FIRST_CLOSURE = 5 * SECOND
LONGEST_CLOSURE = 300 * SECOND

Cause = Literal["halted", "breaker", "unlisted_code"]

CAUSES: tuple[Cause, ...] = ("halted", "breaker", "unlisted_code")


@dataclass(frozen=True, slots=True)
class BreakerOpen:
    """Close the shop until ``until``, then let one job at a time probe it.

    With ``every_shop`` all shops of its base URL and API version are closed. ``in_a_row`` counts the closures since the
    shop's last good answer, this one included. ``token_taken``: Status2 has accepted the shop's token since the closure
    before.
    """

    cause: Cause
    until: int
    code: str
    in_a_row: int
    every_shop: bool = False
    token_taken: bool = False


@dataclass(frozen=True, slots=True)
class BreakerClosed:
    """The shop answers again."""


class Breaker:
    """Watches one shop's verdicts. Each closure in a row is twice as long as the one before, up to five minutes."""

    def __init__(self) -> None:
        self.others = Others()
        self._failures = 0
        self._unlisted = 0
        self._unlisted_code = ""
        self._openings = 0
        self._until = 0
        self._refused = NOBODY
        self._answers = False
        self._token_taken = False

    def record(
        self, verdict: Verdict, now: int, job: Subject, *, ended: bool = False, read: bool = False
    ) -> BreakerOpen | BreakerClosed | None:
        """Take note of the verdict on a job's call, and of the job's trouble; what it changes for the shop.

        ``ended``: the job has ended with this verdict. ``read``: it was not a call but a read of the customer's
        referrals, which a token may be refused although it may call.
        The verdicts on calls that were under way when a closure began don't lengthen it.
        """
        match verdict:
            # Nothing was called, so it says nothing about calls.
            case Rejected(status=None):
                return None
            case Throttled():
                self.others.throttled(job, now)
                return None
            case Halted(every_shop=every_shop):
                # Refer2 may refuse the token to one job alone although Status2 accepts it.
                about_it = read or not every_shop
                own = about_it and self.others.refused(job, now, token_taken=self._token_taken)
                return None if own or ended else self.halt(verdict, now)
            case Refused(code=code):
                return self._refuse(code, now, job, ended=ended)
            case Retry(status=None, code=code):
                # A call that never reached Refer2 can't have failed because of the job.
                return self._fail(code, now)
            case Retry(code=code) | Unknown(code=code):
                return None if self.others.failed(job, now) else self._fail(code, now)
            case Rejected(listed=False, code=code):
                self._served(job, now)
                self._failures = 0
                self._unlisted = self._unlisted + 1 if code == self._unlisted_code else 1
                self._unlisted_code = code
                if self._unlisted >= UNLISTED_IN_A_ROW:
                    return self._open("unlisted_code", code, now)
                return self._answers_again()
            case Sent() | Rejected():
                self._served(job, now)
                self._failures = self._unlisted = 0
                return self._answers_again()

    def halt(self, verdict: Halted, now: int) -> BreakerOpen | None:
        """A verdict that halts the shop, whether a job's call or the question about its token was answered so."""
        return self._open("halted", verdict.code, now, every_shop=verdict.every_shop)

    def token_was_taken(self) -> None:
        """Status2 accepts the shop's token: a page that a job gets in place of an answer may be about that job."""
        self._token_taken = True

    def reset(self) -> BreakerClosed | None:
        """Forget everything: the shop is called by another credential, URL or version from now on."""
        self._failures = self._unlisted = 0
        self._refused = NOBODY
        self._answers = self._token_taken = False
        self.others = Others()
        return self._answers_again()

    def _answers_again(self) -> BreakerClosed | None:
        if not self._openings:
            return None
        self._openings = 0
        self._until = 0
        return BreakerClosed()

    def join(self, opening: BreakerOpen) -> None:
        """Another shop's answers closed this one too; its own next good answer ends that."""
        self._openings = max(self._openings, 1)
        self._until = max(self._until, opening.until)
        self._answers = self._token_taken = False

    def _served(self, job: Subject, now: int) -> None:
        self.others.served(job, now)
        self._refused = NOBODY
        self._answers = True

    def _fail(self, code: str, now: int) -> BreakerOpen | None:
        self._failures += 1
        return self._open("breaker", code, now) if self._failures >= FAILURES_IN_A_ROW else None

    def _refuse(self, code: str, now: int, job: Subject, *, ended: bool) -> BreakerOpen | None:
        again = job.job_id in self._refused
        own = self.others.refused(job, now, token_taken=self._token_taken and not again)
        if own or ended or now < self._until:
            return None
        # A shop that has not answered since it started or was closed may well have a wrong URL, so one job is enough.
        most = EVERYBODY if self._answers or self._token_taken else 1
        self._refused |= {job.job_id}
        return self._open("halted", code, now) if again or len(self._refused) >= most else None

    def _open(self, cause: Cause, code: str, now: int, *, every_shop: bool = False) -> BreakerOpen | None:
        if now < self._until:
            return None
        self._openings += 1
        length = doubling_pause(self._openings, FIRST_CLOSURE, LONGEST_CLOSURE)
        self._until = now + length
        opening = BreakerOpen(cause, self._until, code, self._openings, every_shop, self._token_taken)
        self._refused = NOBODY
        self._answers = self._token_taken = False
        return opening
