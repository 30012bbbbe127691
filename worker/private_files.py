"""Files and folders of ours alone: the one place that opens what holds customers' addresses.

Whoever may write to the folder may plant something under the name that we are about to use: a link to a file of ours
or of the system's, a pipe, a device, a file of their own that they can go on reading. So the last component of a path
is never followed, what was opened is looked at before a byte is written or cut off, and what isn't a regular file of
this user's, under this one name, is refused. Folders on the way may be links: they are for the system to guard.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from worker.errors import InputError, UsageError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""A pipe without a reader must not hold us up, a terminal not become ours."""


def private_opener(path: str, flags: int, folder: int | None = None) -> int:
    """The ``opener`` of files that only their owner may read: a new one is made so, one of ours that others may read
    is tightened first. With ``folder``, a descriptor of :func:`opened_folder`, the name alone counts.

    Raises:
      UsageError: what is there is a link, no regular file, another user's, or has a second name (a hard link); or its
        rights can't be tightened, as on a file system that keeps none.
      OSError: as ``os.open``.
    """
    try:
        # Cut off only what has been looked at.
        file = os.open(
            path if folder is None else Path(path).name, flags & ~os.O_TRUNC | _CAREFULLY, 0o600, dir_fd=folder
        )
    except OSError as error:
        # EMLINK is what BSD says of a link; ENXIO is a pipe without a reader, or a socket.
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise _refused(path, "is a symbolic link") from None
        if error.errno in (errno.ENXIO, errno.ENODEV):
            raise _refused(path, "is not a regular file") from None
        raise
    try:
        _check(path, os.fstat(file))
        _tighten(path, file)
        if flags & os.O_TRUNC:
            os.ftruncate(file, 0)
        os.set_blocking(file, True)
    except BaseException:
        os.close(file)
        raise
    return file


def open_problem(path: Path, error: OSError) -> str:
    """Which file can't be opened, and why; where its folder is missing, that folder."""
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        return f"{path.parent}: there is no such folder for {path.name}"
    return f"{path}: {error.strerror}"


def lock(file: IO[Any], path: Path) -> bool:
    """Lock a file against other processes for as long as it is open; False where another one has locked it.

    Raises:
      InputError: its file system keeps no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise InputError(
            f"{path}: can't be locked ({error.strerror}), as happens on some network shares; choose an --out on a "
            "local disk"
        ) from None
    return True


def is_own_file(path: Path, folder: int | None = None) -> bool:
    """Whether there is a file of ours at the path; one that isn't ours is not to be removed or replaced.

    Raises:
      UsageError: as :func:`private_opener`.
      OSError: as ``os.stat``.
    """
    try:
        found = os.stat(path if folder is None else path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    _check(str(path), found)
    return True


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """A descriptor of the folder that the path is in: it stays the same folder whatever its name comes to mean."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder
    finally:
        os.close(folder)


def private_folder(path: Path) -> None:
    """Make a folder that this user alone may enter, or see that the one that is there is such a one.

    Raises:
      OSError: it can't be made, or what is there is a link or no folder (ENOTDIR, ELOOP), or another user's (EPERM).
    """
    path.mkdir(mode=0o700, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "belongs to another user", str(path))
        os.fchmod(folder, 0o700)
    finally:
        os.close(folder)


def _check(path: str, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise _refused(path, "is a symbolic link")
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, "is not a regular file")
    if found.st_uid != os.geteuid():
        raise _refused(path, "belongs to another user")
    if found.st_nlink > 1:
        raise _refused(path, "has a second name (a hard link)")


def _tighten(path: str, file: int) -> None:
    mode = os.fstat(file).st_mode
    if not mode & _OTHERS:
        return
    try:
        os.fchmod(file, stat.S_IMODE(mode) & ~_OTHERS)
    except OSError as error:
        raise _refused(path, f"can be read by others, and its rights can't be changed ({error.strerror})") from None
    # Some file systems take the call and keep no rights.
    if os.fstat(file).st_mode & _OTHERS:
        raise _refused(path, "can be read by others on this file system, which keeps no access rights")


def _refused(path: str, problem: str) -> UsageError:
    return UsageError(
        f"{path}: {problem}; customers' data is only written to files that belong to this user alone; choose another "
        "file"
    )
