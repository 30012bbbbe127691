"""``--max-rejects`` allows exactly the share that it names."""

from contextlib import nullcontext

import pytest

from worker.cli.plan.most_rejects import refuse_more
from worker.errors import ReferralError


@pytest.mark.parametrize(
    ("text", "rejected", "rows", "allowed"),
    [
        # As floats, 2.3 % of 3,000 are less than 69.
        ("2.3%", 69, 3000, True),
        ("2.3%", 70, 3000, False),
        ("0%", 0, 10, True),
        ("0%", 1, 10, False),
        ("100%", 10, 10, True),
        ("5%", 0, 0, True),
        ("0", 0, 0, True),
        ("69", 70, 3000, False),
    ],
)
def test_a_share_is_exact(text: str, rejected: int, rows: int, allowed: bool) -> None:
    """What is exactly as much as allowed passes; one row more doesn't."""
    with nullcontext() if allowed else pytest.raises(ReferralError):
        refuse_more(text, rejected, rows)
