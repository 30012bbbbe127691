"""Columns on a terminal."""

import pytest

from worker.cli.tables import Row, clipped, columns, height, wrapped

HEADINGS = ("campaign", "shop", "published", "left")
ROWS = [
    Row(
        ["spring-newsletter-1", "the-shop-with-the-long-name", "12,345,678+", "1,234,567"],
        ["rejected: " + "word " * 30],
    ),
    Row(["春の紹介キャンペーン二〇二六", "acme", "1", "0"]),
]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_line_is_no_wider_than_the_terminal(width: int) -> None:
    """Texts give way, of which begin and end are kept, and every number is whole."""
    lines = columns(HEADINGS, ROWS, texts=2, width=width)
    # Of wide characters each takes two places.
    assert all(len(line) + sum(ord(sign) > 0x2E7F for sign in line) <= width for line in lines)
    assert "12,345,678+" in lines[1]
    assert lines[1].endswith("1,234,567")
    assert lines[1].startswith("sp")
    assert lines[0].split()[-2:] == ["published", "left"]


def test_nothing_is_cut_where_there_is_no_terminal() -> None:
    """Into a file or a pipe everything goes, a note on one line."""
    lines = columns(HEADINGS, ROWS, texts=2)
    assert ROWS[0].cells[1] in lines[1]
    assert lines[2] == "    rejected: " + "word " * 30
    assert len(lines) == 4


def test_what_there_is_no_room_for() -> None:
    """Notes are dropped first, then rows, and their number is shown; some lines stay however low the terminal is."""
    rows = [Row([f"c{number}", "acme", "1", "0"], ["a note"]) for number in range(10)]
    assert clipped(rows, 21, 80, "campaigns") == rows
    assert [row.notes for row in clipped(rows, 20, 80, "campaigns")] == [()] * 10
    few = clipped(rows, 8, 80, "campaigns")
    assert height(few, 80) == 8
    assert few[-1].notes == ["… and 4 more campaigns"]
    assert height(clipped(rows, 0, 80, "campaigns"), 80) == 3


def test_what_steers_a_terminal_is_shown() -> None:
    """In a cell as in a note a control is an escape, and counted as such."""
    assert columns(("a", "b"), [Row(["\x1b[2J", "x"])], texts=2, width=8)[1].isprintable()
    assert wrapped("a\x1b[2J\nb", 80) == ["    a\\x1b[2J\\nb"]
