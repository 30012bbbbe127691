"""The summary of a merge."""

from collections import Counter
from pathlib import Path

from worker.cli.merging import summary_data, summary_rows
from worker.merging.merge import Merged


def test_reasons_stand_below_their_outcome() -> None:
    """Whatever outcomes come after it; for another program they are counted by code alone."""
    outcomes = Counter({"left_out": 3, "pending": 2, "rejected": 1})
    codes = Counter({("rejected", "a_rule"): 1, ("left_out", "unsubscribed"): 2, ("left_out", "suppressed"): 1})
    merged = Merged([Path("m.csv")], (), outcomes, codes)
    assert summary_rows(merged)[1:-2] == [
        ("  left out", "3"),
        ("    unsubscribed", "2"),
        ("    suppressed", "1"),
        ("  pending", "2"),
        ("  rejected", "1"),
        ("    a_rule", "1  the shop's own rule"),
    ]
    assert summary_data(merged)["codes"] == {"a_rule": 1, "unsubscribed": 2, "suppressed": 1}
