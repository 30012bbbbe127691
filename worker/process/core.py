"""A worker process keeps to one core at a time.

Python runs one thread of a process at a time, whatever the cores. On several cores its threads still wake each other
across them, some twenty times a job, and each time that costs an interrupt, a cold cache, and often a core that had
gone to sleep. On two cores of a virtual machine a handover between two threads took 15 µs of CPU, and on one core 3;
a job took 0.52 ms in place of 0.78 (0.67), and one process made 1.6 times the calls. Work that needs several cores
gets several processes.

On one core the kernel lets a woken thread cut short the one that wakes it, which mostly holds the interpreter's lock,
so that the woken one waits at once again. The scheduling policy for batches doesn't: with it a job took 0.92 of that.

Which core it is doesn't matter, so a core that others want as well is left. That is looked at every two seconds, by the
kernel's own count of how busy each core is, which a container sees of the whole machine. Cores that somebody gives to
the process meanwhile, as ``taskset`` does, or a kubelet that gives whole cores to other pods, are kept to.
"""

import os
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LOOK_SECONDS = 2.0
"""How often it is looked whether the core is still a good one. A look takes 0.1 ms on two cores."""

FIRST_LOOK_SECONDS = 0.2
"""How long it is looked at before a core is chosen. It may be the wrong one, and is left at the next look then."""

CROWDED = 0.8
"""Share of a core's time from which its processes wait for each other. Below it nobody gains by a move."""

GAIN = 0.2
"""By how much of a core's time others must use another core less. A smaller gain may be gone at the next look."""

STAT = Path("/proc/stat")

_IDLE = slice(3, 5)


class Load(NamedTuple):
    """Seconds since some start: by the clock, of this process's CPU, and that each core was busy."""

    at: float
    own: float
    busy: Mapping[int, float]


def keep_to_one_core(*, look_seconds: float = LOOK_SECONDS, stat: Path = STAT) -> None:
    """Keep this process's threads, also those to come, to one core from the first look on; on a daemon thread.

    ``stat`` is where the kernel counts how busy each core is. Does nothing where the system has no such thing, or
    allows the process no second core.
    """
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1 and stat.exists():
        cores = frozenset(os.sched_getaffinity(0))
        threading.Thread(target=_keep, args=(cores, look_seconds, stat), name="core", daemon=True).start()


def better_core(busy: Mapping[int, float], here: int | None, own: float) -> int | None:
    """The core to go to, by the share of each core's time (0 to 1) that it was busy; None to stay.

    ``busy`` has at least one core. ``here`` is the process's core, None where it has none yet, and ``own`` is its own
    share of it. Of equally good cores any one is returned, so that several processes don't all go to the same.
    """
    best = min(busy.values())
    good = random.choice([core for core, share in busy.items() if share <= best + GAIN / 2])  # noqa: S311 - no secret
    if here is None or here not in busy:
        return good
    crowded = busy[here] >= CROWDED and busy[here] - own - busy[good] >= GAIN
    # Of two processes that meet on a core, mostly one should go.
    return good if crowded and random.random() < 1 / 2 else None  # noqa: S311 - no secret


def read_load(cores: frozenset[int], stat: Path = STAT) -> Load:
    """The load up to now of those ``cores`` that the kernel counts; raises OSError and ValueError."""
    ticks = os.sysconf("SC_CLK_TCK")
    busy = {}
    for line in stat.read_text().splitlines():
        name, *columns = line.split()
        core = name.removeprefix("cpu")
        if name.startswith("cpu") and core.isdecimal() and int(core) in cores:
            spent = list(map(int, columns[:8]))
            busy[int(core)] = (sum(spent) - sum(spent[_IDLE])) / ticks
    return Load(time.monotonic(), time.process_time(), busy)


def _keep(cores: frozenset[int], look_seconds: float, stat: Path) -> None:
    pause = threading.Event()
    process = os.getpid()
    here: int | None = None
    # Another kernel may count in another way: then it places us.
    with suppress(OSError, ValueError):
        before = read_load(cores, stat)
        wait = min(FIRST_LOOK_SECONDS, look_seconds)
        while not pause.wait(wait):
            wait = look_seconds
            given = frozenset(os.sched_getaffinity(process))
            if here is not None and given != {here}:
                if len(given) == 1:
                    return
                cores, here = given, None
            now = read_load(cores, stat)
            seconds = now.at - before.at
            # A core that was taken offline is counted no more.
            both = now.busy.keys() & before.busy.keys()
            busy = {core: (now.busy[core] - before.busy[core]) / seconds for core in both}
            if busy:
                core = better_core(busy, here, (now.own - before.own) / seconds)
                here = here if core is None else core
            if here is not None:
                _keep_threads_to(here)
            before = now


def _keep_threads_to(core: int) -> None:
    # Each thread has cores and a policy of its own, and a thread that it starts inherits them. One that comes amid this
    # is found at the next look.
    for thread in [int(task.name) for task in Path("/proc/self/task").iterdir()]:
        with suppress(ProcessLookupError):
            if os.sched_getaffinity(thread) != {core}:
                os.sched_setaffinity(thread, {core})
        # A sandbox may allow the one and not the other.
        with suppress(OSError):
            # Any other policy was somebody's choice.
            if os.sched_getscheduler(thread) == os.SCHED_OTHER:
                os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
