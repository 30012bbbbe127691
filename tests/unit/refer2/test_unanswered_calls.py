"""What is logged of calls that nobody answered."""

from structlog.testing import capture_logs

from worker.refer2.unanswered_calls import UnansweredCalls


def test_a_line_for_each_change_of_a_shop() -> None:
    """A shop's calls that fail alike are one warning, until an answer; another shop and another way have their own."""
    unanswered_calls = UnansweredCalls()
    with capture_logs() as logs:
        unanswered_calls.answered("acme")
        for shop, reason in [("acme", "refused"), ("acme", "refused"), ("acme", "reset"), ("acme", "refused")]:
            unanswered_calls.report("refer2_unreachable", shop=shop, job_id="1", reason=reason)
        unanswered_calls.report("refer2_unreachable", shop="bolt", job_id="1", reason="refused")
        for _ in range(2):
            unanswered_calls.answered("acme")
        unanswered_calls.report("refer2_unreachable", shop="acme", job_id="1", reason="refused")
    assert [(line["shop"], line.get("reason"), line["log_level"]) for line in logs] == [
        ("acme", "refused", "warning"),
        ("acme", "refused", "debug"),
        ("acme", "reset", "warning"),
        ("acme", "refused", "debug"),
        ("bolt", "refused", "warning"),
        ("acme", None, "info"),
        ("acme", "refused", "warning"),
    ]
