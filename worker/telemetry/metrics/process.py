"""What one process counts and shows."""

import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from worker.errors import DeadReason
from worker.instants import SECOND
from worker.model.controls import EVERY_SHOP
from worker.model.orders import ACTIONS
from worker.model.outcomes import OUTCOMES, Outcome
from worker.model.verdicts import Found, Missing, Reading, Retry, Unknown, Verdict
from worker.telemetry.metrics.exemplars import Exemplars
from worker.telemetry.metrics.labels import (
    ALL_SHOPS,
    OTHER_SHOPS,
    RESPONSE_CODES,
    SHOPS,
    Budget,
    CodeLabels,
    ShopLabels,
)
from worker.telemetry.metrics.series import Series

USUAL_CALL_SECONDS = 0.25
"""The length of a call that is assumed until some have been made."""

NEWEST_CALL = 0.02
"""The share of a call in the mean length of recent ones: it follows a change within about fifty calls."""


READY_PARTS = ("rabbitmq", "store", "shops_file", "suppression")

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class ShopView:
    """A shop at one moment: why it is closed (its pace apart), what its limits would let run, and today's remaining
    calls (None: not known)."""

    shop: str
    closed: frozenset[str]
    runnable_jobs_per_second: float
    quota_left: int | None


class Metrics(Series):
    """The metrics of one process. Label values are bounded: see :mod:`worker.telemetry.metrics.labels`.

    ``most_shops`` is how many shops have a label of their own. Any thread may count. Methods named ``show_…`` are for
    the consumer's thread alone. Nothing here blocks; with shared values it writes to a file that is mapped into memory.
    """

    def __init__(self, registry: CollectorRegistry, *, most_shops: int = SHOPS) -> None:
        super().__init__(registry)
        self.exemplars: Exemplars | None = None
        self._label_of = ShopLabels(most_shops)
        self._code_of = CodeLabels()
        self._budget = Budget()
        self._call_seconds = USUAL_CALL_SECONDS
        self._closed: dict[tuple[str, str], float] = {}
        self._runnable: dict[str, float] = {}
        self._quota: dict[str, float] = {}
        self._unready: dict[str, str | None] = {}
        versions = (platform.python_version(), metadata.version("dramatiq"))
        self.build.labels(metadata.version("referral-dispatch"), *versions).set(1)
        for reason in get_args(DeadReason):
            self.dead_letters.labels(reason)
        for result in ("found", "missing", "failed"):
            self.verifications.labels(result)
        for part in READY_PARTS:
            self.ready.labels(part)
        # Finding a series by its labels takes as long as counting into it. So the series that every job counts into are
        # found once and kept.
        self._responses_of = cache(self._find_response)
        self._results_of = cache(self._find_result)
        self._in_flight_of = cache(self._find_in_flight)
        self._runnable_of = cache(self.runnable.labels)
        self._quota_of = cache(self.quota_left.labels)
        self._answered = self.call_duration.labels("true")
        self._unanswered = self.call_duration.labels("false")

    def show_ready(self, part: str, reason: str | None) -> None:
        """Show whether a part works: None, or the word for what is wrong with it."""
        self.ready.labels(part).set(reason is None)
        before = self._unready.get(part)
        if reason != before:
            if before is not None:
                self.unready.labels(part, before).set(0)
            if reason is not None:
                self.unready.labels(part, reason).set(1)
            self._unready[part] = reason

    def declare_shops(self, rates: Mapping[str, float]) -> None:
        """Show shops at 0 before their first call, so that a rate over their series is right from the start.

        ``rates`` is how many calls a second the limits of each allow. Declaring again sets no count back.
        """
        self._label_of.admit(rates)
        for label in {self._label_of.of(shop) for shop in rates}:
            for code in RESPONSE_CODES:
                self.responses.labels(label, code)
            for outcome in OUTCOMES:
                self.results.labels(label, outcome)
            self.in_flight.labels(label)
            self.deferrals.labels(label)
            self.runnable.labels(label)
        for shop, rate in rates.items():
            if self._label_of.of(shop) == shop:
                self.rate.labels(shop).set(rate)
                self.effective_rate.labels(shop).set(rate)

    def calling(self, shop: str) -> AbstractContextManager[None]:
        """Show a call as in flight for the length of a ``with``."""
        return self._in_flight_of(shop).track_inprogress()

    def answered(self, shop: str, verdict: Verdict, seconds: float) -> None:
        """Count a call that took ``seconds``, by its verdict."""
        self._responses_of(shop, self._code_of.of(verdict)).inc()
        unanswered = isinstance(verdict, Retry | Unknown)
        (self._unanswered if unanswered else self._answered).observe(seconds)
        if self.exemplars is not None:
            self.exemplars.note(seconds, answered=not unanswered)
        # Not locked: two threads at once may lose one call, which hardly moves a mean of fifty.
        self._call_seconds += (seconds - self._call_seconds) * NEWEST_CALL
        if isinstance(verdict, Unknown):
            self.unknowns.labels(verdict.code).inc()

    def verified(self, reading: Reading) -> None:
        """Count what a read of a customer's referrals found."""
        self.verifications.labels({Found: "found", Missing: "missing"}.get(type(reading), "failed")).inc()

    def repeated(self, verdict: Verdict) -> None:
        """Count a call that will be repeated, by the verdict of the last one."""
        self.retries.labels(self._code_of.of(verdict)).inc()

    def finished(self, shop: str, outcome: Outcome) -> None:
        """Count a final result."""
        self._results_of(shop, outcome).inc()

    def deferred(self, shop: str) -> None:
        """Count a job that was put into a delay queue."""
        self.deferrals.labels(self._label_of.of(shop)).inc()

    def store_answered(self, seconds: float, failed: int) -> None:
        """Count a round trip to the store, of which ``failed`` commands were not carried out."""
        self.store_duration.observe(seconds)
        if failed:
            self.store_errors.inc(failed)

    def show_effective_rate(self, shop: str, rate: float) -> None:
        """Show a shop's pace, in calls a second."""
        if self._label_of.of(shop) == shop:
            self.effective_rate.labels(shop).set(rate)

    def show_credential(self, shop: str, expires_at: float) -> None:
        """Show when a shop's ready-made token expires (Unix time)."""
        if self._label_of.of(shop) == shop:
            self.credential_expiry.labels(shop).set(expires_at)

    def show_capacity(self, threads: int) -> None:
        """Show how many jobs a second the process can do."""
        self.capacity.set(threads / max(self._call_seconds, 0.001))

    def show_shops(self, views: Iterable[ShopView]) -> None:
        """Show shops as they are now; a shop that is left out is shown as open, with nothing to run."""
        closed: dict[tuple[str, str], float] = defaultdict(float)
        runnable: dict[str, float] = defaultdict(float)
        quota: dict[str, float] = {}
        for view in views:
            label = self._label_of.of(view.shop)
            for reason in view.closed:
                fits = label == OTHER_SHOPS or self._budget.has("closed", label, reason)
                closed[label if fits else OTHER_SHOPS, reason] += 1
            if view.runnable_jobs_per_second:
                runnable[label] += view.runnable_jobs_per_second
            if view.quota_left is not None and label != OTHER_SHOPS:
                quota[label] = view.quota_left
        # Only changes are written: for a thousand shops, finding and writing each series costs as much as all the rest.
        for pair, number in _changes(self._closed, closed):
            self.shop_closed.labels(*pair).set(number)
        for label, rate in _changes(self._runnable, runnable):
            self._runnable_of(label).set(rate)
        for label, left in _changes(self._quota, self._quota | quota):
            self._quota_of(label).set(left)
        self._closed, self._runnable = closed, runnable
        self._quota |= quota

    def show_order(self, action: str, shop: str, at: int) -> None:
        """Show when an operator gave an order (microseconds, Unix time); ``shop`` as in an order."""
        label = self._label_of.of(shop) if shop not in {"", EVERY_SHOP} else ALL_SHOPS
        action = action if action in ACTIONS else "other"
        fits = self._budget.has("order", action, label)
        self.operator_order.labels(action, label if fits else OTHER_SHOPS).set(at / SECOND)

    def _find_response(self, shop: str, code: str) -> Counter:
        label = self._label_of.of(shop)
        if code not in RESPONSE_CODES and not self._budget.has("response", label, code):
            code = "other"
        return self.responses.labels(label, code)

    def _find_result(self, shop: str, outcome: Outcome) -> Counter:
        return self.results.labels(self._label_of.of(shop), outcome)

    def _find_in_flight(self, shop: str) -> Gauge:
        return self.in_flight.labels(self._label_of.of(shop))


def _changes(before: Mapping[K, float], now: Mapping[K, float]) -> Iterator[tuple[K, float]]:
    # A key that is missing now counts as 0: a gauge keeps its last value until it is set.
    for key in before.keys() | now.keys():
        value = now.get(key, 0)
        if value != before.get(key):
            yield key, value
