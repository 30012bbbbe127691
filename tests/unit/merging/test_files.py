"""What a merged export may replace: nothing but an earlier one."""

from pathlib import Path

import pytest

from worker.errors import InputError, UsageError
from worker.merging.appended import COLUMNS
from worker.merging.files import check_targets

MERGED = f"email,{','.join(COLUMNS)}\n"


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_earlier_merged_export_may_be_replaced(tmp_path: Path, codec: str) -> None:
    """In whatever encoding; and so may an empty file."""
    path = tmp_path / "merged.csv"
    path.write_bytes(MERGED.encode(codec))
    check_targets([path], [])
    path.write_text("")
    check_targets([path], [])


@pytest.mark.parametrize("text", ["precious\n", "see the column referral_outcome\n", "email,referral_link\n"])
def test_another_file_is_kept(tmp_path: Path, text: str) -> None:
    """Also one that only speaks of merged exports, or has a link of its own."""
    path = tmp_path / "notes.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no merged export and would be replaced"):
        check_targets([path], [])


def test_places_where_none_can_come(tmp_path: Path) -> None:
    """The name of a workbook, which none would be; a folder that is missing; a file that is read."""
    with pytest.raises(UsageError, match="no workbook is written"):
        check_targets([tmp_path / "merged.XLSX"], [])
    with pytest.raises(InputError, match=r"none: there is no such folder for merged\.csv"):
        check_targets([tmp_path / "none" / "merged.csv"], [])
    export = tmp_path / "spring.csv"
    with pytest.raises(UsageError, match="is read by this command"):
        check_targets([tmp_path / "x" / ".." / "spring.csv"], [export])


def test_a_folder_that_is_made(tmp_path: Path) -> None:
    """For several exports; the folder around it must be there."""
    check_targets([tmp_path / "merged" / "a.csv", tmp_path / "merged" / "b.csv"], [])
    with pytest.raises(InputError, match="there is no such folder"):
        check_targets([tmp_path / "no" / "merged" / "a.csv", tmp_path / "no" / "merged" / "b.csv"], [])
