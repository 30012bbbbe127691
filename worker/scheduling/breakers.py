"""Closes a shop while its answers show that calling it is pointless, and opens it again.

Runs on the consumer's thread. Only the token probe asks from a thread of its own.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import structlog

from worker.instants import SECOND
from worker.model.verdicts import Halted, Refused, Verdict
from worker.scheduling.attribution import Others
from worker.scheduling.breaker import CAUSES, Breaker, BreakerOpen
from worker.scheduling.context import Context
from worker.scheduling.delivery import Delivery
from worker.scheduling.gate import Gate
from worker.scheduling.grants import Grants
from worker.scheduling.port import Observer
from worker.scheduling.token_probe import GRACE, TokenProbe
from worker.store.shop_state import Closure

log = structlog.get_logger(__name__)


def _is_in_trouble(job: Delivery) -> bool:
    return job.trouble is not None and job.trouble.since > 0


class Breakers:
    """A breaker for each shop; what it decides is done in the gate, noted in the store, counted and logged.

    ``wake`` is called from the token probe's thread once it has asked about a halted shop. ``observer`` hears which
    shops an answer closed.
    """

    def __init__(
        self,
        context: Context,
        gate: Gate[Any],
        grants: Grants[Any],
        observer: Observer,
        *,
        wake: Callable[[], None],
    ) -> None:
        self._context = context
        self._gate = gate
        self._grants = grants
        self._observer = observer
        self._breakers: defaultdict[str, Breaker] = defaultdict(Breaker)
        self._token_probe = TokenProbe(context.status, wake) if context.status is not None else None
        for cause in CAUSES:
            context.metrics.pauses.labels(cause)

    def learn(self, job: Delivery, verdict: Verdict, *, ended: bool, read: bool) -> None:
        """Learn from the verdict on the job's call. ``ended`` and ``read`` are those of :meth:`Breaker.record`."""
        if isinstance(verdict, Refused) or (ended and isinstance(verdict, Halted)):
            then = "failed" if ended else "put_aside"
            self._context.metrics.refusals.labels(then).inc()
            log.warning("job_refused", shop=job.shop, job_id=job.job_id, code=verdict.code, then=then)
        now = self._context.clock.now()
        change = self._breakers[job.shop].record(verdict, now, job, ended=ended, read=read)
        if change is None:
            return
        if isinstance(change, BreakerOpen):
            self._close_shops(job.shop, change, job.job_id)
        else:
            self._resume(job.shop)

    def others(self, shop: str) -> Others:
        """How the shop's jobs fare."""
        return self._breakers[shop].others

    def start_anew(self, shop: str) -> None:
        """The shop has another credential or address: what went wrong with the old one is forgotten."""
        if self._breakers[shop].reset() is not None:
            self._resume(shop)

    def probe(self, now: int) -> None:
        """Ask about a halted shop's token if one is due."""
        if (
            self._token_probe is not None
            and (shop := self._token_probe.ask_next(now, self._context.shops.get)) is not None
        ):
            self._gate.close(shop, now + self._context.longest_call + GRACE, "halted")

    @property
    def has_finding(self) -> bool:
        """Whether :meth:`take_finding` has something to do."""
        return self._token_probe is not None and self._token_probe.has_finding

    def take_finding(self) -> None:
        """Act on what the token probe has found out about a halted shop."""
        if self._token_probe is None or (finding := self._token_probe.take()) is None:
            return
        now = self._context.clock.now()
        shop = self._context.shops.get(finding.shop)
        # With another credential by now, the answer is about one that nobody uses any more.
        if shop is not None and shop.credential.fingerprint == finding.fingerprint:
            self._gate.open(finding.shop, "halted")
            breaker = self._breakers[finding.shop]
            if finding.taken:
                breaker.token_was_taken()
            change = breaker.halt(finding.refused, now) if finding.refused else None
            if change is not None:
                self._close_shops(finding.shop, change)
        self.probe(now)

    def close(self) -> None:
        """Ask no more about halted shops."""
        if self._token_probe is not None:
            self._token_probe.close()

    def _close_shops(self, shop: str, opening: BreakerOpen, job_id: str | None = None) -> None:
        shops = self._alike(shop) if opening.every_shop else [shop]
        self._context.metrics.pauses.labels(opening.cause).inc()
        log.error(
            "shop_closed",
            shop=shop,
            job_id=job_id,
            cause=opening.cause,
            code=opening.code,
            every_shop=opening.every_shop,
            shops=len(shops),
            seconds=(opening.until - self._context.clock.now()) // SECOND,
        )
        for slug in shops:
            self._breakers[slug].join(opening)
            until = opening.until
            if opening.cause == "halted" and self._token_probe is not None:
                self._token_probe.watch(slug, until)
                until += GRACE
            self._gate.close(slug, until, opening.cause)
            # A job that is in trouble already would find out nothing about the others.
            rather_not = _is_in_trouble if self.others(slug).in_trouble else None
            self._gate.probe(slug, probing=True, rather_not=rather_not)
            self._grants.release_shop(slug)
            # For a person who asks by `referrals shops`; other processes find out by the answers to their own calls.
            self._context.store.note(slug, Closure(opening.cause, opening.code, opening.until))
        self._observer.shops_closed(shops, opening)

    def _alike(self, shop: str) -> list[str]:
        # An API version that is refused is refused to every shop that is called there by it, and to no other.
        configs = {slug: config for slug in self._context.shops.slugs() if (config := self._context.shops.get(slug))}
        called = configs.get(shop)
        if called is None:
            return [shop]
        endpoint = (called.base_url, called.api_version)
        return [slug for slug, config in configs.items() if (config.base_url, config.api_version) == endpoint]

    def _resume(self, shop: str) -> None:
        log.info("shop_reopened", shop=shop)
        if self._token_probe is not None:
            self._token_probe.forget(shop)
        self._context.store.note(shop, None)
        for cause in CAUSES:
            self._gate.open(shop, cause)
        self._gate.probe(shop, probing=False)
