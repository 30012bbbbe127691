"""Where the page is written."""

import stat
from pathlib import Path

import pytest

from worker.errors import InputError, UsageError
from worker.reporting.file import check_place, write_page
from worker.reporting.page import MARK

PAGE = f"<!doctype html>{MARK}"


def test_a_page_replaces_an_earlier_one(tmp_path: Path) -> None:
    """It is for its owner alone, and no draft of it is left."""
    path = tmp_path / "report.html"
    write_page(path, PAGE + "1")
    write_page(path, PAGE + "2é")
    assert path.read_text(encoding="utf-8") == PAGE + "2é"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_no_other_file_is_replaced(tmp_path: Path) -> None:
    """A mistyped --out must not cost the results or the shops file."""
    path = tmp_path / "results.csv"
    path.write_text("line,reference\n")
    with pytest.raises(UsageError, match="is no page of this command"):
        check_place(path)
    with pytest.raises(UsageError):
        write_page(path, PAGE)
    assert path.read_text() == "line,reference\n"


def test_no_link_is_followed(tmp_path: Path) -> None:
    """Somebody may have planted it."""
    (tmp_path / "target").write_text(PAGE)
    (tmp_path / "report.html").symlink_to(tmp_path / "target")
    with pytest.raises(UsageError, match="symbolic link"):
        check_place(tmp_path / "report.html")


def test_a_missing_folder(tmp_path: Path) -> None:
    """The line names the folder."""
    with pytest.raises(InputError, match="there is no such folder"):
        check_place(tmp_path / "x" / "report.html")


def test_a_folder_is_no_page() -> None:
    """It is refused before anything is read, also where its path has no name."""
    with pytest.raises(UsageError, match="is not a regular file"):
        check_place(Path())
