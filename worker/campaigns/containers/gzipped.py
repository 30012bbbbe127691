"""An export that is compressed by gzip."""

import gzip
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.containers.bounds import check_size, read_through, unpacked


@dataclass
class GzippedFile:
    """What a gzip file holds, all its parts one after the other; as :class:`ExportFile` describes."""

    packed: ExportFile
    _checked: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        return self.packed.name

    @property
    def path(self) -> Path:
        return self.packed.path

    @property
    def member(self) -> str | None:
        return self.packed.member

    @property
    def on_disk(self) -> Path | None:
        return self.packed.on_disk

    def open(self) -> BufferedReader:
        name = self.name
        with ExitStack() as stack:
            file = stack.enter_context(self.packed.open())
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            stream = stack.enter_context(gzip.open(file))
            return unpacked(name, stream, lambda total: check_size(name, total, size), stack.pop_all())

    def check(self) -> None:
        if not self._checked:
            read_through(self.open())
            self._checked = True
