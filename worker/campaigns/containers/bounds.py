"""How much an archive may hold, and its bytes within these bounds."""

import errno
import io
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Protocol
from zipfile import BadZipFile

from worker.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_UNPACKED = 16 * 1024**3
"""Bytes that all exports of an archive, or a pipe, may come to: 10,000,000 rows of 1,600 bytes."""

MOST_RATIO = 200
"""How many times its packed size an archive may come to. Exports have 3 to 20; the densest deflate has 1,032."""

_ALWAYS = 64 * 1024**2
"""Bytes that any archive may come to. A small file that repeats one line reaches any ratio."""

_BUFFER = 256 * 1024


def check_size(name: str, unpacked: int, packed: int) -> None:
    """Check what an archive comes to so far, or says that it comes to.

    Raises:
      InputError: it is too much.
    """
    if unpacked > MOST_UNPACKED:
        raise InputError(f"{name}: unpacks to more than {MOST_UNPACKED >> 30} GiB; split the export")
    if unpacked > max(_ALWAYS, MOST_RATIO * packed):
        raise InputError(
            f"{name}: unpacks to more than {MOST_RATIO} times its size, as no export does; if it is one, unpack it "
            "first"
        )


class Unpacker(Protocol):
    """What gives unpacked bytes."""

    def read(self, size: int, /) -> bytes: ...


class _Unpacking(io.RawIOBase):
    """What a decompressor gives, checked by ``check`` and with its errors mapped to ours."""

    def __init__(self, name: str, stream: Unpacker, check: Callable[[int], None], closing: ExitStack) -> None:
        self._name = name
        self._stream = stream
        self._check = check
        self._closing = closing
        self._total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        try:
            data = self._stream.read(len(view))
        except EOFError:
            raise InputError(f"{self._name}: is cut off; download or copy it again") from None
        # An error of the format may be an OSError: gzip's has no number, and zipfile's is an offset before the start.
        except (zlib.error, BadZipFile, OSError) as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise
            raise InputError(f"{self._name}: is damaged and can't be unpacked; download or copy it again") from None
        self._total += len(data)
        self._check(self._total)
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._closing.close()
        super().close()


def unpacked(name: str, stream: Unpacker, check: Callable[[int], None], closing: ExitStack) -> io.BufferedReader:
    """What a decompressor gives, as a stream that closes ``closing`` with it.

    Its errors are raised as InputError. ``check`` is called with the number of bytes read so far.
    """
    return io.BufferedReader(_Unpacking(name, stream, check, closing), _BUFFER)


def read_through(stream: IO[bytes]) -> None:
    """Read a stream to its end and close it, for the errors that this may raise."""
    with stream:
        while stream.read(_BUFFER):
            pass
