"""Opens files and folders that belong to this user alone: everything that holds customers' addresses.

Anybody who may write to the folder can plant something under the name that we are about to use: a link to another
file of ours or of the system, a pipe, a device, or a file of their own that they can keep reading. So the last
component of a path is never followed. What was opened is checked before a byte is written or cut off, and anything but
a regular file of this user, with this one name, is refused. Folders on the way may be links; the system guards them.
"""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from worker.errors import InputError, UsageError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""Opening must not wait for a pipe's reader, and must not make a terminal ours."""

_LONGEST_OF_DRAFT = 200
"""Bytes of a file's name that its draft's name begins with. Most file systems have 255 for a name."""


def private_opener(path: str, flags: int, folder: int | None = None) -> int:
    """An ``opener`` for files that only their owner may read.

    A new file is created with such rights. An existing file of ours that others may read gets them first. With
    ``folder``, a descriptor of :func:`opened_folder`, only the path's last component is used.

    Raises:
      UsageError: the path is a link, not a regular file, another user's, or has a second name (a hard link); or its
        rights can't be changed, as on a file system that keeps none.
      OSError: as ``os.open``.
    """
    try:
        # Without O_TRUNC: the file is checked before anything of it is cut off.
        file = os.open(
            path if folder is None else Path(path).name, flags & ~os.O_TRUNC | _CAREFULLY, 0o600, dir_fd=folder
        )
    except OSError as error:
        # EMLINK is BSD's error for a link. ENXIO is a pipe without a reader, or a socket.
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


def draft_name(path: Path) -> str:
    """A name beside ``path`` for the draft of what will be its content. Nobody has had that name.

    It is noted down before :func:`new_draft` makes the file, so that a signal between the two leaves no file that
    nobody knows of.
    """
    # Cut, since names have a bound, in bytes; these need not be text.
    return f"{os.fsencode(path.name)[:_LONGEST_OF_DRAFT].decode(errors='ignore')}.{secrets.token_hex(8)}.part"


def new_draft(name: str, folder: int) -> BinaryIO:
    """A new file of that name, open for writing. Whoever asks removes it, also if this raises.

    A file of the user's is never written to, and two commands never write to one draft. ``folder`` is a descriptor of
    :func:`opened_folder`.

    Raises:
      OSError: as ``os.open``.
    """
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFULLY, 0o600, dir_fd=folder)
    try:
        _tighten(name, file)
        os.set_blocking(file, True)
        return os.fdopen(file, "wb", 256 * 1024)
    except BaseException:
        os.close(file)
        raise


def remove_draft(name: str, folder: int) -> None:
    """Remove a draft, if it is there. A failure is ignored: what ended the work on the draft is what to report."""
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


def check_folder(path: Path, folder: Path | None = None) -> None:
    """Check that a file can be made at a path, or, for its ``folder`` that is yet to be made, the folder.

    Raises:
      InputError: the folder is missing or can't be written to.
    """
    folder = path.parent if folder is None else folder
    if not os.access(folder, os.W_OK | os.X_OK):
        code = errno.EACCES if folder.is_dir() else errno.ENOENT
        raise InputError(open_problem(path, OSError(code, os.strerror(code))))


def open_problem(path: Path, error: OSError) -> str:
    """Which file can't be opened and why, for an error; if its folder is missing, which folder."""
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        return f"{path.parent}: there is no such folder for {path.name}"
    return f"{path}: {error.strerror}"


def lock(file: IO[Any], path: Path) -> bool:
    """Lock a file against other processes for as long as it is open; False if another process has locked it.

    Doesn't wait.

    Raises:
      InputError: the file system has no locks.
    """
    # The kernel releases such a lock when the process ends, however it ends, so no stale one can be left.
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
    """Whether there is a file of ours at the path. A file that isn't ours must not be removed or replaced.

    Raises:
      UsageError: as :func:`private_opener`.
      OSError: as ``os.stat``.
    """
    try:
        # A path without a name is the folder itself.
        found = os.stat(path if folder is None else path.name or ".", dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    _check(str(path), found)
    return True


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """A descriptor of the path's folder. It means the same folder even after its name is given to another one."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder
    finally:
        os.close(folder)


def private_folder(path: Path) -> None:
    """Create a folder that this user alone may enter, or check an existing one and set its rights.

    Raises:
      OSError: it can't be created, or the path is a link or no folder (ENOTDIR, ELOOP), or another user's (EPERM).
    """
    # Opened without following a link, and then changed by its descriptor, so that nothing can be put there in between.
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
    # Under a second name in another folder somebody else may be able to read what we write.
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
    # Some file systems accept the call and keep no rights.
    if os.fstat(file).st_mode & _OTHERS:
        raise _refused(path, "can be read by others on this file system, which keeps no access rights")


def _refused(path: str, problem: str) -> UsageError:
    return UsageError(
        f"{path}: {problem}; customers' data is only written to files that belong to this user alone; choose another "
        "file"
    )
