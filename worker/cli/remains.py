"""The files that a person's address remains in, and those of which nobody can tell."""

import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from worker.errors import UsageError

_AT_A_TIME = 1024 * 1024

_PACKED = (
    b"\x1f\x8b",  # gzip
    b"PK",  # zip, .xlsx
    b"BZh",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",  # zstd
    b"7z\xbc\xaf",
    b"Rar!",
    b"\xd0\xcf\x11\xe0",  # .xls
    b"REDIS",  # a snapshot of the store
    b"PGDMP",  # a backup of PostgreSQL
)
"""How files start whose texts don't stand in them as they are."""


Kind = Literal["has the address", "is packed", "can't be read"]


class Remains(NamedTuple):
    """A file that has the address, or that could not be looked into; ``days`` ago it was written."""

    path: Path
    kind: Kind
    days: int


def remains(paths: Iterable[Path], needles: list[bytes]) -> Iterator[Remains]:
    """The files below these paths that have one of the needles, in UTF-8 or UTF-16, or may have one.

    Raises:
      UsageError: there is no such file or folder.
    """
    wide = [needle.decode().encode("utf-16-be")[1:] for needle in needles]
    for path in paths:
        if not path.exists():
            raise UsageError(f"--in {path}: is no file and no folder")
        for file in _files_below(path) if path.is_dir() else [path]:
            try:
                kind = _kind(file, needles + wide)
                days = int((time.time() - file.lstat().st_mtime) // 86_400)
            except FileNotFoundError:
                # Deleted meanwhile.
                continue
            if kind:
                yield Remains(file, kind, days)


def _files_below(folder: Path) -> Iterator[Path]:
    closed: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        folders.sort()
        yield from (file for name in sorted(names) if not (file := Path(place, name)).is_symlink())
    # Folders that can't be opened are told as files would be.
    yield from closed


def _kind(file: Path, needles: list[bytes]) -> Kind | None:
    overlap = max(map(len, needles), default=2) - 1
    tail = b""
    try:
        if not stat.S_ISREG(file.lstat().st_mode) and not file.is_dir():
            # A pipe would wait for ever, and holds nothing.
            return None
        with file.open("rb") as stream:
            while block := stream.read(_AT_A_TIME):
                if not tail and block.startswith(_PACKED):
                    return "is packed"
                text = (tail + block).lower()
                if any(needle in text for needle in needles):
                    return "has the address"
                tail = text[-overlap:]
    except FileNotFoundError:
        raise
    except OSError:
        return "can't be read"
    return None
