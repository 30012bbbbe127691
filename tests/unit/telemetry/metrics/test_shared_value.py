"""What we lean on in ``prometheus_client`` beyond its documentation: the files that its own values make."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CellType
from typing import Any

import pytest
from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from worker.telemetry.metrics import shared_value
from worker.telemetry.metrics.shared_value import SharedValue, share_simply
from worker.telemetry.metrics_folder import VARIABLE

MANY = 2000
"""Series, which need more than the first 64 KiB of a file."""


@pytest.fixture(autouse=True)
def files() -> Iterator[None]:
    """Files and values of each test alone."""
    yield
    for file in shared_value._files.values():
        file.close()  # type: ignore[no-untyped-call] # no types there
    shared_value._files.clear()
    shared_value._values.clear()


def counted(folder: Path, kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of a few counts, by name."""
    folder.mkdir()
    monkeypatch.setenv(VARIABLE, str(folder))
    first = kind("counter", "jobs", "jobs_total", ["shop"], ["café"], "Jobs.")
    gauge = kind("gauge", "load", "load", [], [], "Load.", multiprocess_mode="livemostrecent")
    first.inc(1)
    gauge.set(3.5, timestamp=1_700_000_000.25)
    more = [kind("counter", "jobs", "jobs_total", ["shop"], [f"{number}"], "Jobs.") for number in range(MANY)]
    for value in (first, *more[::7]):
        value.inc(0.1)
    gauge.inc(-1)
    kind("gauge", "load", "load", [], [], "Load.", multiprocess_mode="livesum").set(2)
    assert (first.get(), gauge.get(), more[1].get()) == (1.1, 2.5, 0)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def close_files(library: Any) -> None:
    """Close the library's own, for which most of its versions have no method."""
    seen = {
        file
        for method in vars(library).values()
        for cell in getattr(method, "__closure__", None) or ()
        for file in _files_in(cell)
    }
    for file in seen:
        file.close()  # type: ignore[no-untyped-call]


def _files_in(cell: CellType) -> list[MmapedDict]:
    held = cell.cell_contents
    return [file for file in held.values() if isinstance(file, MmapedDict)] if isinstance(held, dict) else []


def test_files_are_the_librarys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte and by name, also after a file has grown."""
    theirs = values.MultiProcessValue()  # type: ignore[no-untyped-call]
    library = counted(tmp_path / "library", theirs, monkeypatch)
    close_files(theirs)
    ours = counted(tmp_path / "ours", SharedValue, monkeypatch)
    assert max(map(len, ours.values())) > 1 << 16
    assert ours == library


def test_a_value_goes_on_where_its_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one of the same series counts on, as after a metric was made anew."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    first, second = (SharedValue("counter", "jobs", "jobs_total", [], [], "Jobs.") for _ in range(2))
    first.inc(2)
    again = SharedValue("counter", "jobs", "jobs_total", [], [], "Jobs.")
    assert (second.get(), again.get()) == (0, 2)


def test_threads_lose_no_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several count into one value at once."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    value = SharedValue("counter", "jobs", "jobs_total", [], [], "Jobs.")

    def count() -> None:
        for _ in range(5000):
            value.inc(1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert value.get() == 20_000


FORKING = """
import os
from prometheus_client import CollectorRegistry
from worker.telemetry.metrics import shared_value
from worker.telemetry.metrics.catalogue import Catalogue

jobs = Catalogue(CollectorRegistry()).counter("jobs_total", "Jobs.")
jobs.inc(2)
shared_value._lock.acquire()
child = os.fork()
if child == 0:
    jobs.inc(3)
    os._exit(0)
shared_value._lock.release()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
jobs.inc(4)
"""
"""The lock is held when the process forks, as it may be by another thread."""


def test_a_forked_process_has_files_of_its_own(tmp_path: Path) -> None:
    """Each count is in one of them."""
    subprocess.run([sys.executable, "-c", FORKING], env={VARIABLE: str(tmp_path), "PATH": ""}, timeout=30, check=True)
    assert len(list(tmp_path.iterdir())) == 2
    (family,) = MultiProcessCollector(None, str(tmp_path)).collect()  # type: ignore[no-untyped-call]
    assert [sample.value for sample in family.samples] == [9]


@pytest.mark.parametrize(
    ("library", "chosen"),
    [
        (values.MultiProcessValue(), SharedValue),  # type: ignore[no-untyped-call]
        (values.MutexValue, values.MutexValue),
    ],
)
def test_only_where_values_are_shared(library: type, chosen: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own keeps its values in memory, as the library does."""
    monkeypatch.setattr(values, "ValueClass", library)
    share_simply()
    assert values.ValueClass is chosen
