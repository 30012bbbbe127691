"""The client of Refer2 and of the vendor's two read calls: one request, one verdict."""

import json
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

from worker.clock import Clock
from worker.model.job import EMAIL_CHANNEL, Customer, Job
from worker.model.verdicts import Halted, Reading, Refused, Rejected, Retry, Unknown, Verdict
from worker.refer2.responses import Answer, judge
from worker.refer2.transport import LONGEST_IDLE_SECONDS, NoAnswer, Transport, tls_context
from worker.refer2.unanswered_calls import UnansweredCalls
from worker.refer2.verification import judge_referrals, judge_status
from worker.shops.config import ShopConfig
from worker.shops.credentials import UnidentifiedCustomerError
from worker.telemetry.tracing import Tracing
from worker.text.bounds import ANSWER, LISTING

_COMPACT = json.JSONEncoder(separators=(",", ":"))


class Refer2Client:
    """Calls Refer2. Safe to use from many threads: each has a session of its own, whose connections stay open.

    A call blocks its thread for up to the call's deadline, 20 s by default. Nothing is retried here. No token, body or
    address is logged.
    """

    def __init__(
        self,
        *,
        token_of: Callable[[ShopConfig, Customer], str],
        clock: Clock,
        connect_timeout_seconds: float = 3.05,
        read_timeout_seconds: float = 12.0,
        call_deadline_seconds: float = 20.0,
        longest_idle_seconds: float = LONGEST_IDLE_SECONDS,
        http_proxy: str | None = None,
        ca_file: Path | None = None,
        tracing: Tracing | None = None,
        send_traceparent: bool = False,
    ) -> None:
        """``token_of`` returns the token for a call, and ``tracing`` makes its span; the other values are those of
        :class:`worker.settings.Settings`.

        Raises:
          ConfigurationError: ``ca_file`` holds no certificates.
        """
        self._token_of = token_of
        self._clock = clock
        self._tracing = tracing
        self._send_traceparent = send_traceparent
        self._new_transport = partial(
            Transport,
            tls=tls_context(ca_file),
            proxy=http_proxy,
            connect_timeout=connect_timeout_seconds,
            read_timeout=read_timeout_seconds,
            deadline=call_deadline_seconds,
            longest_idle=longest_idle_seconds,
        )
        self._of_thread = threading.local()
        self._transports: weakref.WeakSet[Transport] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._unanswered = UnansweredCalls()

    def refer(self, shop: ShopConfig, job: Job) -> Verdict:
        """Make the call for a job and return its verdict; blocks for up to the call's deadline.

        All ids of a job must match one customer, and a customer token can't carry every kind of id. So at a shop with
        customer tokens, a job with other ids is rejected without a call, with the code that Refer2 would answer.
        """
        try:
            token = self._token_of(shop, job.customer)
        except UnidentifiedCustomerError as error:
            return Rejected(None, error.code, f"{error}; not sent", listed=True)
        answer = self._call(shop, "Refer2", token, _body(shop, job))
        if isinstance(answer, NoAnswer):
            event = "refer2_answer_lost" if answer.sent else "refer2_unreachable"
            self._unanswered.report(event, shop=shop.slug, job_id=job.job_id, reason=answer.reason)
            return _no_verdict(answer)
        self._unanswered.answered(shop.slug)
        verdict = judge(answer, self._wall())
        its_own = shop.token == "customer"  # noqa: S105 - a kind of token, not a token
        if its_own and isinstance(verdict, Halted) and verdict.code == "invalid_token":
            # Each customer has a token of its own, so either the shop's key is refused or only this customer. Refused
            # leaves that open: the breaker decides by how many customers it happens to.
            return Refused(verdict.status, verdict.code)
        return verdict

    def _wall(self) -> int:
        # A Retry-After may be a date, which goes by the wall clock.
        return self._clock.now() + self._clock.ahead()

    def read_back(self, shop: ShopConfig, job: Job) -> Reading:
        """Look for the job's referral among its customer's, with the shop's token; blocks as :meth:`refer` does."""
        token = self._token_of(shop, job.customer)
        body = _COMPACT.encode({"customer": job.customer.identity(), "deanonymize": True}).encode("ascii")
        answer = self._call(shop, "CustomerReferrals2", token, body, largest=LISTING.size)
        if isinstance(answer, NoAnswer):
            self._unanswered.report("read_back_failed", shop=shop.slug, job_id=job.job_id, reason=answer.reason)
            return _no_verdict(answer)
        return judge_referrals(answer, job, self._wall())

    def status(self, shop: ShopConfig) -> Verdict | None:
        """Ask ``Status2`` about the shop's token; blocks as :meth:`refer` does.

        None says that the token is accepted, and ``Halted`` that it is refused. Any other verdict says nothing about
        the token. A shop with customer tokens has no token of its own to ask about, so its answer is always such a
        verdict.
        """
        if shop.token == "customer":  # noqa: S105 - a kind of token, not a token
            return Unknown(None, "unreadable_answer")
        answer = self._call(shop, "Status2", self._token_of(shop, Customer()), b"{}")
        if isinstance(answer, NoAnswer):
            return _no_verdict(answer)
        return judge_status(answer, self._wall())

    def close(self) -> None:
        """Close the connections of all threads. Call it at the end, when no call is under way."""
        with self._lock:
            transports = list(self._transports)
        for transport in transports:
            transport.close()

    def _call(
        self, shop: ShopConfig, call: str, token: str, body: bytes, *, largest: int = ANSWER.size
    ) -> Answer | NoAnswer:
        url = _url(shop, call)
        if self._tracing is None:
            return self._transport().post(url, token, body, largest=largest)
        span = self._tracing.call(url, shop.slug)
        # No tracestate: it is for those who trace, and the vendor is somebody else.
        traceparent = span.context.traceparent if self._send_traceparent and span.context is not None else None
        answer = self._transport().post(url, token, body, largest=largest, traceparent=traceparent)
        if isinstance(answer, NoAnswer):
            span.end(answer.flaw if answer.sent else "connection")
        else:
            error = answer.flaw or (str(answer.status) if answer.status >= 400 else None)
            span.end(error, {"http.response.status_code": answer.status})
        return answer

    def _transport(self) -> Transport:
        transport: Transport | None = getattr(self._of_thread, "transport", None)
        if transport is None:
            transport = self._of_thread.transport = self._new_transport()
            with self._lock:
                self._transports.add(transport)
        return transport


def _no_verdict(answer: NoAnswer) -> Retry | Unknown:
    # Once the whole request has left, the call may have been carried out, whatever broke after that.
    return Unknown(None, answer.flaw) if answer.sent else Retry(None, "connection")


def _url(shop: ShopConfig, call: str) -> str:
    return f"{shop.base_url}/api/{shop.api_version}/{shop.slug}/{call}"


def _body(shop: ShopConfig, job: Job) -> bytes:
    # A customer's token names the customer, so the body doesn't. JSON's escapes carry every character beyond ASCII,
    # lone surrogates included, which UTF-8 could not.
    fields: dict[str, object] = {}
    if shop.token == "shop":  # noqa: S105 - a kind of token, not a token
        fields["customer"] = job.customer.identity()
    if job.sender:
        fields["sender"] = job.sender
    fields["channel"] = job.channel
    if job.channel == EMAIL_CHANNEL and job.destination:
        fields["destination"] = job.destination
    return _COMPACT.encode(fields).encode("ascii")
