"""Verdicts as metric labels."""

import pytest

from worker.model.verdicts import (
    DOCUMENTED_CODES,
    Halted,
    Refused,
    Rejected,
    Retry,
    Sent,
    Throttled,
    Unknown,
    Verdict,
    label_of,
)


@pytest.mark.parametrize(
    ("verdict", "label"),
    [
        (Sent(200, None, {}, None), "ok"),
        (
            Rejected(404, "no_customers_match_customer_identity", None, listed=True),
            "no_customers_match_customer_identity",
        ),
        (Rejected(400, "shop_closed_on_sundays", None, listed=False), "other"),
        (Rejected(400, "ok", None, listed=False), "other"),
        (Throttled(429, "rate_limit_exceeded", None, None), "rate_limit_exceeded"),
        (Throttled(429, "http_429", None, None), "http_4xx"),
        (Halted(401, "invalid_token", None, every_shop=False), "invalid_token"),
        (Refused(302, "http_302"), "http_3xx"),
        (Retry(None, "connection"), "connection"),
        (Retry(503, "http_503"), "http_5xx"),
        (Retry(None, "http_made_up"), "other"),
        (Unknown(None, "timeout"), "timeout"),
        (Unknown(None, "connection_lost"), "connection_lost"),
        (Unknown(200, "unreadable_answer"), "unreadable_answer"),
    ],
)
def test_label(verdict: Verdict, label: str) -> None:
    """A verdict's label is its code if that is ours or documented by the vendor; all others share one label."""
    assert label_of(verdict) == label


def test_labels_are_bounded() -> None:
    """Whatever codes and statuses the outside world makes up, the labels stay few."""
    labels = {
        label_of(verdict)
        for status in range(100, 1000)
        for code in (f"http_{status}", f"http_x{status}", f"made_up_{status}")
        for verdict in (Rejected(status, code, None, listed=False), Retry(status, code), Unknown(status, code))
    }
    assert len(labels) == 10


def test_documented_codes_are_labels() -> None:
    """Every code that the vendor documents is a label of its own."""
    assert {label_of(Rejected(400, code, None, listed=True)) for code in DOCUMENTED_CODES} == set(DOCUMENTED_CODES)
    assert len(DOCUMENTED_CODES) == 10
