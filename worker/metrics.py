"""The catalogue of metrics: every name, label and help text in one place.

``prometheus_client`` decides on import whether values live in this process or in files that several share, so a
process that is one of many sets ``PROMETHEUS_MULTIPROC_DIR`` before this module is imported.
"""

from contextlib import AbstractContextManager
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge

from worker.jobs import OUTCOMES, Outcome
from worker.verdicts import DOCUMENTED_CODES, Verdict, label_of

RESPONSE_CODES: tuple[str, ...] = ("ok", *DOCUMENTED_CODES, "other")
"""Values of the ``code`` label that every shop shows from the start, at 0."""


class Metrics:
    """The counters and gauges of one process. Label values are bounded: shops come from the file, codes from a list."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.responses = Counter(
            "refer2_responses_total",
            "Calls to Refer2 by what they came to: ok, the vendor's error code, or ours where no answer was readable.",
            ["shop", "code"],
            registry=registry,
        )
        self.results = Counter(
            "referral_results_total",
            "Final results handed over for publication, by outcome.",
            ["shop", "outcome"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "refer2_requests_in_flight",
            "Calls to Refer2 that are under way.",
            ["shop"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.ready = Gauge(
            "referral_ready",
            "1 while RabbitMQ and the store are there, so that calls can start; 0 while jobs wait for one of them.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.rate = Gauge(
            "referral_rate_calls_per_second",
            "Calls a second that the shops file allows the shop.",
            ["shop"],
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.effective_rate = Gauge(
            "referral_effective_rate_calls_per_second",
            "Calls a second of the shop at present: less than its rate after Refer2 refused some for their pace.",
            ["shop"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.deferrals = Counter(
            "referral_deferrals_total",
            "Jobs put into a delay queue: their customer's turn had not come, or another worker has them under way.",
            ["shop"],
            registry=registry,
        )
        self.retries = Counter(
            "referral_retries_total",
            "Calls that are to be repeated, by what the last one came to.",
            ["shop", "code"],
            registry=registry,
        )
        self.ledger_hits = Counter(
            "referral_ledger_hits_total",
            "Deliveries of a job that was answered before: calls that were not made twice.",
            ["shop"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "referral_dead_letters_total",
            "Messages parked in referrals.dead, by reason.",
            ["reason"],
            registry=registry,
        )
        # Finding a series by its labels takes as long as counting into it, so what each job counts is found once.
        self._responses_of = cache(self.responses.labels)
        self._results_of = cache(self.results.labels)
        self._in_flight_of = cache(self.in_flight.labels)

    def declare_shop(self, shop: str, rate: float) -> None:
        """Show the shop's series at 0 before its first call, so that a rate over them is right from the start.

        ``rate`` is how many calls a second its limits allow.
        """
        self.rate.labels(shop).set(rate)
        self.effective_rate.labels(shop).set(rate)
        for code in RESPONSE_CODES:
            self.responses.labels(shop, code)
        for outcome in OUTCOMES:
            self.results.labels(shop, outcome)
        self.in_flight.labels(shop)
        self.deferrals.labels(shop)
        self.ledger_hits.labels(shop)

    def calling(self, shop: str) -> AbstractContextManager[None]:
        """Show a call as in flight for the length of a ``with``."""
        return self._in_flight_of(shop).track_inprogress()

    def answered(self, shop: str, verdict: Verdict) -> None:
        """Count a call's verdict."""
        self._responses_of(shop, label_of(verdict)).inc()

    def finished(self, shop: str, outcome: Outcome) -> None:
        """Count a final result."""
        self._results_of(shop, outcome).inc()
