"""Counts a worker's function calls from inside; Python imports it at start where its folder is on PYTHONPATH.

Every thread that starts is counted. A thread of its own, which isn't, answers on a Unix socket named after the process.
"""

import _thread
import json
import os
import socket
import sys
import threading
from collections import defaultdict
from types import CodeType, FrameType
from typing import Any

_python: defaultdict[CodeType, int] = defaultdict(int)
_builtin: defaultdict[str, int] = defaultdict(int)


def _count(frame: FrameType, event: str, called: Any) -> None:
    if event == "call":
        _python[frame.f_code] += 1
    elif event == "c_call":
        _builtin[called.__qualname__] += 1


def _jobs() -> int:
    # Dramatiq calls this once for each message that a thread takes.
    return sum(calls for code, calls in list(_python.items()) if code.co_name == "process_message")


def _answer() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{os.environ['COUNTING_FOLDER']}/{os.getpid()}.socket")
        server.listen()
        while True:
            with server.accept()[0] as client:
                python: defaultdict[str, int] = defaultdict(int)
                for code, calls in list(_python.items()):
                    python[code.co_filename] += calls
                told = {"python": python, "builtin": dict(_builtin), "jobs": _jobs()}
                client.sendall(json.dumps(told).encode())


def _start() -> None:
    # Not by `threading`, whose threads are counted.
    _thread.start_new_thread(_answer, ())


if "COUNTING_FOLDER" in os.environ:
    os.register_at_fork(after_in_child=_start)
    _start()
    threading.setprofile(_count)
    sys.setprofile(_count)
