"""Which core a worker process keeps to, and that it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import wait_until
from worker.process.core import better_core, read_load

PROGRAM = """
import sys, threading, time
from pathlib import Path
from worker.process.core import keep_to_one_core
threading.Thread(target=time.sleep, args=(120,), daemon=True).start()
keep_to_one_core(look_seconds=0.05, stat=Path(sys.argv[1]))
threading.Thread(target=time.sleep, args=(120,), daemon=True).start()
print(flush=True)
time.sleep(120)
"""

several_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one core")


@pytest.mark.parametrize(
    ("busy", "here", "own", "expected"),
    [
        pytest.param({0: 0.9, 1: 0.1}, None, 0.5, {1}, id="the first is the least busy"),
        pytest.param({0: 0.4, 1: 0.43, 2: 0.9}, None, 0.5, {0, 1}, id="any of equally busy ones"),
        pytest.param({0: 1.0, 1: 0.1}, 0, 0.5, {None, 1}, id="others want it too"),
        pytest.param({0: 1.0, 1: 0.1}, 0, 1.0, {None}, id="it is busy with this process alone"),
        pytest.param({0: 0.7, 1: 0.0}, 0, 0.2, {None}, id="there is time left"),
        pytest.param({0: 1.0, 1: 0.4}, 0, 0.5, {None}, id="the other is hardly better"),
        pytest.param({1: 0.4, 2: 0.5}, 0, 0.5, {1, 2}, id="its own is counted no more"),
    ],
)
def test_better_core(busy: dict[int, float], here: int | None, own: float, expected: set[int | None]) -> None:
    """Every answer that may be given is given, sooner or later, and no other."""
    assert {better_core(busy, here, own) for _ in range(200)} == expected


def test_load() -> None:
    """Of each allowed core, and of no other; time goes on."""
    cores = frozenset(os.sched_getaffinity(0))
    first, second = read_load(cores), read_load(cores)
    assert first.busy.keys() == cores
    assert second.at > first.at
    assert second.own >= first.own
    assert all(second.busy[core] >= busy > 0 for core, busy in first.busy.items())


@several_cores
def test_it_keeps_to_one_core_and_leaves_a_crowded_one(tmp_path: Path) -> None:
    """All its threads go to one core, those that were there before too; once others want that core, to another."""
    spent = dict.fromkeys(os.sched_getaffinity(0), 0)
    stat = tmp_path / "stat"

    def count() -> None:
        lines = [f"cpu{core} {ticks} 0 0 0 0 0 0 0 0 0" for core, ticks in spent.items()]
        (tmp_path / "new").write_text("\n".join(["cpu 0 0 0 0 0 0 0 0 0 0", *lines, "intr 5"]))
        (tmp_path / "new").replace(stat)

    count()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(stat)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        wait_until(lambda: len(cores_of(process)) == 1, 30, "one core for all threads")
        (first,) = cores_of(process)

        def has_left() -> bool:
            # Far more than a look's time: the core was busy for all of it, and with others.
            spent[first] += 100_000
            count()
            return len(cores_of(process)) == 1 and first not in cores_of(process)

        wait_until(has_left, 30, "another core for all threads")
        threads = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
        assert [os.sched_getscheduler(thread) for thread in threads] == [os.SCHED_BATCH] * 4
    finally:
        process.kill()
        process.communicate()


def cores_of(process: subprocess.Popen[bytes]) -> set[int]:
    """The cores that any of its threads may run on."""
    threads = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
    return {core for thread in threads for core in os.sched_getaffinity(thread)}
