"""Exemplars of several processes on one page."""

import os
from pathlib import Path

import pytest

from tests.unit.telemetry.test_tracing import CONTEXT, Held
from worker.clock import ManualClock
from worker.instants import SECOND
from worker.telemetry.metrics.exemplars import FILES, Exemplars, exemplars_of, latest_exemplars
from worker.telemetry.tracing import Tracing


class Collected(Tracing):
    """Somebody collects the traces."""

    exports = True


def note(folder: Path, at: int, seconds: float, *, answered: bool = True, number: int = 1) -> Exemplars:
    """A process that has made one call, whose file is then another's."""
    tracing = Collected()
    tracing.admitted(Held(CONTEXT._replace(traceparent=f"00-{number:032x}-{1:016x}-01")))
    kept = Exemplars(folder, tracing, ManualClock(at))
    kept.note(seconds, answered=answered)
    (folder / FILES.replace("*", str(os.getpid()))).rename(folder / FILES.replace("*", f"{number}"))
    return kept


def test_the_latest_of_all_processes(tmp_path: Path) -> None:
    """Of each bucket, wherever it was made; the bounds are those of the histogram."""
    note(tmp_path, 5 * SECOND, 0.3, number=1)
    note(tmp_path, 7 * SECOND, 0.5, number=2)
    note(tmp_path, 6 * SECOND, 0.4, number=3)
    note(tmp_path, 1 * SECOND, 99, answered=False, number=4)
    shown = {
        place: (each.labels["trace_id"][-1], each.value, each.timestamp)
        for place, each in latest_exemplars(tmp_path).items()
    }
    assert shown == {("true", "0.5"): ("2", 0.5, 7.0), ("false", "+Inf"): ("4", 99.0, 1.0)}


def test_a_file_that_is_half_written(tmp_path: Path) -> None:
    """What doesn't fit its checksum is left out, as in a process that just writes."""
    note(tmp_path, SECOND, 0.3)
    (path,) = tmp_path.glob(FILES)
    whole = path.read_bytes()
    place = whole.rindex(b"\1")
    for torn in (whole[:place] + b"\2" + whole[place + 1 :], whole[: place + 1], b""):
        path.write_bytes(torn)
        assert latest_exemplars(tmp_path) == {}
    path.write_bytes(whole)
    assert len(latest_exemplars(tmp_path)) == 1


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_trace_that_nobody_collects_is_no_exemplar(tmp_path: Path, flags: str) -> None:
    """Nor is there a file where nothing exports."""
    assert exemplars_of(Tracing(), ManualClock()) is None
    tracing = Collected()
    tracing.admitted(Held(CONTEXT._replace(traceparent=CONTEXT.traceparent[:-2] + flags)))
    Exemplars(tmp_path, tracing, ManualClock(SECOND)).note(0.1, answered=True)
    assert len(latest_exemplars(tmp_path)) == int(flags)
