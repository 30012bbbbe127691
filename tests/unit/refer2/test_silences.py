"""What is logged of calls that nobody answered."""

from structlog.testing import capture_logs

from worker.refer2.silences import Silences


def test_a_line_for_each_change_of_a_shop() -> None:
    """A shop's calls that fail alike are one warning, until an answer; another shop and another way have their own."""
    silences = Silences()
    with capture_logs() as logs:
        silences.end("acme")
        for shop, reason in [("acme", "refused"), ("acme", "refused"), ("acme", "reset"), ("acme", "refused")]:
            silences.tell("refer2_unreachable", shop=shop, job_id="1", reason=reason)
        silences.tell("refer2_unreachable", shop="bolt", job_id="1", reason="refused")
        for _ in range(2):
            silences.end("acme")
        silences.tell("refer2_unreachable", shop="acme", job_id="1", reason="refused")
    assert [(line["shop"], line.get("reason"), line["log_level"]) for line in logs] == [
        ("acme", "refused", "warning"),
        ("acme", "refused", "debug"),
        ("acme", "reset", "warning"),
        ("acme", "refused", "debug"),
        ("bolt", "refused", "warning"),
        ("acme", None, "info"),
        ("acme", "refused", "warning"),
    ]
