"""A worker process ends with the process that started it.

An orphan is out of control: no signal reaches it any more. It goes on calling beside the worker that is started in its
place, or keeps that worker out, since it holds what only one worker may hold.
"""

import multiprocessing
import os
import signal
import threading

CHECK_SECONDS = 0.5
"""How soon an orphan notices. A check takes some microseconds."""

LAST_SECONDS = 120.0
"""The longest that draining takes: 90 s for the threads, and the rest for confirms and closing. A process that still
runs then hangs, and nobody else would end it. Its jobs go to another worker."""


def end_with_parent(stopping: threading.Event) -> None:
    """Watch the parent from a daemon thread; once it has gone, drain as after SIGTERM, then end.

    ``stopping`` says that the process drains already, in which case a second signal would end it at once. Does nothing
    in a process that multiprocessing did not start.
    """
    if multiprocessing.parent_process() is not None:
        threading.Thread(target=_watch, args=(stopping,), name="parent", daemon=True).start()


def is_orphan() -> bool:
    """Whether multiprocessing started this process and its parent has gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return False
    # multiprocessing notices a parent's end by a pipe that closes. Forked siblings inherit that pipe and keep it open,
    # so with fork the parent's process id decides.
    if multiprocessing.get_start_method() == "fork":
        return os.getppid() != parent.pid
    return not parent.is_alive()


def _watch(stopping: threading.Event) -> None:
    pause = threading.Event()
    while not is_orphan():
        pause.wait(CHECK_SECONDS)
    # Nothing is logged: the parent read this process's log.
    if not stopping.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
    pause.wait(LAST_SECONDS)
    os._exit(1)
