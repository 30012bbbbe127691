"""What ends a process while it is being read: noted beforehand, counted by the next process, parked after a few.

A message that ended its worker before any grant would come again for ever: nothing in the ledger tells of it, and
RabbitMQ's count of deliveries (``x-delivery-count``, which on 4 a producer can write for the first one) grows alike for
jobs that were only given back, as those of a closed shop are by the thousand. Bounds are there to make such a message
impossible, but they know the deaths that were thought of.

So the digest of what is being read stands in a file that is mapped into memory. Writing there is writing to memory (a
few µs a message, most of it the digest), and what is written outlives any death of the process, SIGKILL included. Each
process holds a lock on its file, which ends with it: whoever starts in the same folder finds files without an owner
and counts a death for the message in each. A message that is read whole has its deaths forgotten, as then they had
another cause. Each folder counts for itself: with several machines or pods, a message may end each as often.
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
"""Processes that may end while reading one message before it is read no more."""

FORGET_AFTER_SECONDS = 7 * 86_400
"""How long a death counts. What RabbitMQ still has to deliver comes again long before."""

_MARK, _DEATH = ".reading", ".deaths"
_NOTHING = bytes(hashlib.sha256().digest_size)


class CrashMark:
    """The mark of one process, and the deaths that earlier ones have left. For one thread.

    ``found`` is how many of them were found at its start.
    """

    def __init__(self, folder: Path) -> None:
        """Take up what processes that are gone have left in the folder, which is made if there is none.

        Raises:
          OSError: the folder can't be used, is full, or is another user's.
        """
        private_folder(folder)
        self.found = _take_stock(folder)
        self._deaths = _noted(folder)
        self._folder = folder
        self._path = folder / f"{os.getpid()}-{time.monotonic_ns():x}{_MARK}"
        # Locked before it has its name: nobody may take it for one without an owner.
        draft = self._path.with_suffix(".new")
        self._file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            # Not a hole: writing to memory that no free block is left for is SIGBUS, and the end of the process.
            os.posix_fallocate(self._file, 0, len(_NOTHING))
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._map = mmap.mmap(self._file, len(_NOTHING))
            draft.rename(self._path)
        except OSError:
            os.close(self._file)
            draft.unlink(missing_ok=True)
            raise

    def deaths(self, body: bytes) -> int:
        """How many processes have ended while reading this body."""
        return self._deaths.get(hashlib.sha256(body).digest(), 0) if self._deaths else 0

    def on(self, body: bytes) -> Self:
        """The body is being read for as long as the ``with`` of this lasts, whatever is raised there."""
        self._map[:] = hashlib.sha256(body).digest()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A generator's context manager would take twice as long as all the rest.
        digest = self._map[:]
        self._map[:] = _NOTHING
        if self._deaths:
            self._forget(digest)

    def close(self) -> None:
        """Leave nothing behind."""
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
        # One whose process lives is locked.
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
        # Two that start at once may have found it: whoever removes it counts.
        mark.unlink()
    finally:
        os.close(file)
    if len(digest) < len(_NOTHING) or digest == _NOTHING:
        return False
    noted = os.open(folder / f"{digest.hex()}{_DEATH}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        # A byte for each: appending is atomic.
        os.write(noted, b"+")
    finally:
        os.close(noted)
    return True
