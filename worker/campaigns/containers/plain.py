"""A file on disk that is an export as it stands."""

from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from worker.errors import InputError


@dataclass(frozen=True)
class PlainFile:
    """The file ``path``, or ``path / member`` if the path is a folder; as :class:`ExportFile` describes."""

    path: Path
    member: str | None = None

    @property
    def on_disk(self) -> Path:
        return self.path if self.member is None else self.path / self.member

    @property
    def name(self) -> str:
        return str(self.on_disk)

    def open(self) -> BufferedReader:
        path = self.on_disk
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is not a regular file; save the export to a file first")
        return path.open("rb")

    def check(self) -> None:
        """Nothing to do: a file that is not packed is read for the first time when its rows are."""
