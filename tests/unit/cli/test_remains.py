"""The files that have an address still, and those of which nobody can tell."""

import gzip
import os
import time
from pathlib import Path

import pytest

from worker.cli.remains import remains
from worker.errors import UsageError

NEEDLE = b"ann@example.com"


def found(folder: Path) -> dict[str, str]:
    """Why each file is named."""
    return {file.path.name: file.kind for file in remains([folder], [NEEDLE])}


def test_names_files_by_what_is_in_them(tmp_path: Path) -> None:
    """In UTF-8 and both of UTF-16, in any case, across the blocks that are read; and what it can't look into."""
    below = tmp_path / "below"
    below.mkdir()
    (below / "plain.csv").write_text("email\nANN@Example.com\n")
    (below / "late.csv").write_text("x" * (1024 * 1024 - 5) + "ann@example.com")
    for encoding in ("utf-16-le", "utf-16-be", "utf-16"):
        (tmp_path / f"{encoding}.csv").write_bytes("email\nAnn@example.com".encode(encoding))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"nobody"))
    (tmp_path / "other.csv").write_text("ben@example.com")
    (tmp_path / "link").symlink_to(below / "plain.csv")
    os.mkfifo(tmp_path / "pipe")
    assert found(tmp_path) == {
        "plain.csv": "has the address",
        "late.csv": "has the address",
        "utf-16-le.csv": "has the address",
        "utf-16-be.csv": "has the address",
        "utf-16.csv": "has the address",
        "packed.gz": "is packed",
    }


def test_tells_their_age(tmp_path: Path) -> None:
    """In whole days since they were written."""
    path = tmp_path / "old.csv"
    path.write_bytes(NEEDLE)
    os.utime(path, (0, time.time() - 40.5 * 86_400))
    assert [(file.path, file.days) for file in remains([path], [NEEDLE])] == [(path, 40)]


def test_refuses_a_path_that_is_not_there(tmp_path: Path) -> None:
    """A typing error would pass for a folder without the address."""
    with pytest.raises(UsageError, match="is no file and no folder"):
        list(remains([tmp_path / "nothing"], [NEEDLE]))
