"""The metrics endpoint of one process or of several that share a port.

Nothing here imports ``prometheus_client`` with the module: it decides on import where values live.
"""

import os
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from worker.errors import ConfigurationError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication

    from prometheus_client import CollectorRegistry

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

TAKE_OVER_SECONDS = 1.0
"""How soon another process of the pod serves the port when the one that did is gone."""

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
    """Serves ``/metrics`` and ``/readyz`` for all processes that share the folder; whichever binds the port first.

    Ready is 200 while every process has its RabbitMQ and its store, else 503.
    """

    def __init__(self, port: int) -> None:
        self._port = port
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
                server.set_app(_with_readiness(metrics, registry))
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


def _with_readiness(metrics: "WSGIApplication", registry: "CollectorRegistry") -> "WSGIApplication":
    def answer(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/readyz":
            return metrics(environ, start_response)
        ready = registry.get_sample_value("referral_ready") == 1
        status, text = ("200 OK", b"ready\n") if ready else ("503 Service Unavailable", b"not ready: see the log\n")
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text]

    return answer


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
    folder = Path(
        os.environ.get(MULTIPROCESS_VARIABLE) or f"{tempfile.gettempdir()}/referrals-metrics-{parent}-{started}"
    )
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{MULTIPROCESS_VARIABLE}: {folder}: {error.strerror}") from None
    if folder.stat().st_uid != os.geteuid() or not os.access(folder, os.W_OK):
        raise ConfigurationError(f"{MULTIPROCESS_VARIABLE}: folder {folder} is not this user's to write to")
    os.environ[MULTIPROCESS_VARIABLE] = str(folder)
    return folder
