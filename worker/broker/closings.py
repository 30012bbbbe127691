"""Closes a shop where its answers say that calling it is pointless, and opens it again."""

from collections.abc import Callable
from typing import Any

import structlog

from worker.breaker import CAUSES, Breaker, Pause, Resume
from worker.broker.host import Host
from worker.broker.prober import GRACE, Prober
from worker.clock import SECOND
from worker.gate import Gate
from worker.store.base import Closure
from worker.verdicts import Verdict

log = structlog.get_logger(__name__)


class Closings:
    """A breaker for each shop. What they find is done to the gate, noted in the store, counted and logged.

    For the consumer's thread alone. ``wake`` is called from another one when a question about a halted shop was
    answered. ``take_back`` undoes what a shop was granted, and ``closed`` hears of each shop whose answers closed it.
    """

    def __init__(
        self,
        host: Host,
        gate: Gate[Any],
        *,
        wake: Callable[[], None],
        take_back: Callable[[str], None],
        closed: Callable[[str, Pause], None],
    ) -> None:
        self._host = host
        self._gate = gate
        self._take_back = take_back
        self._closed = closed
        self._breakers: dict[str, Breaker] = {}
        self._prober = Prober(host.status, wake) if host.status is not None else None
        for cause in CAUSES:
            host.metrics.pauses.labels(cause)

    def learn(self, shop: str, verdict: Verdict) -> None:
        """A call of the shop came to this."""
        change = self._breaker(shop).record(verdict, self._host.clock.now())
        if isinstance(change, Pause):
            self._pause(shop, change)
        else:
            self._resume(shop, change)

    def start_anew(self, shop: str) -> None:
        """The shop's credential is another one: what went wrong with the old one is forgotten."""
        self._resume(shop, self._breaker(shop).reset())

    def probe(self, now: int) -> None:
        """Ask about a halted shop if one is due."""
        if self._prober is not None and (shop := self._prober.ask_next(now, self._host.shops.get)) is not None:
            self._gate.close(shop, now + self._host.longest_call + GRACE, "halted")

    @property
    def has_finding(self) -> bool:
        """Whether :meth:`take_finding` has something to do."""
        return self._prober is not None and self._prober.has_finding

    def take_finding(self) -> None:
        """Take up what was found out about a halted shop."""
        if self._prober is None or (finding := self._prober.take()) is None:
            return
        now = self._host.clock.now()
        shop = self._host.shops.get(finding.shop)
        if shop is not None and shop.credential.fingerprint == finding.fingerprint:
            self._gate.open(finding.shop, "halted")
            change = self._breaker(finding.shop).record(finding.refused, now) if finding.refused else None
            if isinstance(change, Pause):
                self._pause(finding.shop, change)
        self.probe(now)

    def close(self) -> None:
        """Ask no more about halted shops."""
        if self._prober is not None:
            self._prober.close()

    def _breaker(self, shop: str) -> Breaker:
        breaker = self._breakers.get(shop)
        if breaker is None:
            breaker = self._breakers[shop] = Breaker()
        return breaker

    def _pause(self, shop: str, pause: Pause) -> None:
        self._host.metrics.pauses.labels(pause.cause).inc()
        log.error(
            "shop_closed",
            shop=shop,
            cause=pause.cause,
            code=pause.code,
            every_shop=pause.every_shop,
            seconds=(pause.until - self._host.clock.now()) // SECOND,
        )
        for slug in self._host.shops.slugs() if pause.every_shop else (shop,):
            self._breaker(slug).join(pause)
            until = pause.until
            if pause.cause == "halted" and self._prober is not None:
                self._prober.watch(slug, until)
                until += GRACE
            self._gate.close(slug, until, pause.cause)
            self._gate.probe(slug, probing=True)
            self._take_back(slug)
            self._host.store.note(slug, Closure(pause.cause, pause.code, pause.until))
        self._closed(shop, pause)

    def _resume(self, shop: str, change: Resume | None) -> None:
        if change is None:
            return
        log.info("shop_reopened", shop=shop)
        if self._prober is not None:
            self._prober.forget(shop)
        self._host.store.note(shop, None)
        for cause in CAUSES:
            self._gate.open(shop, cause)
        self._gate.probe(shop, probing=False)
