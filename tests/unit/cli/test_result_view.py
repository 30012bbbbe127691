"""A result as `referrals find` shows it."""

from typing import Any

import pytest

from tests.unit.making import make_result
from worker.cli.result_view import lines_of


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"line": 1207, "row": 1203, "reference": "r1"}, "line 1,207 = row 1,203, reference r1"),
        ({"line": 7, "row": 7}, "line 7"),
        ({"line": 7}, "line 7"),
        ({"line": None, "reference": "r1"}, "reference r1"),
    ],
)
def test_which_row_it_was(fields: dict[str, Any], shown: str) -> None:
    """By its line and, where a spreadsheet shows it elsewhere, by that row; then by its reference."""
    assert f"  row       {shown}" in lines_of(make_result(1, **fields), reveal=False)


def test_no_row_is_known() -> None:
    """A producer needn't tell one."""
    assert not any(line.startswith("  row") for line in lines_of(make_result(1, line=None), reveal=False))
