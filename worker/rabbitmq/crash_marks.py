"""Finds messages that kill the process which reads them: marked beforehand, counted by the next process.

A message that kills its worker before any grant would be redelivered for ever. The ledger has no record of it. And
RabbitMQ's count of deliveries (``x-delivery-count``, which on 4 a producer can write for the first one) grows alike for
jobs that were only requeued, as those of a closed shop are by the thousand. Bounds make such messages impossible, as
far as their authors could foresee what kills.

So the digest of the message being read is written into a file that is mapped into memory. That costs a few µs a
message, most of it for the digest, and it survives any death of the process, SIGKILL included. Each process locks its
file, and the lock ends with it. A process that starts in the same folder finds files without an owner, and counts a
death for the message in each. When a message is read whole after all, its deaths are forgotten: they had another cause.
Each folder counts for itself, so with several machines or pods a message may kill each of them as often.
"""

import fcntl
import hashlib
import mmap
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from worker.private_files import private_folder

DEATHS = 3
"""Processes that may die while reading one message before it is read no more."""

FORGET_AFTER_SECONDS = 7 * 86_400
"""How long a death counts. RabbitMQ redelivers a message that is still there long before that."""

_MARK, _DEATH = ".reading", ".deaths"
_NOTHING = bytes(hashlib.sha256().digest_size)


class CrashMark:
    """The mark of one process, and the deaths that earlier processes left. For the consumer's thread alone.

    ``found`` is how many new deaths were counted at its start.
    """

    def __init__(self, folder: Path) -> None:
        """Count what dead processes left in the folder, which is made if it doesn't exist, and place a mark of its own.

        Raises:
          OSError: the folder can't be used, is full, or is another user's.
        """
        private_folder(folder)
        self.found = _take_stock(folder)
        self._deaths = _noted(folder)
        self._folder = folder
        self._path = folder / f"{os.getpid()}-{time.monotonic_ns():x}{_MARK}"
        # Locked before it gets its name, or a starting process could take it for one without an owner.
        draft = self._path.with_suffix(".new")
        self._file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # Its block is allocated now. Writing into a hole with the disk full would be SIGBUS, which kills.
            os.posix_fallocate(self._file, 0, len(_NOTHING))
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._map = mmap.mmap(self._file, len(_NOTHING))
            draft.rename(self._path)
        except OSError:
            os.close(self._file)
            draft.unlink(missing_ok=True)
            raise

    def deaths(self, body: bytes) -> int:
        """How many processes died while reading this body."""
        return self._deaths.get(hashlib.sha256(body).digest(), 0) if self._deaths else 0

    def on(self, body: bytes) -> Self:
        """Mark the body as being read for the length of a ``with``, whatever is raised there."""
        self._map[:] = hashlib.sha256(body).digest()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A class in place of a generator's context manager, which would take twice as long as all the rest.
        digest = self._map[:]
        self._map[:] = _NOTHING
        if self._deaths:
            self._forget(digest)

    def close(self) -> None:
        """Remove the mark: this process ends in order."""
        self._path.unlink(missing_ok=True)
        self._map.close()
        os.close(self._file)

    def _forget(self, digest: bytes) -> None:
        if self._deaths.pop(digest, None) is not None:
            with suppress(OSError):
                (self._folder / f"{digest.hex()}{_DEATH}").unlink(missing_ok=True)


def _take_stock(folder: Path) -> int:
    found = 0
    for mark in folder.glob(f"*{_MARK}"):
        # A mark whose process lives is locked, and is left alone.
        with suppress(OSError):
            found += _count(folder, mark)
    return found


def _noted(folder: Path) -> dict[bytes, int]:
    deaths = {}
    for noted in folder.glob(f"*{_DEATH}"):
        with suppress(OSError, ValueError):
            found = noted.stat()
            if found.st_mtime < time.time() - FORGET_AFTER_SECONDS:
                noted.unlink(missing_ok=True)
            else:
                deaths[bytes.fromhex(noted.stem)] = found.st_size
    return deaths


def _count(folder: Path, mark: Path) -> bool:
    file = os.open(mark, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        digest = os.read(file, len(_NOTHING))
        # Two processes that start at once may both have found it. The one that removes it counts.
        mark.unlink()
    finally:
        os.close(file)
    if len(digest) < len(_NOTHING) or digest == _NOTHING:
        return False
    noted = os.open(folder / f"{digest.hex()}{_DEATH}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        # One byte for each death: appending is atomic, so several processes can count at once.
        os.write(noted, b"+")
    finally:
        os.close(noted)
    return True
