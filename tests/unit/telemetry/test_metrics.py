"""The metrics: what they show from the start, what they count, and how many series they can make."""

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from worker.model.outcomes import OUTCOMES
from worker.model.verdicts import DOCUMENTED_CODES, Rejected, Retry, Sent, Unknown, Verdict
from worker.telemetry.metrics.labels import EXTRA_SERIES, OTHER_SHOPS, RESPONSE_CODES, SHOP_SERIES, UNLISTED_CODES
from worker.telemetry.metrics.process import Metrics, ShopView

SENT = Sent(200, None, {}, None)
LIMIT_OF_SERIES = 30_000


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of this test's own."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    """Metrics that know one shop."""
    made = Metrics(registry)
    made.declare_shops({"acme": 25})
    return made


def rejected(code: str) -> Rejected:
    """A shop's own rule."""
    return Rejected(400, code, None, listed=False)


def series(registry: CollectorRegistry) -> int:
    """How many series Prometheus would keep; a worker's shared values show no time of creation."""
    return sum(not sample.name.endswith("_created") for family in registry.collect() for sample in family.samples)


def test_declared_at_zero(metrics: Metrics, registry: CollectorRegistry) -> None:
    """A shop shows every documented code and every outcome at 0 before its first call."""
    for code in ("ok", "other", *DOCUMENTED_CODES):
        assert registry.get_sample_value("refer2_responses_total", {"shop": "acme", "code": code}) == 0
    for outcome in OUTCOMES:
        assert registry.get_sample_value("referral_results_total", {"shop": "acme", "outcome": outcome}) == 0
    for name in ("refer2_requests_in_flight", "referral_deferrals_total", "referral_runnable_jobs_per_second"):
        assert registry.get_sample_value(name, {"shop": "acme"}) == 0
    for name in ("referral_rate_calls_per_second", "referral_effective_rate_calls_per_second"):
        assert registry.get_sample_value(name, {"shop": "acme"}) == 25
    assert len(RESPONSE_CODES) == 12


