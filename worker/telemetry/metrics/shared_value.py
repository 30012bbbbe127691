"""The value behind a series that several processes share, in the files of ``prometheus_client``.

A job counts thirteen times. The library's own value asks the kernel each time which process it is in, in case it was
forked meanwhile, and goes through three functions to write sixteen bytes: 0.9 µs a count, and 0.5 here. The files, who
merges them and what happens at growth are the library's.

This leans on its internals: ``tests/unit/telemetry/metrics/test_shared_value.py`` must pass before ``pyproject.toml``
admits another version.
"""

import os
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from worker.telemetry.metrics_folder import VARIABLE

_pack = struct.Struct("dd").pack

# One for all values, as in the library: each file grows for all of its values at once.
_lock = threading.Lock()
_files: dict[str, MmapedDict] = {}
_values: list["SharedValue"] = []


class SharedValue:
    """A float in a file of this process. Any thread may count.

    Every method is called by ``prometheus_client``, which asks for this and no other shape.
    """

    _multiprocess = True
    _value: float
    _at: int
    _file: MmapedDict

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Sequence[str],
        labelvalues: Sequence[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_: Any,
    ) -> None:
        self._kind = f"{typ}_{multiprocess_mode}" if typ == "gauge" else typ
        self._key = mmap_key(metric_name, name, list(labelnames), list(labelvalues), help_text)
        with _lock:
            self._open()
            _values.append(self)

    def inc(self, amount: float) -> None:
        with _lock:
            self._value = value = self._value + amount
            at = self._at
            # In one piece: whoever reads the file meanwhile must not see half of it. After growth the map is another.
            self._file._m[at : at + 16] = _pack(value, 0.0)

    def set(self, value: float, timestamp: float | None = None) -> None:
        with _lock:
            self._value = value
            at = self._at
            self._file._m[at : at + 16] = _pack(value, timestamp or 0.0)

    def get(self) -> float:
        return self._value

    def set_exemplar(self, exemplar: Any) -> None:
        """Dropped, as by the library; :mod:`.exemplars` keeps ours."""

    def get_exemplar(self) -> None:
        """None is kept."""

    def _open(self) -> None:
        file = _files.get(self._kind)
        if file is None:
            path = Path(os.environ[VARIABLE]) / f"{self._kind}_{os.getpid()}.db"
            file = _files[self._kind] = MmapedDict(str(path))  # type: ignore[no-untyped-call] # no types there
        self._value = file.read_value(self._key)[0]  # type: ignore[no-untyped-call]
        self._at = file._positions[self._key]
        self._file = file


def share_simply() -> None:
    """Let the series made from now on have such values, in a process that shares its values."""
    if values.ValueClass._multiprocess:
        values.ValueClass = SharedValue


def _after_fork() -> None:
    # A forked process counts into files of its own. Its parent's lock may be held by a thread that it doesn't have.
    global _lock
    _lock = threading.Lock()
    _files.clear()
    for value in _values:
        value._open()


os.register_at_fork(after_in_child=_after_fork)
