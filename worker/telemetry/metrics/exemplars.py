"""Exemplars: beside each bucket of the calls' lengths, the trace of the latest call in it.

``prometheus_client`` drops exemplars where several processes share their values. So each process keeps its own in a
small file beside them, and the page takes the latest of all processes.
"""

import os
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog
from prometheus_client import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from worker.clock import Clock
from worker.instants import SECOND
from worker.telemetry.metrics.series import CALL_BUCKETS, CALL_SECONDS
from worker.telemetry.metrics_folder import VARIABLE
from worker.telemetry.tracing import Tracing

FILES = "exemplars_*.bin"
"""The files of all processes, in the folder of the shared values."""

_RECORD = struct.Struct("<dd16s")
_CHECK = struct.Struct("<I")
_SIZE = _RECORD.size + _CHECK.size

_BOUNDS = [*map(floatToGoString, CALL_BUCKETS), "+Inf"]
_ANSWERED = ("false", "true")

log = structlog.get_logger(__name__)


class Exemplars:
    """Keeps this process's exemplars in a file in ``folder``. Any thread may note one; it writes 36 bytes.

    Raises:
      OSError: there is no room for the file.
    """

    def __init__(self, folder: Path, tracing: Tracing, clock: Clock) -> None:
        self._tracing = tracing
        self._clock = clock
        path = folder / FILES.replace("*", str(os.getpid()))
        # Open until the process ends, and written whole, so that later writes need no room on the disk.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.pwrite(self._file, bytes(_SIZE * len(_ANSWERED) * len(_BOUNDS)), 0)

    def note(self, seconds: float, *, answered: bool) -> None:
        """A call has taken so long."""
        trace = self._tracing.collected()
        if trace is not None:
            at = self._clock.now() + self._clock.ahead()
            record = _RECORD.pack(seconds, at / SECOND, bytes.fromhex(trace))
            place = len(_BOUNDS) * answered + bisect_left(CALL_BUCKETS, seconds)
            # In one piece, since other threads write too; the checksum tells a reader who comes in the midst.
            os.pwrite(self._file, record + _CHECK.pack(zlib.crc32(record)), place * _SIZE)


def exemplars_of(tracing: Tracing | None, clock: Clock) -> Exemplars | None:
    """Those of this process, where somebody collects its traces."""
    if tracing is None or not tracing.exports:
        return None
    try:
        return Exemplars(Path(os.environ[VARIABLE]), tracing, clock)
    except OSError as error:
        log.warning("exemplars_off", problem=error.strerror)
        return None


class ExemplifiedCollector:
    """Collects the shared values of all processes, with the exemplars of the calls' lengths."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """What the page shows; called by the registry."""
        families: Iterable[Metric] = MultiProcessCollector(None, str(self._folder)).collect()  # type: ignore[no-untyped-call] # no types there
        for family in families:
            if family.name == CALL_SECONDS:
                latest = latest_exemplars(self._folder)
                family.samples = [_with_exemplar(sample, latest) for sample in family.samples]
            yield family


def _with_exemplar(sample: Sample, latest: dict[tuple[str, str], Exemplar]) -> Sample:
    exemplar = latest.get((sample.labels.get("answered", ""), sample.labels.get("le", "")))
    return sample._replace(exemplar=exemplar) if exemplar is not None else sample


def latest_exemplars(folder: Path) -> dict[tuple[str, str], Exemplar]:
    """The latest of all processes, by the labels ``answered`` and ``le``."""
    found: dict[tuple[str, str], Exemplar] = {}
    places = [(answered, bound) for answered in _ANSWERED for bound in _BOUNDS]
    for path in folder.glob(FILES):
        kept = path.read_bytes()
        for number, place in enumerate(places):
            record, check = kept[number * _SIZE :][: _RECORD.size], kept[number * _SIZE + _RECORD.size :][: _CHECK.size]
            if len(check) < _CHECK.size or _CHECK.unpack(check)[0] != zlib.crc32(record):
                continue
            seconds, at, trace = _RECORD.unpack(record)
            before = found.get(place)
            if before is None or before.timestamp is None or float(before.timestamp) < at:
                found[place] = Exemplar({"trace_id": trace.hex()}, seconds, at)
    return found
