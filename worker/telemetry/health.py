"""The metrics endpoint of one process or of several that share a port.

``prometheus_client`` decides on import where values live, so it is imported only inside the functions here.
"""

import asyncio
import gzip
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from errno import EADDRINUSE
from functools import partial
from http import HTTPStatus
from pathlib import Path

import structlog

from worker.clock import Clock
from worker.instants import SECOND
from worker.telemetry.coalescing import Coalesced, PacedExecutor
from worker.telemetry.http_server import Answer, HttpServer, Request, listen
from worker.telemetry.listeners import listener_on
from worker.telemetry.metrics_folder import VARIABLE

TAKE_OVER_SECONDS = 1.0
"""How soon another process of the pod serves the port when the one that served it has gone."""

LONGEST_SILENCE_SECONDS = 120.0
"""How long a consumer's loop may be silent before `/livez` fails. It goes round once a second. Whatever holds it up for
longer than a few seconds, such as connecting to several nodes that don't answer, ends well before this."""

log = structlog.get_logger(__name__)


class MetricsServer:
    """Serves ``/metrics``, ``/livez`` and ``/readyz`` for all processes that share the folder of values.

    The process that binds the port first serves it; the others wait until it has gone. Answers come from the shared
    values alone, so a process that hangs can't falsify its siblings' probes. The server runs in a thread of its own,
    and pages and probes are made in one more thread each: a scrape, however long, holds up no probe.
    """

    def __init__(self, host: str, port: int, clock: Clock) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Start the thread, which serves or waits for the port; returns at once."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def close(self) -> None:
        """Stop serving, so that a sibling can take the port; blocks until the thread has ended."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        # asyncio's own messages hold the IP addresses of both sides.
        self._loop.set_exception_handler(
            lambda _, said: log.warning("metrics_server_failed", error=said.get("exception"))
        )
        # On leaving, the runner cancels pages that clients still wait for.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        with ThreadPoolExecutor(1, "metrics-page") as for_pages, ThreadPoolExecutor(1, "metrics-probe") as for_probes:
            server = HttpServer(_Endpoint(self._clock, for_pages, for_probes).answer)
            logged = False
            while not self._stop.is_set():
                try:
                    listening = listen(self._host, self._port)
                except OSError as error:
                    if not logged:
                        self._warn(error)
                    logged = True
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), TAKE_OVER_SECONDS)
                    continue
                with listening:
                    await server.serve(listening, self._stop)

    def _warn(self, error: OSError) -> None:
        taken = {"host": self._host, "port": self._port, "problem": error.strerror}
        if error.errno != EADDRINUSE:
            # Not taken: this machine has no such address, which is a mistake in the configuration.
            log.warning("metrics_port_taken", **taken)
            return
        listener = listener_on(self._port)
        if listener is not None and listener.parent == os.getppid():
            # A sibling of the same parent serves for this process too.
            log.info("metrics_port_taken", by=str(listener), **taken)
            return
        # Another program answers on the port, so probes and scrapes of it say nothing about this process.
        log.warning("metrics_port_taken", by=str(listener or "a process that can't be seen from here"), **taken)


class _Endpoint:
    """The three paths. Runs in the server's loop; pages and probes are made in their executors' threads."""

    def __init__(self, clock: Clock, for_pages: Executor, for_probes: Executor) -> None:
        self._clock = clock
        pages = PacedExecutor(for_pages)
        self._pages = {openly: Coalesced(partial(_page, openly=openly), pages) for openly in (False, True)}
        self._values = Coalesced(_probed_values, PacedExecutor(for_probes))

    async def answer(self, request: Request) -> Answer:
        match request.path:
            case "/metrics":
                return await self._page_for(request)
            case "/livez":
                values = await self._values.get()
                return _probe_answer(_stuck(values, self._clock.now() + self._clock.ahead()))
            case "/readyz":
                return _probe_answer(_unready(await self._values.get()))
            case _:
                return Answer(HTTPStatus.NOT_FOUND, b"there are /metrics, /livez and /readyz\n")

    async def _page_for(self, request: Request) -> Answer:
        from prometheus_client import exposition, openmetrics

        zipped = exposition.gzip_accepted(request.headers.get("accept-encoding", ""))
        # Two forms only, so that clients with odd wishes don't each make a page of their own.
        openly = "application/openmetrics-text" in request.headers.get("accept", "")
        kind = openmetrics.exposition.CONTENT_TYPE_LATEST if openly else exposition.CONTENT_TYPE_PLAIN_0_0_4
        text, compressed = await self._pages[openly].get()
        if zipped:
            return Answer(HTTPStatus.OK, compressed, kind, {"Content-Encoding": "gzip"})
        return Answer(HTTPStatus.OK, text, kind)


def _probe_answer(problems: Sequence[str]) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    return Answer(status, f"{'; '.join(problems) or 'ok'}\n".encode())


def _page(*, openly: bool) -> tuple[bytes, bytes]:
    """The metrics of all processes, in Prometheus' format or (``openly``) in OpenMetrics', as text and compressed.

    Both forms are made each time, so that all clients share one page; compressing is a tenth of the work.
    """
    from prometheus_client import CollectorRegistry, generate_latest, openmetrics
    from prometheus_client.multiprocess import MultiProcessCollector

    from worker.telemetry.metrics.exemplars import ExemplifiedCollector

    _drop_dead_processes()
    registry = CollectorRegistry()
    if openly:
        # Prometheus' own format has no place for exemplars.
        registry.register(ExemplifiedCollector(Path(os.environ[VARIABLE])))
    else:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # no types there
    text = openmetrics.exposition.generate_latest(registry) if openly else generate_latest(registry)  # type: ignore[no-untyped-call] # the first has no types
    return text, gzip.compress(text)


_MEANWHILE = {"shops_file": "; calls go on by its last good version"}
"""What still works while a part is missing. Without RabbitMQ or the store no call starts."""

_PROBED = frozenset({"referral_ready", "referral_unready", "referral_pump_timestamp_seconds", "referral_stuck_threads"})

_Values = Mapping[tuple[str, str, str], float]
"""Values by the metric's name, and by its labels ``part`` and ``reason``, empty where it has none."""


