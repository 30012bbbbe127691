"""One export as bytes, whatever holds it."""

from pathlib import Path
from typing import BinaryIO, Protocol


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

    def open(self) -> BinaryIO:
        """The bytes from the first one on. May be called any number of times. The caller closes it.

        Opening and reading may block on the disk; both hold a bounded part of the bytes at a time.

        Raises:
          InputError: it can't be opened or read, also while the bytes are read.
          OSError: as for any file.
        """
        ...
