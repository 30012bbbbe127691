"""Processes that are started into the background and ended by their own pid, from this program or a later one."""

import contextlib
import json
import os
import random
import signal
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from tests.services.wait import wait_until

_OWNER = "REFERRALS_TEST_PROCESS"
"""What a process is started with and leaves to its children: the pid file that speaks of them all."""

_PORTS = range(10_000, 32_768)
"""Linux's own begin after these, those of macOS at 49,152."""

_SAME_START_SECONDS = 1.0
"""Start times are read back from the kernel in hundredths; a reused pid starts later than this."""


def spawn(command: list[str], *, pid_file: Path, log: Path, env: Mapping[str, str]) -> None:
    """Start ``command`` in a session of its own, so that a terminal's Ctrl-C does not reach it.

    ``pid_file`` gets its pid and start time; output is appended to ``log``.
    """
    pid = os.posix_spawn(
        command[0],
        command,
        {**env, _OWNER: str(pid_file)},
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    half_written = pid_file.with_suffix(".new")
    half_written.write_text(json.dumps({"pid": pid, "started": _started(psutil.Process(pid))}))
    half_written.replace(pid_file)


def find(pid_file: Path) -> psutil.Process | None:
    """The running process that ``pid_file`` speaks of; None where it ended or its pid now belongs to another."""
    try:
        record = json.loads(pid_file.read_text())
        process = psutil.Process(record["pid"])
        if not lives(process):
            return None
        same = abs(_started(process) - record["started"]) < _SAME_START_SECONDS
    except (FileNotFoundError, ProcessLookupError, json.JSONDecodeError, psutil.NoSuchProcess):
        return None
    return process if same else None


def _started(process: psutil.Process) -> float:
    """Seconds from the machine's start to the process's where the kernel tells them. The time of day would be another
    one whenever the clock is set, and every running process then seems to have ended."""
    if not psutil.LINUX:
        return process.create_time()
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def end(pid_file: Path, number: signal.Signals, deadline_seconds: float) -> None:
    """Signal the process of ``pid_file`` and wait for it and its children; what outlives the deadline is killed.

    Where it has ended by itself, its children are signalled: Erlang's outlive their node by some milliseconds.
    """
    family = _family(pid_file)
    leader = find(pid_file)
    if leader is not None and leader not in family:
        # Its environment is gone with its first thread.
        family.append(leader)
    for each in [leader] if leader else family:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.send_signal(number)
    try:
        wait_until(lambda: all(map(_ended, family)), deadline_seconds, f"the processes of {pid_file} to end")
    except TimeoutError:
        for straggler in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                straggler.kill()
    pid_file.unlink(missing_ok=True)


@contextlib.contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    """A process stands still meanwhile, each thread of it: on a busy machine some run on for a while when suspended."""
    process.suspend()
    try:
        wait_until(lambda: _stands_still(process), 10, f"process {process.pid} to stand still")
        yield
    finally:
        process.resume()


def _stands_still(process: psutil.Process) -> bool:
    if not psutil.LINUX:
        return process.status() == psutil.STATUS_STOPPED
    try:
        stats = [stat.read_text() for stat in Path(f"/proc/{process.pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        return False  # a thread has ended meanwhile
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _family(pid_file: Path) -> list[psutil.Process]:
    family = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if each.environ().get(_OWNER) == str(pid_file):
                family.append(each)
    return family


def _ended(process: psutil.Process) -> bool:
    try:
        process.wait(0)  # reaps it where it is a child of this program
    except psutil.TimeoutExpired:
        # Somebody else's child stays a zombie until its parent looks, which took 5 s in a container.
        return not lives(process)
    return True


def free_ports(count: int) -> list[int]:
    """Different TCP ports of 127.0.0.1 that nobody listens on at this moment.

    Below those that the kernel gives to outgoing connections: of them one could be taken before its service has it.
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            candidate = held.enter_context(socket.socket())
            try:
                candidate.bind(("127.0.0.1", random.choice(_PORTS)))
            except OSError:
                continue
            ports.append(int(candidate.getsockname()[1]))
        return ports


def lives(process: psutil.Process) -> bool:
    """Whether it runs; whoever adopted it may be slow to look after it has ended.

    Killed, a process is called a zombie once its first thread has ended. Until the last one has, it keeps its ports.
    """
    try:
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False
