"""Outcomes and codes in a command's summary."""

from collections import Counter

from worker.cli.outcome_rows import MOST_CODES, by_code, outcome_rows
from worker.model.outcomes import Outcome

CODES: Counter[tuple[Outcome, str]] = Counter({("rejected", "a_rule"): 3, ("failed", "http_503"): 4})


def test_codes_are_told_with_what_they_mean() -> None:
    """Each below its outcome, the most common first, a shop's own rule as such."""
    assert outcome_rows(Counter({"sent": 9, "failed": 4, "rejected": 3}), CODES) == [
        ("sent", "9"),
        ("failed", "4"),
        ("  http_503", "4  Refer2 failed at every attempt"),
        ("rejected", "3"),
        ("  a_rule", "3  the shop's own rule"),
    ]


def test_a_summary_stays_short() -> None:
    """Of hundreds of codes it names those that matter."""
    many: Counter[tuple[Outcome, str]] = Counter({("rejected", f"rule_{number}"): number for number in range(1, 500)})
    rows = outcome_rows(Counter({"rejected": many.total()}), many)
    assert len(rows) == 1 + MOST_CODES
    assert rows[1][0] == "  rule_499"


def test_a_code_of_two_outcomes_counts_once() -> None:
    """For another program codes are counted whatever their outcome."""
    assert by_code(CODES + Counter({("unknown", "http_503"): 1})) == {"a_rule": 3, "http_503": 5}
