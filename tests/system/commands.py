"""The commands as their users run them: processes of their own, in a folder of their own."""

import contextlib
import csv
import functools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.services import wait_until
from tests.services.process import free_ports
from tests.system.warm import COMMANDS, STARTED, Started, WarmCommands


@functools.cache
def warm() -> WarmCommands:
    """The process from which this one's tests fork the commands that they run to their end."""
    return WarmCommands()


class Process:
    """A command that runs; what it writes to stdout and stderr is in two files."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        env: Mapping[str, str],
        name: str,
        through: Sequence[str] | None = None,
    ) -> None:
        """``command`` is a whole command line, or the arguments of a command that can be forked."""
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        self._filter: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | Started
        if command[0] in STARTED:
            self._process = warm().start(command, folder, env, name)
            return
        with contextlib.ExitStack() as opened:
            out = opened.enter_context(self._out.open("wb"))
            err: IO[bytes] = opened.enter_context(self._err.open("wb"))
            if through is not None:
                self._filter = subprocess.Popen(list(through), stdin=subprocess.PIPE, stdout=err)
                assert self._filter.stdin is not None
                err = opened.enter_context(self._filter.stdin)
            # A session of its own, so that a signal to its process group reaches nobody else.
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    @property
    def log(self) -> Path:
        """The file of its stderr."""
        return self._err

    @property
    def unread(self) -> bool:
        """Whether the program that its stderr goes through has ended."""
        return self._filter is not None and self._filter.poll() is not None

    def running(self) -> bool:
        """Whether it hasn't ended yet."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals, *, group: bool = False) -> float:
        """Send a signal, with ``group`` to the whole process group; returns the wall clock's seconds just before."""
        at = time.time()
        if group:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)
        return at

    def wait(self, seconds: float = 30) -> int:
        """Its exit code; raises TimeoutExpired where it hasn't ended by then."""
        return self._process.wait(seconds)

    def close(self) -> None:
        """End it if it runs, with SIGKILL, and its filter."""
        if self.running():
            self.kill()
        if self._filter is not None:
            self._filter.wait(10)

    def kill(self) -> None:
        """SIGKILL, with every process that it started."""
        try:
            family = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        self._process.kill()
        for child in family:
            if child.is_running():
                child.kill()
        self._process.wait(10)


@dataclass
class Desk:
    """A user's working folder and environment, and the commands run from there."""

    folder: Path
    env: dict[str, str]
    processes: list[Process] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, amqp_url: str) -> "Desk":
        """A desk on a virtual host; nothing of the caller's own settings leaks in."""
        (metrics_port,) = free_ports(1)
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("REFERRALS_", "PROMETHEUS_"))
        }
        own = {"REFERRALS_AMQP_URL": amqp_url, "REFERRALS_METRICS_PORT": str(metrics_port)}
        return cls(folder, clean | own)

    def run(self, *arguments: str, timeout: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
        """Run ``referrals`` to its end."""
        if arguments and arguments[0] in COMMANDS:
            return warm().run(arguments, self.folder, self.env | env, timeout)
        command = [sys.executable, "-m", "worker", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.env | env, capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(
        self,
        *arguments: str,
        program: str = "worker",
        python: str | None = None,
        through: Sequence[str] | None = None,
        **env: str,
    ) -> Process:
        """Start ``referrals``, or another program's module, in the background, with another ``python`` if it is given;
        ``through`` filters its stderr.
        """
        name = f"{arguments[0]}-{len(self.processes)}"
        forked = program == "worker" and python is None and through is None and arguments[0] in STARTED
        command = [*arguments] if forked else [python or sys.executable, "-m", program, *arguments]
        process = Process(command, self.folder, self.env | env, name, through)
        self.processes.append(process)
        return process

    def close(self) -> None:
        """End what still runs."""
        for process in self.processes:
            process.close()

    def start_sandbox(self, *arguments: str) -> "Sandbox":
        """A sandbox on a free port, which logs its calls to ``calls.jsonl``."""
        process = self.start("sandbox", "--port", "0", "--log", "calls.jsonl", *arguments)
        line = wait_until(lambda: process.stdout.strip() or not process.running(), 20, "the sandbox")
        assert isinstance(line, str), process.stderr
        return Sandbox(line.rsplit(" ", 1)[1], self.folder / "calls.jsonl")

    def write_shops(self, base_url: str, slugs: list[str], **settings: object) -> None:
        """A shops file whose shops have a key of their own each."""
        lines = ["[defaults]", f"base_url = {json.dumps(base_url)}"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (self.folder / "secrets").mkdir(exist_ok=True)
        for slug in slugs:
            (self.folder / "secrets" / f"{slug}.key").write_text(f"secret of {slug} that is long enough to sign with\n")
            lines += [f"[shops.{slug}]", f'key_id = "key-{slug}"', f'secret_file = "secrets/{slug}.key"']
        (self.folder / "shops.toml").write_text("\n".join(lines) + "\n")

    def write_export(self, name: str, rows: list[dict[str, str]]) -> None:
        """An export in CSV."""
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (self.folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)

    def results(self, name: str = "results.csv") -> list[dict[str, str]]:
        """The rows of a results file; none where there is no file yet."""
        path = self.folder / name
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    def metrics_page(self) -> str:
        """What the worker serves on ``/metrics``."""
        url = f"http://127.0.0.1:{self.env['REFERRALS_METRICS_PORT']}/metrics"
        with urllib.request.urlopen(url, timeout=5) as page:
            return str(page.read().decode())

    def readiness(self) -> tuple[int, str]:
        """What the worker answers on ``/readyz``: status and body; 0 if nobody answers."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.env['REFERRALS_METRICS_PORT']}/readyz", timeout=5
            ) as answer:
                return int(answer.status), str(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.code, str(error.read().decode())
        except OSError:
            return 0, ""

    def metrics(self) -> dict[tuple[str, ...], float]:
        """What the worker serves on ``/metrics``: values by name and labels, as (name, shop, code or outcome)."""
        families = list(text_string_to_metric_families(self.metrics_page()))
        return {
            (sample.name, *(sample.labels[label] for label in ("shop", "code", "outcome") if label in sample.labels)): (
                sample.value
            )
            for family in families
            for sample in family.samples
        }


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox, and its record of the calls."""

    url: str
    log: Path

    def calls(self) -> list[dict[str, Any]]:
        """Every call that was answered so far, in the order of arrival."""
        lines = self.log.read_text().splitlines()
        return sorted(map(json.loads, lines), key=lambda call: int(call["number"]))

    def summary(self) -> dict[str, Any]:
        """`calls`, `in_progress`, and `shops` with the calls by shop and code."""
        with urllib.request.urlopen(f"{self.url}/_sandbox/summary", timeout=5) as page:
            told: dict[str, Any] = json.load(page)
        return told
