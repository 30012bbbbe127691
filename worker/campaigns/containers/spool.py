"""What can be read only once, kept in a private file that has no name: a pipe, or a member of an archive."""

import io
import os
import stat
import sys
import tempfile
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from worker.campaigns.containers.bounds import MOST_UNPACKED
from worker.errors import InputError, UsageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STDIN = Path("-")
"""The argument for standard input."""

_CHUNK = 1024 * 1024
_NOT_NAMED = ("/dev/", "/proc/")
"""Where pipes have names that no file can be written beside."""


class _FromStart(io.RawIOBase):
    """The bytes of a copy, read at a position of its own."""

    def __init__(self, spooled: "SpooledFile") -> None:
        # The copy is closed with the spooled file, so that must live on.
        self._spooled = spooled
        self._file = spooled.copy
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._file.fileno()).st_size}[whence]
        if start + offset < 0:
            raise OSError("a position before the start of a file")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        count = os.preadv(self._file.fileno(), [buffer], self._at)
        self._at += count
        return count


@dataclass(frozen=True)
class SpooledFile:
    """A copy of an export, as :class:`ExportFile` describes. It is gone with this object, or with the process."""

    name: str
    path: Path
    member: str | None
    on_disk: Path | None
    copy: IO[bytes]

    def __post_init__(self) -> None:
        weakref.finalize(self, self.copy.close)

    def open(self) -> io.BufferedReader:
        return io.BufferedReader(_FromStart(self), _CHUNK)

    def check(self) -> None:
        """Nothing to do: it was read to its end when it was copied."""


def is_pipe(argument: Path) -> bool:
    """Whether the argument can be read only once. One that can't be looked at is no pipe.

    ``/dev/stdin`` is the file that stands behind it, if there is one.
    """
    if argument == STDIN:
        return True
    with suppress(OSError):
        return stat.S_ISFIFO(argument.stat().st_mode)
    return False


def spooled(argument: Path) -> SpooledFile:
    """Everything that comes through a pipe. Blocks until its writer closes it.

    Raises:
      InputError: it can't be read, or is too large.
      UsageError: standard input is a terminal, or closed.
    """
    if argument != STDIN:
        # A file of rejected rows can't lie beside a pipe in /dev or /proc, so it lies in the working directory.
        path = Path(f"pipe-{argument.name}") if str(argument).startswith(_NOT_NAMED) else argument
        with argument.open("rb") as stream:
            return SpooledFile(str(argument), path, None, None, copied(str(argument), stream))
    if sys.stdin is None:
        raise UsageError("-: standard input is closed; send an export to it, as in `zcat FILE | referrals …`")
    if sys.stdin.isatty():
        raise UsageError("-: standard input is a terminal; send an export to it, as in `zcat FILE | referrals …`")
    return SpooledFile("standard input", Path("stdin"), None, None, copied("standard input", sys.stdin.buffer))


def _read(name: str, stream: IO[bytes]) -> bytes:
    try:
        return stream.read(_CHUNK)
    except OSError as error:
        raise InputError(f"{name}: can't be read: {error.strerror or 'input/output error'}") from error


def copied(name: str, stream: IO[bytes]) -> IO[bytes]:
    """A private file with the bytes of a stream, which nobody else can open.

    Raises:
      InputError: they can't be read, are too many, or can't be kept.
    """
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as the export
    size = 0
    try:
        while data := _read(name, stream):
            size += len(data)
            if size > MOST_UNPACKED:
                raise InputError(f"{name}: is larger than {MOST_UNPACKED >> 30} GiB; split the export")
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
    except OSError as error:
        file.close()
        raise InputError(
            f"{name}: can't be kept in {tempfile.gettempdir()}: {error.strerror}; name another folder with TMPDIR"
        ) from error
    except BaseException:
        file.close()
        raise
    return file
