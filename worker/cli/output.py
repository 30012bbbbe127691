"""Standard output whose failures are ours to explain: its disk is full, or it was closed before the command began."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO, cast

from worker.errors import InputError


class Output:
    """Stands in front of standard output, and turns its errors into the line of a command that failed.

    What is no longer read (`| head`) stays a BrokenPipeError. Every other attribute is the stream's own.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write as the stream does.

        Raises:
          InputError: it can't.
          BrokenPipeError: nobody reads it any more.
        """
        with self._explained():
            return self._stream.write(text)

    def flush(self) -> None:
        """Flush as the stream does; raises as :meth:`write`."""
        with self._explained():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            # What it could not take may wait in its buffer. Python would try once more as it exits, and end with
            # another exit code.
            nothing = os.open(os.devnull, os.O_WRONLY)
            self._stream = os.fdopen(nothing, "w")
            raise InputError(
                f"standard output: can't be written ({error.strerror}); send it somewhere else; what the command had "
                "done before is done"
            ) from error


class _Closed(io.TextIOBase):
    """For a standard output that is closed Python has nothing, and what is printed would be lost without a word."""

    def write(self, _text: str, /) -> NoReturn:
        raise OSError(errno.EBADF, "it is closed")


def explain_failures() -> None:
    """Put :class:`Output` in front of ``sys.stdout``."""
    # Python's type for it doesn't know that it may be missing.
    stream = cast("TextIO", sys.stdout or _Closed())
    sys.stdout = cast("TextIO", Output(stream))
