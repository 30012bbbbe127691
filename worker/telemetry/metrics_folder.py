"""The folder of the values that all worker processes of one parent count into.

Each parent gets a new folder, inside the one that ``PROMETHEUS_MULTIPROC_DIR`` names or the temporary one. It is locked
for as long as one of its processes lives. So several workers can be given one place, which may hold other things too:
only folders of this module's name that nobody has locked are removed there. A lock also counts between containers that
share the place, whose process ids mean nothing to each other.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from worker.errors import ConfigurationError
from worker.private_files import private_folder

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

ROOM = 4 * 1024 * 1024
"""Bytes that must be free at a process's start: the shared values of a thousand shops take 2 MB and more."""

_NAME = "referral-metrics-"


def prepare_shared_metrics() -> Path:
    """Make an empty folder for the shared values, and name it in the environment for the processes to come.

    Must run in the parent of the processes that share the folder, before a module of :mod:`worker.telemetry.metrics` is
    imported. At the end the parent calls :func:`discard_shared_metrics`.

    Raises:
      ConfigurationError: there is no place for it, or no room.
    """
    base = _base_folder()
    with _as_configuration_errors(base):
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(base)
        _check_room(base)
        folder = Path(tempfile.mkdtemp(prefix=f"{_name_of(os.getpid())}-", dir=base))
        while not _lock(folder):
            folder = Path(tempfile.mkdtemp(prefix=f"{_name_of(os.getpid())}-", dir=base))
    os.environ[VARIABLE] = str(folder)
    return folder


def shared_metrics_of_parent() -> Path:
    """Name the folder that all worker processes of one parent share, where the parent has not prepared one.

    That is so under Dramatiq's own command. The folder's name is made of the parent's process id and start time, which
    keep it apart from that of an earlier process with the same id.

    Raises:
      ConfigurationError: there is no place or no room for it, or another user owns it.
    """
    name = _name_of(os.getppid())
    base = _base_folder()
    prepared = Path(os.environ.get(VARIABLE, ""))
    folder = prepared if prepared.name.startswith(f"{name}-") else base / name
    with _as_configuration_errors(base):
        base.mkdir(mode=0o700, exist_ok=True)
        if folder != prepared:
            _sweep(base)
        _check_room(base)
        # Anybody can guess the name and make the folder first; that is refused.
        private_folder(folder)
        while not _lock(folder):
            private_folder(folder)
    os.environ[VARIABLE] = str(folder)
    return folder


def discard_shared_metrics(folder: Path) -> None:
    """Remove the folder with its values, once the processes that counted into it have ended."""
    for pattern in ("*.db", "exemplars_*.bin"):
        for values in folder.glob(pattern):
            values.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _base_folder() -> Path:
    named = os.environ.get(VARIABLE)
    if not named:
        try:
            return Path(tempfile.gettempdir())
        except FileNotFoundError:
            raise ConfigurationError(
                f"no temporary folder can be written to: name one by TMPDIR, or one for metrics alone by {VARIABLE}"
            ) from None
    # A folder of ours in the variable: this process was restarted by SIGHUP, or started by a worker.
    return Path(named).parent if Path(named).name.startswith(_NAME) else Path(named)


@contextmanager
def _as_configuration_errors(base: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{VARIABLE}: {error.filename or base}: {error.strerror}; name a folder of this user's own"
        ) from None


def _name_of(pid: int) -> str:
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        started = "0"
    return f"{_NAME}{pid}-{started}"


def _check_room(base: Path) -> None:
    # prometheus_client maps files with holes into memory. With the disk full, counting would raise SIGBUS, which kills.
    try:
        with tempfile.TemporaryFile(dir=base) as file:
            os.posix_fallocate(file.fileno(), 0, ROOM)
    except OSError as error:
        raise ConfigurationError(
            f"{VARIABLE}: {base}: {error.strerror}; free {ROOM >> 20} MiB there or name another folder"
        ) from None


def _lock(folder: Path) -> bool:
    # Locks the folder until this process ends: nothing closes the descriptor, and forked children inherit it. False if
    # another process removed the folder before it was locked.
    try:
        held = _opened(folder)
    except FileNotFoundError:
        return False
    with suppress(OSError):  # a file system without locks; there nobody sweeps either
        fcntl.flock(held, fcntl.LOCK_SH)
    try:
        return os.path.samestat(os.fstat(held), folder.stat())
    except FileNotFoundError:
        os.close(held)
        return False


def _sweep(base: Path) -> None:
    # A worker that was killed could not remove its folder.
    for folder in base.glob(f"{_NAME}*"):
        with suppress(OSError):
            left = _opened(folder)
            try:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(left).st_uid == os.geteuid():
                    discard_shared_metrics(folder)
            finally:
                os.close(left)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
