"""Programs that are started, measured from outside by what the kernel counts, and ended by pid."""

import contextlib
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.services import wait_until

END_SECONDS = 120
_CHILDREN_SECONDS = 5
"""Within which a program's own processes must end once it has."""


class BenchmarkError(Exception):
    """A measurement that can't be trusted or made; one line that says why."""


@dataclass(frozen=True)
class Usage:
    """What a process has used so far: ``cpu`` is user and system time in seconds, ``at`` the monotonic clock's."""

    at: float
    cpu: float

    def since(self, earlier: "Usage") -> "Usage":
        """The difference; ``at`` is then the length of the time between."""
        return Usage(self.at - earlier.at, self.cpu - earlier.cpu)


class Program:
    """A background process with its output in ``log``; a context manager that ends it with SIGTERM."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)

    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str) -> str:
        """The rest of the line after ``text``, once it is printed."""
        wait_until(lambda: text in self.output() or self._process.poll() is not None, 60, f"{text!r} in {self._log}")
        if text not in self.output():
            raise BenchmarkError(f"{self._process.args!r} ended: {self.output()[-500:]}")
        return self.output().split(text, 1)[1].split("\n", 1)[0].strip()

    def worker(self) -> psutil.Process:
        """The one worker process of a Dramatiq program: the child that has threads."""
        parent = psutil.Process(self._process.pid)

        def threaded() -> psutil.Process | None:
            return next((child for child in parent.children() if child.num_threads() > 1), None)

        found = wait_until(threaded, 60, "a worker process")
        assert found is not None
        return found

    def processes(self) -> list[psutil.Process]:
        """The program and all that it has started."""
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = self.processes()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        in_time = self._process.poll() is not None
        _, left = psutil.wait_procs(family[1:], timeout=_CHILDREN_SECONDS if in_time else 0)
        for process in (*left, *family[:1]):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        if left and in_time and kind is None:
            # It would go on beside what is measured next.
            raise BenchmarkError(f"{self._process.args!r} ended and left {[one.pid for one in left]} running")


def usage(process: psutil.Process) -> Usage:
    """The process's CPU time, all threads together; the kernel counts it in hundredths of a second."""
    times = process.cpu_times()
    return Usage(time.monotonic(), times.user + times.system)


def tree_usage(processes: Sequence[psutil.Process]) -> Usage:
    """What some processes have used together."""
    return Usage(time.monotonic(), sum(usage(process).cpu for process in processes))


def fine_usage(process: psutil.Process) -> Usage:
    """The same in nanoseconds, without threads that have ended: for a process that hardly runs."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return Usage(time.monotonic(), sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9)


def resident_mib(process: psutil.Process) -> float:
    """Resident memory."""
    return float(process.memory_info().rss) / 2**20


def run_to_end(command: Sequence[str], env: Mapping[str, str]) -> tuple[str, float]:
    """Run a program to its end: what it printed, and the CPU seconds that it took.

    Raises:
      BenchmarkError: it failed.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, cpu


def run_watched(command: Sequence[str], env: Mapping[str, str]) -> tuple[str, float, float]:
    """Run a program to its end: what it printed, the seconds that it took, and the peak of its resident memory in MiB.

    Raises:
      BenchmarkError: it failed.
    """
    began = time.monotonic()
    peak = 0.0
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        while True:
            # The kernel's own peak since the program's start: the last look, a tenth of a second before its end at
            # most, has nearly all of it.
            peak = max(peak, peak_mib(psutil.Process(program.pid)))
            try:
                printed, said = program.communicate(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            break
    if program.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)}: {said.strip()[-500:]}")
    return printed, time.monotonic() - began, peak


def peak_mib(process: psutil.Process) -> float:
    """The peak of its resident memory since its start; 0 if it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0.0
    _, found, rest = status.partition("VmHWM:")
    return int(rest.split()[0]) / 1024 if found else 0.0
