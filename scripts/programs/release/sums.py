"""Checksums, as sha256sum reads them."""

import hashlib
from pathlib import Path


def sums(folder: Path) -> str:
    """A line for each file of a folder."""
    return "".join(f"{digest(path)}  {path.name}\n" for path in sorted(folder.iterdir()))


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
