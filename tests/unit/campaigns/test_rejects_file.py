"""The file of rejected rows: what it replaces."""

from pathlib import Path

import pytest

from worker.campaigns.rejects_file import RejectsFile
from worker.errors import UsageError


def rejected(path: Path) -> str:
    """What is in the file after one row."""
    file = RejectsFile(path, [["name"]])
    file.add(0, 2, 2, "no_channel", ["Ann"], apart=True)
    file.close()
    return path.read_text()


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b"line,reason,name\n2,no_customer,Bob\n",
        b'"line","reason","name"\r\n',
        b"\xef\xbb\xbfline;reason;name\r\n2;no_customer;Bob\r\n",
        b"line\treason\n",
    ],
)
def test_an_earlier_one_is_replaced(tmp_path: Path, left: bytes) -> None:
    """The rows that an earlier run left out go, also where a spreadsheet has saved them meanwhile."""
    path = tmp_path / "export.csv.rejects.csv"
    path.write_bytes(left)
    assert rejected(path) == "line,reason,row,name\n2,no_channel,2,Ann\n"


@pytest.mark.parametrize(
    "content", [b"[shops.acme]\n", b"email,line,reason\n", b"line by line\n", b"\0\1", b"line,reference,shop\n"]
)
def test_any_other_file_stays(tmp_path: Path, content: bytes) -> None:
    """A mistyped name costs no file: the file is refused and stays unchanged, its rights included."""
    path = tmp_path / "shops.toml"
    path.write_bytes(content)
    path.chmod(0o644)
    with pytest.raises(
        UsageError, match="is not a file of rejected rows and would be replaced; choose another file with --rejects"
    ):
        rejected(path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (content, 0o644)
