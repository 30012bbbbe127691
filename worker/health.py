"""The metrics endpoint of one process or of several that share a port.

Nothing here imports ``prometheus_client`` with the module: it decides on import where values live.
"""

import os
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from worker.clock import SECOND, Clock
from worker.errors import ConfigurationError
from worker.private import private_folder

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

    from prometheus_client import CollectorRegistry

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

TAKE_OVER_SECONDS = 1.0
"""How soon another process of the pod serves the port when the one that did is gone."""

LONGEST_SILENCE_SECONDS = 120.0
"""A consumer goes round once a second. What holds it up for longer than a few, connecting to a row of nodes that don't
answer among them, ends well before."""

log = structlog.get_logger(__name__)


def prepare_shared_metrics() -> Path:
    """Name an empty folder for values that several processes count into: the one that the environment names, cleared
    of what processes that are gone left in it, or a new one.

    Must run before :mod:`worker.metrics` is imported, in the parent of the processes that share the folder; at the
    end the parent calls :func:`discard_shared_metrics`.

    Raises:
      ConfigurationError: the folder can't be used.
    """
    named = os.environ.get(MULTIPROCESS_VARIABLE)
    try:
        folder = Path(named) if named else Path(tempfile.mkdtemp(prefix="referrals-metrics-"))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        discard_shared_metrics(folder)
    except OSError as error:
        raise ConfigurationError(f"{MULTIPROCESS_VARIABLE}: {error.filename}: {error.strerror}") from None
    os.environ[MULTIPROCESS_VARIABLE] = str(folder)
    return folder


def discard_shared_metrics(folder: Path) -> None:
    """Remove the values in the folder; the processes that counted into it have ended."""
    for values in folder.glob("*.db"):
        values.unlink(missing_ok=True)


class MetricsServer:
    """Serves ``/metrics``, ``/livez`` and ``/readyz`` for all processes that share the folder; whichever binds the port
    first.

    What they answer is told by the shared values alone, so that a process that hangs can't keep its siblings' probes.
    """

    def __init__(self, port: int, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to serve, or to wait for the port."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving and give the port to a sibling."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        from prometheus_client import CollectorRegistry, start_http_server
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        taken = False
        while not self._stop.is_set():
            try:
                server, thread = start_http_server(self._port, registry=registry)
                metrics = server.get_app()
                assert metrics is not None, "the server was made with it"
                server.set_app(_with_probes(metrics, registry, self._clock))
            except OSError as error:
                if not taken:
                    log.info("metrics_port_taken", port=self._port, problem=error.strerror)
                taken = True
                self._stop.wait(TAKE_OVER_SECONDS)
                continue
            self._stop.wait()
            server.shutdown()
            server.server_close()
            thread.join()


def _with_probes(metrics: "WSGIApplication", registry: "CollectorRegistry", clock: Clock) -> "WSGIApplication":
    def answer(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        _forget_the_dead()
        path = environ["PATH_INFO"]
        if path not in ("/livez", "/readyz"):
            return metrics(environ, start_response)
        values = {
            (sample.name, sample.labels.get("part", "")): sample.value
            for family in registry.collect()
            if family.name in _PROBED
            for sample in family.samples
        }
        problems = _unready(values) if path == "/readyz" else _stuck(values, clock.now())
        start_response(
            "503 Service Unavailable" if problems else "200 OK", [("Content-Type", "text/plain; charset=utf-8")]
        )
        return [f"{'; '.join(problems) or 'ok'}\n".encode()]

    return answer


_PROBED = frozenset({"referral_ready", "referral_pump_timestamp_seconds", "referral_stuck_threads"})

_Values = Mapping[tuple[str, str], float]


def _unready(values: _Values) -> list[str]:
    parts = {part: value for (name, part), value in values.items() if name == "referral_ready"}
    if not parts:
        return ["not ready: it starts"]
    return [f"not ready: {part}" for part, value in sorted(parts.items()) if value != 1]


def _stuck(values: _Values, now: int) -> list[str]:
    problems = []
    beat = values.get(("referral_pump_timestamp_seconds", ""), 0)
    # 0: a process that has just begun.
    if beat and now / SECOND - beat > LONGEST_SILENCE_SECONDS:
        problems.append(f"stuck: a consumer last went round {now / SECOND - beat:.0f} s ago")
    if threads := values.get(("referral_stuck_threads", ""), 0):
        problems.append(f"stuck: {threads:.0f} threads are busy with one job for longer than a call can last")
    return problems


def _forget_the_dead() -> None:
    # One that was killed could not say so itself, and its gauges would stand for ever.
    from prometheus_client.multiprocess import mark_process_dead

    for values in Path(os.environ[MULTIPROCESS_VARIABLE]).glob("gauge_live*.db"):
        pid = int(values.stem.rpartition("_")[2])
        if not _lives(pid):
            mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A child that has ended and whose parent hasn't looked yet.
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return True


def mark_dead() -> None:
    """Take this process's gauges out of the shared values; its counters stay, as their sums must not fall."""
    from prometheus_client.multiprocess import mark_process_dead

    if os.environ.get(MULTIPROCESS_VARIABLE):
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


def shared_metrics_of_parent() -> Path:
    """Name the folder that all worker processes of one parent share, where the parent did not: see
    :func:`prepare_shared_metrics`. The parent's start time keeps it apart from an earlier process with its number.

    Raises:
      ConfigurationError: the folder is somebody else's or can't be written to.
    """
    parent = os.getppid()
    try:
        started = Path(f"/proc/{parent}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        started = "0"
    named = os.environ.get(MULTIPROCESS_VARIABLE)
    folder = Path(named or f"{tempfile.gettempdir()}/referrals-metrics-{parent}-{started}")
    try:
        if named:
            # A volume's folder is root's, and open to all.
            folder.mkdir(mode=0o700, exist_ok=True)
        else:
            # Anybody can guess this name.
            private_folder(folder)
    except OSError as error:
        raise ConfigurationError(f"{MULTIPROCESS_VARIABLE}: {folder}: {error.strerror}") from None
    if folder.stat().st_uid != os.geteuid() or not os.access(folder, os.W_OK):
        raise ConfigurationError(f"{MULTIPROCESS_VARIABLE}: folder {folder} is not this user's to write to")
    os.environ[MULTIPROCESS_VARIABLE] = str(folder)
    # A restarted container has its old process ids again, and would begin with what their gauges said then.
    for values in folder.glob(f"gauge_*_{os.getpid()}.db"):
        values.unlink(missing_ok=True)
    return folder
