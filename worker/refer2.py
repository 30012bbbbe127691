"""The client of Refer2: one job, one call, one verdict."""

import json
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from worker.answers import judge
from worker.clock import Clock
from worker.credentials import UnidentifiedCustomerError
from worker.jobs import EMAIL_CHANNEL, Customer, Job
from worker.shops import ShopConfig
from worker.transport import LONGEST_IDLE_SECONDS, NoAnswer, Transport, tls_context
from worker.verdicts import Rejected, Retry, Unknown, Verdict

_COMPACT = json.JSONEncoder(separators=(",", ":"))

log = structlog.get_logger(__name__)


class Refer2Client:
    """Calls Refer2. Safe to use from many threads: each has its own session, whose connections stay open.

    Nothing is retried here, and nothing of a token, a body or an address is logged.
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
    ) -> None:
        """``token_of`` gives the token for a call; the rest is as in :class:`worker.settings.Settings`.

        Raises:
          ConfigurationError: ``ca_file`` holds no certificates.
        """
        self._token_of = token_of
        self._clock = clock
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

    def refer(self, shop: ShopConfig, job: Job) -> Verdict:
        """Make the call for a job and say what it came to; blocks for up to the call's deadline.

        A job without ``customer.shopid`` at a shop that uses customer tokens is rejected without a call, with the code
        that Refer2 has for a missing identity.
        """
        try:
            token = self._token_of(shop, job.customer)
        except UnidentifiedCustomerError as error:
            return Rejected(None, "missing_customer_identity", f"{error}; not sent", listed=True)
        url = f"{shop.base_url}/api/{shop.api_version}/{shop.slug}/Refer2"
        answer = self._transport().post(url, token, _body(shop, job))
        if isinstance(answer, NoAnswer):
            return _unanswered(answer, shop, job)
        return judge(answer, self._clock.now())

    def close(self) -> None:
        """Close the connections of all threads; for the end, when no call is under way."""
        with self._lock:
            transports = list(self._transports)
        for transport in transports:
            transport.close()

    def _transport(self) -> Transport:
        transport: Transport | None = getattr(self._of_thread, "transport", None)
        if transport is None:
            transport = self._of_thread.transport = self._new_transport()
            with self._lock:
                self._transports.add(transport)
        return transport


def _unanswered(answer: NoAnswer, shop: ShopConfig, job: Job) -> Verdict:
    if not answer.sent:
        log.warning("refer2_unreachable", shop=shop.slug, job_id=job.job_id, reason=answer.reason)
        return Retry(None, "connection")
    log.warning("refer2_answer_lost", shop=shop.slug, job_id=job.job_id, reason=answer.reason)
    return Unknown(None, answer.flaw)


def _body(shop: ShopConfig, job: Job) -> bytes:
    # A customer's token names the customer itself. Escapes carry characters beyond ASCII, lone surrogates included.
    fields: dict[str, object] = {}
    if shop.token == "shop":  # noqa: S105 - a kind of token, not a token
        fields["customer"] = job.customer.identity()
    if job.sender:
        fields["sender"] = job.sender
    fields["channel"] = job.channel
    if job.channel == EMAIL_CHANNEL and job.destination:
        fields["destination"] = job.destination
    return _COMPACT.encode(fields).encode("ascii")