def test_answered_and_finished(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Calls are counted by what they came to and by whether Refer2 answered, results by their outcome."""
    for verdict in (
        SENT,
        rejected("made_up"),
        rejected("Ann@example.com"),
        Retry(502, "http_502"),
        Unknown(None, "timeout"),
    ):
        metrics.answered("acme", verdict, 0.3)
    metrics.finished("acme", "sent")
    counted = {
        code: registry.get_sample_value("refer2_responses_total", {"shop": "acme", "code": code})
        for code in ("ok", "made_up", "other", "http_5xx", "timeout", "invalid_token")
    }
    assert counted == {"ok": 1, "made_up": 1, "other": 1, "http_5xx": 1, "timeout": 1, "invalid_token": 0}
    answered = {
        answer: registry.get_sample_value("refer2_call_duration_seconds_count", {"answered": answer})
        for answer in ("true", "false")
    }
    assert answered == {"true": 3, "false": 2}
    assert registry.get_sample_value("referral_unknown_calls_total", {"code": "timeout"}) == 1
    assert registry.get_sample_value("referral_results_total", {"shop": "acme", "outcome": "sent"}) == 1


def test_declaring_again_keeps_the_counts(metrics: Metrics, registry: CollectorRegistry) -> None:
    """A shops file that is read again sets nothing back to 0."""
    metrics.answered("acme", SENT, 0.1)
    metrics.declare_shops({"acme": 20})
    assert registry.get_sample_value("refer2_responses_total", {"shop": "acme", "code": "ok"}) == 1


def test_unlisted_codes_are_bounded(metrics: Metrics, registry: CollectorRegistry) -> None:
    """The first codes that nobody documents are shown by name; then, and where it is a label of ours, it is other."""
    for number in range(UNLISTED_CODES + 30):
        metrics.answered("acme", rejected(f"rule_{number}"), 0.1)
    metrics.answered("acme", rejected("rule_0"), 0.1)
    metrics.answered("acme", rejected("ok"), 0.1)
    assert registry.get_sample_value("refer2_responses_total", {"shop": "acme", "code": "rule_0"}) == 2
    assert registry.get_sample_value("refer2_responses_total", {"shop": "acme", "code": "other"}) == 31
    assert registry.get_sample_value("refer2_responses_total", {"shop": "acme", "code": "ok"}) == 0


def test_the_fastest_shops_have_labels(registry: CollectorRegistry) -> None:
    """Beyond the number of a setting shops are counted as one, and one that comes later takes nobody's place."""
    metrics = Metrics(registry, most_shops=2)
    metrics.declare_shops({"slow": 1, "fast": 100, "middle": 10})
    metrics.declare_shops({"slow": 1, "fast": 100, "middle": 10, "faster": 1000})
    for shop in ("fast", "middle", "slow", "faster"):
        metrics.answered(shop, SENT, 0.1)
        metrics.deferred(shop)
    counted = {
        shop: registry.get_sample_value("refer2_responses_total", {"shop": shop, "code": "ok"})
        for shop in ("fast", "middle", "slow", "faster", OTHER_SHOPS)
    }
    assert counted == {"fast": 1, "middle": 1, "slow": None, "faster": None, OTHER_SHOPS: 2}
    assert registry.get_sample_value("referral_rate_calls_per_second", {"shop": OTHER_SHOPS}) is None
    views = [ShopView(shop, frozenset({"halted"}), 5.0, 7) for shop in ("fast", "slow", "faster")]
    metrics.show_shops(views)
    assert registry.get_sample_value("referral_shop_closed", {"shop": OTHER_SHOPS, "reason": "halted"}) == 2
    assert registry.get_sample_value("referral_runnable_jobs_per_second", {"shop": OTHER_SHOPS}) == 10


def test_a_shop_that_opens(metrics: Metrics, registry: CollectorRegistry) -> None:
    """What a shop showed goes back to 0 once it isn't so any more."""
    metrics.show_shops([ShopView("acme", frozenset({"halted"}), 0, 90)])
    assert registry.get_sample_value("referral_shop_closed", {"shop": "acme", "reason": "halted"}) == 1
    metrics.show_shops([ShopView("acme", frozenset(), 25, 80)])
    assert registry.get_sample_value("referral_shop_closed", {"shop": "acme", "reason": "halted"}) == 0
    assert registry.get_sample_value("referral_runnable_jobs_per_second", {"shop": "acme"}) == 25
    metrics.show_shops([])
    assert registry.get_sample_value("referral_runnable_jobs_per_second", {"shop": "acme"}) == 0
    assert registry.get_sample_value("referral_quota_left_calls", {"shop": "acme"}) == 80


def test_series_of_a_thousand_shops(registry: CollectorRegistry) -> None:
    """Whatever happens to 1,000 shops, and whatever others come, a pod stays below its series."""
    metrics = Metrics(registry)
    shops = [f"shop-{number}" for number in range(1000)]
    reasons = frozenset({"throttled", "day_quota", "halted", "breaker", "unlisted_code", "backing_off", "paused"})
    metrics.declare_shops(dict.fromkeys(shops, 10.0))
    metrics.declare_shops(dict.fromkeys([*shops, *(f"late-{number}" for number in range(500))], 10.0))
    verdicts: list[Verdict] = [SENT, Retry(503, "http_503"), *(rejected(f"rule_{number}") for number in range(30))]
    for shop in shops:
        for verdict in verdicts:
            metrics.answered(shop, verdict, 0.1)
            metrics.repeated(verdict)
        metrics.show_credential(shop, 2e9)
    metrics.show_shops([ShopView(shop, reasons, 1.0, 5) for shop in [*shops, "late-1"]])
    metrics.show_capacity(16)
    assert SHOP_SERIES * 1000 + EXTRA_SERIES < series(registry) < LIMIT_OF_SERIES


def test_capacity_follows_the_calls(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Capacity is threads by the mean length of recent calls."""
    for _ in range(500):
        metrics.answered("acme", SENT, 2.0)
    metrics.show_capacity(16)
    assert registry.get_sample_value("referral_capacity_jobs_per_second") == pytest.approx(8, rel=0.01)


def test_names(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Every metric has our prefix, a help text and an entry; counters end in _total and nothing else does."""
    families = {family.name: family for family in registry.collect()}
    assert {entry.name.removesuffix("_total") for entry in metrics.entries} == set(families)
    for entry in metrics.entries:
        assert re.fullmatch(r"(referral|refer2)_[a-z0-9_]+", entry.name)
        assert entry.help.endswith(".")
        assert entry.name.endswith("_total") == (entry.kind == "counter")
        assert families[entry.name.removesuffix("_total")].type == entry.kind
    assert generate_latest(registry)
