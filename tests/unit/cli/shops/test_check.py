"""How `referrals shops check` shows what a shop may do."""

import pytest

from worker.cli.shops.check import shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(100_000, "100,000"), (1250.5, "1,250.5"), (25.0, "25"), (True, "yes"), (False, "no"), (None, "-"), ("v2", "v2")],
)
def test_values(value: object, text: str) -> None:
    """Numbers are written as elsewhere, with commas."""
    assert shown(value) == text
