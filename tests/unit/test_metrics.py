"""The catalogue of metrics."""

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from worker.jobs import OUTCOMES
from worker.metrics import RESPONSE_CODES, Metrics
from worker.verdicts import DOCUMENTED_CODES, Rejected, Retry, Sent


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of this test's own."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    """Metrics that know one shop."""
    made = Metrics(registry)
    made.declare_shop("acme", 25)
    return made


def test_declared_at_zero(metrics: Metrics, registry: CollectorRegistry) -> None:
    """A shop shows every documented code and every outcome at 0 before its first call."""
    for code in ("ok", "other", *DOCUMENTED_CODES):
        assert registry.get_sample_value("refer2_responses_total", {"shop": "acme", "code": code}) == 0
    for outcome in OUTCOMES:
        assert registry.get_sample_value("referral_results_total", {"shop": "acme", "outcome": outcome}) == 0
    for name in ("refer2_requests_in_flight", "referral_deferrals_total", "referral_ledger_hits_total"):
        assert registry.get_sample_value(name, {"shop": "acme"}) == 0
    for name in ("referral_rate_calls_per_second", "referral_effective_rate_calls_per_second"):
        assert registry.get_sample_value(name, {"shop": "acme"}) == 25
    assert len(RESPONSE_CODES) == 12


def test_answered_and_finished(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Calls are counted by what they came to, results by their outcome."""
    for verdict in (
        Sent(200, None, {}, None),
        Rejected(400, "made_up", None, listed=False),
        Rejected(400, "made_up_too", None, listed=False),
        Retry(502, "http_502"),
    ):
        metrics.answered("acme", verdict)
    metrics.finished("acme", "sent")
    counted = {
        code: registry.get_sample_value("refer2_responses_total", {"shop": "acme", "code": code})
        for code in ("ok", "other", "http_5xx", "invalid_token")
    }
    assert counted == {"ok": 1, "other": 2, "http_5xx": 1, "invalid_token": 0}
    assert registry.get_sample_value("referral_results_total", {"shop": "acme", "outcome": "sent"}) == 1


def test_declaring_again_keeps_the_counts(metrics: Metrics, registry: CollectorRegistry) -> None:
    """A shops file that is read again sets nothing back to 0."""
    metrics.answered("acme", Sent(200, None, {}, None))
    metrics.declare_shop("acme", 20)
    assert registry.get_sample_value("refer2_responses_total", {"shop": "acme", "code": "ok"}) == 1


def test_names(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Every metric has our prefix and a help text, and counters end in _total."""
    families = list(registry.collect())
    assert len(families) == 10
    for family in families:
        assert re.fullmatch(r"(referral|refer2)_[a-z0-9_]+", family.name)
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge"}
    for line in generate_latest(registry).decode().splitlines():
        if line.startswith("# TYPE") and line.endswith(" counter"):
            assert line.split()[2].endswith(("_total", "_created"))
