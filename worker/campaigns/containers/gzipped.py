"""An export that is compressed by gzip."""

import gzip
import io
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from worker.campaigns.containers.base import ExportFile
from worker.campaigns.containers.bounds import check_size, read_through, unpacked
from worker.errors import InputError

_LONGEST_SILENCE = 1024 * 1024
"""Packed bytes that may come to nothing: headers, empty parts, or zeros at the end. ``gzip`` reads each such byte by
itself, 1.4 million a second, and an export is opened some five times."""


class _Packed(io.BufferedReader):
    """The packed bytes, of which only so many are read until something comes out of them."""

    def __init__(self, name: str, raw: io.BufferedReader) -> None:
        super().__init__(raw)
        self._name = name
        self._silent = 0

    def heard(self) -> None:
        """Something came out."""
        self._silent = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._silent += len(data)
        if self._silent > _LONGEST_SILENCE:
            raise InputError(f"{self._name}: is packed as no program does it (long without content); unpack it first")
        return data


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
            packed = stack.enter_context(_Packed(name, file))
            stream = stack.enter_context(gzip.open(packed))

            def check(total: int) -> None:
                packed.heard()
                check_size(name, total, size)

            return unpacked(name, stream, check, stack.pop_all())

    def check(self) -> None:
        if not self._checked:
            read_through(self.open())
            self._checked = True