def _probed_values() -> _Values:
    """The few values that probes depend on, merged over all living processes."""
    from prometheus_client.multiprocess import MultiProcessCollector

    _drop_dead_processes()
    # Only the files with living processes' gauges: reading all of them takes as long as a scrape.
    files = [str(path) for path in Path(os.environ[VARIABLE]).glob("gauge_live*.db")]
    return {
        (sample.name, sample.labels.get("part", ""), sample.labels.get("reason", "")): sample.value
        for family in MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call] # no types there
        if family.name in _PROBED
        for sample in family.samples
    }


def _unready(values: _Values) -> list[str]:
    """A line for each part that does not work; empty if the processes are ready."""
    parts = {part: value for (name, part, _), value in values.items() if name == "referral_ready"}
    if not parts:
        return ["not ready: it starts"]
    reasons = sorted((part, why) for (name, part, why), value in values.items() if name == "referral_unready" and value)
    missing = sorted(part for part, value in parts.items() if value != 1)
    whys = {part: ", ".join(why for of, why in reasons if of == part) or "?" for part in missing}
    return [f"not ready: {part} ({why}{_MEANWHILE.get(part, '')})" for part, why in whys.items()]


def _stuck(values: _Values, now: int) -> list[str]:
    """A line for each sign that a process hangs, so that restarting it helps; ``now`` is the wall clock."""
    problems = []
    beat = values.get(("referral_pump_timestamp_seconds", "", ""), 0)
    # 0 means that a process has just started.
    if beat and now / SECOND - beat > LONGEST_SILENCE_SECONDS:
        problems.append(f"stuck: a consumer last went round {now / SECOND - beat:.0f} s ago")
    if threads := values.get(("referral_stuck_threads", "", ""), 0):
        problems.append(f"stuck: {threads:.0f} threads are busy with one job for longer than a call can last")
    return problems


def _drop_dead_processes() -> None:
    # A process that was killed could not sign off, and its gauges would be shown for ever.
    from prometheus_client.multiprocess import mark_process_dead

    for values in Path(os.environ[VARIABLE]).glob("gauge_live*.db"):
        pid = int(values.stem.rpartition("_")[2])
        if not _lives(pid):
            # The file may just be gone: a page and a probe run this at once, and siblings sign off.
            with suppress(FileNotFoundError):
                mark_process_dead(pid)  # type: ignore[no-untyped-call] # no types there


def _lives(pid: int) -> bool:
    """Whether a process has this id and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A zombie still has its id: a child that has ended and that its parent hasn't waited for.
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return True


def mark_dead() -> None:
    """Take this process's gauges out of the shared values. Its counters stay, since their sums must not fall."""
    from prometheus_client.multiprocess import mark_process_dead

    if os.environ.get(VARIABLE):
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call] # no types there
