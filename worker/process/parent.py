"""A worker process ends with the one that started it.

Nobody knows of an orphan: no signal reaches it any more, and it goes on calling beside the worker that is started in
its place, or keeps that one out by holding what only one worker may hold.
"""

import multiprocessing
import os
import signal
import threading

LOOK_SECONDS = 0.5
"""How soon an orphan notices. A look takes some microseconds."""

LAST_SECONDS = 120.0
"""What draining takes at most: 90 s for the threads, and what is left to confirm and to close. A process that hangs
then is ended, since nobody else will; its jobs go to another worker."""


def end_with_parent(stopping: threading.Event) -> None:
    """Watch over the parent from a thread of its own; once it is gone, drain as after SIGTERM, then end.

    ``stopping`` tells that the process drains already: a second signal would end it at once. Does nothing in a process
    that multiprocessing didn't start.
    """
    if multiprocessing.parent_process() is not None:
        threading.Thread(target=_watch, args=(stopping,), name="parent", daemon=True).start()


def is_orphan() -> bool:
    """Whether multiprocessing started this process and the one that did so is gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return False
    # Forked siblings inherit the pipe whose end would tell, and keep it open.
    if multiprocessing.get_start_method() == "fork":
        return os.getppid() != parent.pid
    return not parent.is_alive()


def _watch(stopping: threading.Event) -> None:
    pause = threading.Event()
    while not is_orphan():
        pause.wait(LOOK_SECONDS)
    # It can't be told: the parent was the one who read this process's log.
    if not stopping.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
    pause.wait(LAST_SECONDS)
    os._exit(1)
