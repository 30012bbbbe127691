"""Files that hold customers' addresses."""

import os


def private(path: str, flags: int) -> int:
    """The ``opener`` of files that only their owner may read; one that exists keeps the rights it has."""
    return os.open(path, flags, 0o600)
