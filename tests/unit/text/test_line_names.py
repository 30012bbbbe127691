"""What a row of an export is called."""

import pytest

from worker.text.line_names import line_name


@pytest.mark.parametrize(
    ("line", "row", "name"),
    [(7, 7, "line 7"), (7, None, "line 7"), (1207, 1203, "line 1,207 = row 1,203"), (0, 0, "line 0")],
)
def test_the_row_is_named_where_it_differs(line: int, row: int | None, name: str) -> None:
    """Two equal numbers would only be read twice; results of an earlier version have no row."""
    assert line_name(line, row) == name
