"""Rejects files, counted."""

from pathlib import Path

import pytest

from worker.campaigns.rejects_file import RejectsFile
from worker.errors import InputError, UsageError
from worker.reporting.rejected_rows import NO_REASON, OTHER_REASON, count_rejected


def test_a_rejects_file_is_counted_by_reason(tmp_path: Path) -> None:
    """What the commands wrote is read, cells with quotes, line ends and formulas included."""
    path = tmp_path / "x.rejects.csv"
    file = RejectsFile(path, [["email", "note"]])
    for reason, note in (("unsubscribed", 'a "b"\n,c'), ("unsubscribed", "=1"), ("no_customer", "")):
        file.add(0, 2, 2, reason, ["a@example.com", note], apart=True)  # type: ignore[arg-type]  # a loop widens it
    file.close()
    assert count_rejected(path) == {"unsubscribed": 2, "no_customer": 1}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_file_that_a_spreadsheet_saved(tmp_path: Path, delimiter: str) -> None:
    """Other delimiters, a byte order mark and CR LF change nothing; a deleted reason has a name of its own."""
    rows = [["line", "reason", "email"], ["2", "no_customer", "x"], ["3", "", "y"], ["4", "<script>", "z"]]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert count_rejected(path) == {"no_customer": 1, NO_REASON: 1, OTHER_REASON: 1}


def test_reasons_are_bounded(tmp_path: Path) -> None:
    """A file with thousands of reasons, which no version writes, keeps a hundred of them."""
    path = tmp_path / "x.csv"
    names = ["".join("abcdefghij"[int(digit)] for digit in str(number)) for number in range(5000)]
    path.write_text("line,reason\n" + "".join(f"1,{name}\n" for name in names))
    counted = count_rejected(path)
    assert len(counted) <= 101
    assert counted.total() == 5000


@pytest.mark.parametrize("content", ["", "email,reason\n", "line reason\n", "lines,reasons\n"])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    """An export in place of its rejects file would make up reasons."""
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match="no file of rejected rows"):
        count_rejected(path)


def test_a_missing_file(tmp_path: Path) -> None:
    """The line names it."""
    with pytest.raises(InputError, match=r"x\.csv"):
        count_rejected(tmp_path / "x.csv")
