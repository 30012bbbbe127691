"""Runs ``referrals`` in a fork of a process that has imported its commands: that is a second of CPU less for each.

What the fork runs is the program's own ``main``, with its own folder, environment, streams and exit. The process reads
requests from stdin, a line of JSON each, and answers with the command's process id, then with its status, which for a
command that goes on in the background is written to a file instead. `referrals work` is none of these commands:
prometheus_client decides on import where metrics live.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

COMMANDS = (
    "work",
    "plan",
    "run",
    "publish",
    "collect",
    "merge",
    "find",
    "replay",
    "report",
    "status",
    "shops",
    "cancel",
    "dead",
    "campaigns",
    "suppress",
    "forget",
    "log",
)
STARTED = ("sandbox", *COMMANDS)
"""What may run in the background; any of these, and of no other, is forked."""

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Request:
    """A command to run; ``out`` and ``err`` are the files of its output, ``input`` what it reads.

    ``status`` is the file of its status, for a command that runs in the background.
    """

    arguments: list[str]
    folder: str
    env: dict[str, str]
    out: str
    err: str
    status: str | None = None
    input: str = os.devnull


class Started:
    """A command that runs in the background, in a session of its own; as ``subprocess.Popen`` has it."""

    def __init__(self, arguments: Sequence[str], pid: int, status: Path) -> None:
        self.pid = pid
        self._arguments = list(arguments)
        self._status = status

    @property
    def returncode(self) -> int | None:
        """As ``poll``."""
        return self.poll()

    def poll(self) -> int | None:
        """Its status, None while it runs."""
        # The file comes whole into its place, and with the process still there to be reaped.
        return int(self._status.read_text()) if self._status.exists() else None

    def wait(self, timeout: float) -> int:
        """Its status; raises TimeoutExpired where it hasn't ended by then."""
        until = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(self._arguments, timeout)
            time.sleep(0.005)
        return status

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        # It may end, and be reaped, after the look.
        with contextlib.suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, signal.SIGKILL)


class WarmCommands:
    """One of those processes, which ends with this one. Runs one command at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[str] | None = None

    def _start(self) -> subprocess.Popen[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("REFERRALS_", "PROMETHEUS_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.system.warm"],
            cwd=REPOSITORY,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """As ``subprocess.run`` with captured text.

        Raises:
          subprocess.TimeoutExpired: it took longer than ``timeout`` seconds and was killed.
        """
        with self._lock, TemporaryDirectory() as held:
            out, err = Path(held, "out"), Path(held, "err")
            request = Request(list(arguments), str(folder), dict(env), str(out), str(err))
            status = self._run(request, timeout)
            if status is None:
                raise subprocess.TimeoutExpired(list(arguments), timeout, out.read_text(), err.read_text())
            return subprocess.CompletedProcess(list(arguments), status, out.read_text(), err.read_text())

    def start(self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], name: str) -> Started:
        """Start a command in the background; its output goes to ``name`` with the suffixes .out and .err."""
        out, err, status = (folder / f"{name}.{suffix}" for suffix in ("out", "err", "status"))
        # They are there once this returns, as with Popen.
        for file in (out, err):
            file.touch()
        return self._in_background(Request(list(arguments), str(folder), dict(env), str(out), str(err), str(status)))

    def start_on(
        self, terminal: str, arguments: Sequence[str], folder: Path, env: Mapping[str, str], status: Path
    ) -> Started:
        """Start a command on a terminal, named by its device; ``status`` is the file of its status."""
        return self._in_background(
            Request(list(arguments), str(folder), dict(env), terminal, terminal, str(status), terminal)
        )

    def _in_background(self, request: Request) -> Started:
        assert request.status is not None
        with self._lock:
            server = self._server = self._server or self._start()
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps(vars(request)) + "\n")
            server.stdin.flush()
            return Started(request.arguments, int(server.stdout.readline()), Path(request.status))

    def close(self) -> None:
        """End the process, unless nothing was run."""
        if self._server is not None:
            self._server.communicate()

    def _run(self, request: Request, timeout: float) -> int | None:
        # The command's status, None where it took too long.
        server = self._server = self._server or self._start()
        assert server.stdin is not None
        assert server.stdout is not None
        late = threading.Event()
        pid = 0

        def kill() -> None:
            late.set()
            os.kill(pid, signal.SIGKILL)

        killer = threading.Timer(timeout, kill)
        killer.daemon = True
        try:
            server.stdin.write(json.dumps(vars(request)) + "\n")
            server.stdin.flush()
            pid = int(server.stdout.readline())
            killer.start()
            status = int(server.stdout.readline())
        except BaseException:
            # The test was broken off: the command ends with it, and its answer must not become the next one's.
            self._server = None
            server.kill()
            server.communicate()
            if pid:
                os.kill(pid, signal.SIGKILL)
            raise
        finally:
            killer.cancel()
        return None if late.is_set() else status


def _serve() -> None:
    """Returns in each fork, as the command; never in the server itself."""
    # Everything, since a command imports what it uses only when it uses it. The actors build a worker as they are
    # imported.
    for module in pkgutil.walk_packages(worker.__path__, "worker."):
        if module.name not in ("worker.actors", "worker.__main__"):
            importlib.import_module(module.name)
    # Else a fork that ends walks through all of this, and copies it by that: 0.25 s of its 0.3 s of CPU.
    gc.freeze()
    watching: set[int] = set()
    for line in sys.stdin:
        request = Request(**json.loads(line))
        # A command in the background has a parent of its own, which waits for it.
        parent = os.fork() if request.status is not None else None
        if parent:
            watching.add(parent)
            watching -= {each for each in watching if os.waitpid(each, os.WNOHANG)[0]}
            continue
        pid = os.fork()
        if pid == 0:
            if request.status is not None:
                os.setsid()
            _become(request)
            return
        print(pid, flush=True)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if request.status is not None:
            whole = Path(f"{request.status}.part")
            whole.write_text(str(status))
            whole.rename(request.status)
            os._exit(0)
        print(status, flush=True)
    sys.exit()


def _become(request: Request) -> None:
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.env)
    time.tzset()
    sys.argv = ["referrals", *request.arguments]
    if request.arguments[0] == "work":
        # prometheus_client decides on import where metrics live, and has: for a command of one process.
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call] # left untyped
    # A shell that runs the tests in the background may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in enumerate((request.input, request.out, request.err)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    encoding = os.environ.get("PYTHONIOENCODING")
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115 - until the process ends
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115


@dataclass
class _Leave:
    """Ends a fork as the interpreter would, but leaves its modules to the kernel: taking them apart copies all that is
    shared with the server, and was two thirds of a command's CPU.

    The first to be registered is the last to be called: the threads have ended, and so has whatever else was to happen.
    """

    status: int | None = None

    def __call__(self) -> None:
        if self.status is None:
            return
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):
            return  # the interpreter tries again, and tells
        os._exit(self.status)


if __name__ == "__main__":
    leave = _Leave()
    atexit.register(leave)
    from prometheus_client import values

    import worker
    from worker.cli import main

    _serve()
    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, int | None):
            leave.status = ended.code or 0
        raise
