"""One export as bytes, whatever holds it."""

from io import BufferedReader
from pathlib import Path
from typing import Protocol


class ExportFile(Protocol):
    """The bytes of one export: a file on disk, a member of an archive, or what came through a pipe."""

    @property
    def name(self) -> str:
        """What messages call it. It never leads out of an archive, however a member is called."""
        ...

    @property
    def path(self) -> Path:
        """The argument of the command that it belongs to. Its default rejects file lies beside that."""
        ...

    @property
    def member(self) -> str | None:
        """Its own name within a folder or an archive; None if the argument is the export itself."""
        ...

    @property
    def on_disk(self) -> Path | None:
        """The file that its bytes are read from, which no command may overwrite; None for a pipe."""
        ...

    def open(self) -> BufferedReader:
        """The bytes from the first one on. May be called any number of times. The caller closes it.

        Opening and reading may block on the disk; both hold a bounded part of the bytes at a time.

        Raises:
          InputError: it can't be unpacked, also while the bytes are read.
          OSError: as for any file.
        """
        ...

    def check(self) -> None:
        """Read an archive to its end, so that a broken one is refused before any row of it is used.

        For a million rows of 150 bytes this takes half a second, of the 90 seconds that publishing them takes.

        Raises:
          InputError: it can't be unpacked.
          OSError: as for any file.
        """
        ...
