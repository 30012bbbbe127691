"""Where the values of metrics live: a folder of each worker's own, whatever else is in its place."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BOUNDED = """
import resource, sys
from worker.telemetry import metrics_folder
from worker.errors import ConfigurationError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    metrics_folder.{prepare}()
except ConfigurationError as error:
    print(error)
"""

WORKER = """
import subprocess, sys
from worker.telemetry import metrics_folder
folder = metrics_folder.{prepare}()
(folder / "counter_1.db").write_text("counted")
print(folder, flush=True)
sys.stdin.read()
"""

PARENT = """
import subprocess, sys
from worker.telemetry import metrics_folder
child = "from worker.telemetry import metrics_folder; print(metrics_folder.shared_metrics_of_parent())"
prepared = metrics_folder.prepare_shared_metrics()
print(prepared, flush=True)
for _ in range(2):
    subprocess.run([sys.executable, "-c", child], check=True)
print(metrics_folder.prepare_shared_metrics().parent)
metrics_folder.discard_shared_metrics(prepared)
"""

WAYS = ["prepare_shared_metrics", "shared_metrics_of_parent"]
"""Our own command's parent, and Dramatiq's worker processes."""

NAMED = "PROMETHEUS_MULTIPROC_DIR"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that others use too."""
    (tmp_path / "orders.db").write_text("somebody's")
    (tmp_path / "referral-metrics-notes").write_text("a file")
    (tmp_path / "referral-metrics-1-2").mkdir()
    (tmp_path / "referral-metrics-1-2" / "kept.txt").write_text("not ours")
    return tmp_path


def others(place: Path) -> list[str]:
    """What was there and must stay."""
    kept = ("orders.db", "referral-metrics-notes", "referral-metrics-1-2/kept.txt")
    return [name for name in kept if not (place / name).exists()]


def told(program: str, *arguments: str, place: Path | str) -> list[str]:
    """The lines that a program prints."""
    env = os.environ | {NAMED: str(place)}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


@contextmanager
def counting(place: Path, prepare: str = WAYS[0]) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """A process that has counted, and its folder; killed at the end."""
    command = [sys.executable, "-c", WORKER.format(prepare=prepare)]
    env = os.environ | {NAMED: str(place)}
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


@pytest.mark.parametrize("prepare", WAYS)
def test_a_folder_without_room_is_refused(tmp_path: Path, prepare: str) -> None:
    """Values in memory that no disk is left for would end the process later, when it counts."""
    (line,) = told(BOUNDED.format(prepare=prepare), "65536", place=tmp_path)
    assert line.startswith(f"{NAMED}: {tmp_path}: ")
    assert line.endswith("; free 4 MiB there or name another folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prepare", WAYS)
def test_no_temporary_folder(prepare: str) -> None:
    """Where nothing can be written to and no folder is named, the line says how to name one."""
    (line,) = told(BOUNDED.format(prepare=prepare), "0", place="")
    assert line == (
        "no temporary folder can be written to: name one by TMPDIR, or one for metrics alone by "
        "PROMETHEUS_MULTIPROC_DIR"
    )


def test_workers_that_share_a_place_are_kept_apart(place: Path) -> None:
    """Each has a folder of its own; of what is there, the next one removes what a killed worker left, no more."""
    with counting(place) as (first, of_first), counting(place) as (_, of_second):
        assert of_first != of_second
        assert {of_first.parent, of_second.parent} == {place}
        first.kill()
        first.wait()
        with counting(place):
            assert not of_first.exists()
            assert (of_second / "counter_1.db").read_text() == "counted"
    assert others(place) == []


def test_processes_of_one_parent_share_a_folder(place: Path) -> None:
    """Those that Dramatiq's own command starts find each other, and leave a strange worker's folder alone."""
    with counting(place) as (_, strange), counting(place, WAYS[1]) as (_, one), counting(place, WAYS[1]) as (_, other):
        assert one == other != strange
        assert (strange / "counter_1.db").exists()
    assert others(place) == []


def test_what_a_parent_prepared(place: Path) -> None:
    """Its children use it, the same process started anew makes one beside it, and at its end it is gone."""
    prepared, *children, beside = told(PARENT, place=place)
    assert children == [prepared, prepared]
    assert Path(beside) == place
    assert not Path(prepared).exists()
    assert others(place) == []
