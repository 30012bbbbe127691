"""Which core a worker process keeps to, and that it does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
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


class Machine:
    """A program that keeps to one core, on a machine whose counts are the test's."""

    def __init__(self, folder: Path) -> None:
        self.spent = dict.fromkeys(os.sched_getaffinity(0), 0)
        self._stat = folder / "stat"
        self.count()
        self.process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(self._stat)], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def count(self) -> None:
        """Let the kernel count what is ``spent``: ticks by core."""
        lines = [f"cpu{core} {ticks} 0 0 0 0 0 0 0 0 0" for core, ticks in self.spent.items()]
        new = self._stat.with_name("new")
        new.write_text("\n".join(["cpu 0 0 0 0 0 0 0 0 0 0", *lines, "intr 5"]))
        new.replace(self._stat)

    def crowd(self, core: int) -> None:
        """Others want the core: far more of it than the time of a look."""
        self.spent[core] += 100_000
        self.count()

    def give(self, cores: set[int]) -> None:
        """Let all threads run on these, as ``taskset`` does."""
        for thread in self.threads():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, cores)

    def threads(self) -> list[int]:
        """Those of the program, the one that looks among them."""
        return [int(task.name) for task in Path(f"/proc/{self.process.pid}/task").iterdir()]

    def cores(self) -> set[int]:
        """The cores that any of them may run on."""
        return {core for thread in self.threads() for core in os.sched_getaffinity(thread)}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """With a program whose threads are on one core."""
    made = Machine(tmp_path)
    try:
        wait_until(lambda: len(made.cores()) == 1, 30, "one core for all threads")
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


@several_cores
def test_it_keeps_to_one_core_and_leaves_a_crowded_one(machine: Machine) -> None:
    """All its threads go to one core, those that were there before too; once others want that core, to another."""
    (first,) = machine.cores()

    def has_left() -> bool:
        machine.crowd(first)
        return len(machine.cores()) == 1 and first not in machine.cores()

    wait_until(has_left, 30, "another core for all threads")
    assert [os.sched_getscheduler(thread) for thread in machine.threads()] == [os.SCHED_BATCH] * 4


@several_cores
def test_a_core_that_somebody_else_has_chosen(machine: Machine) -> None:
    """It stays, and nobody looks for another any more: the thread ends."""
    (first,) = machine.cores()
    chosen = next(core for core in machine.spent if core != first)

    def has_ended() -> bool:
        machine.give({chosen})
        return len(machine.threads()) == 3

    wait_until(has_ended, 30, "the end of the looking thread")
    assert machine.cores() == {chosen}


@several_cores
def test_several_cores_that_somebody_else_has_given(machine: Machine) -> None:
    """All threads go to one of them, whatever core that is."""
    machine.give(set(machine.spent))
    wait_until(lambda: len(machine.cores()) == 1, 30, "one core for all threads")
    assert len(machine.threads()) == 4
