"""A file on disk that is an export as it stands."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from worker.errors import InputError


@dataclass(frozen=True)
class PlainFile:
    """The file ``argument``, or ``argument / member`` if the argument is a folder; as :class:`ExportFile` describes."""

    path: Path
    member: str | None = None

    @property
    def on_disk(self) -> Path:
        return self.path if self.member is None else self.path / self.member

    @property
    def name(self) -> str:
        return str(self.on_disk)

    def open(self) -> BinaryIO:
        path = self.on_disk
        if path.exists() and not path.is_file():
            # A pipe can be read only once, and the header is read before the rows.
            raise InputError(f"{path}: is not a regular file; save the export to a file first")
        return path.open("rb")
