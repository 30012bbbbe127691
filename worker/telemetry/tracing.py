"""Traces: what carries a job's trace on, and makes its spans where OpenTelemetry is installed and configured.

A :class:`Tracing` makes no spans and carries each context on as it came, so nothing here imports OpenTelemetry.
:mod:`worker.telemetry.spans` has the one that makes them. docs/traces.md says what is in them.
"""

import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from importlib.util import find_spec
from types import TracebackType
from typing import Protocol, Self

import structlog

from worker.clock import Clock
from worker.model.trace_context import TraceContext

Attribute = str | int | bool

_NONE: Mapping[str, Attribute] = {}

log = structlog.get_logger(__name__)


class Span:
    """Something that is under way in a trace; this one is shown to nobody. ``context`` is what goes on with it."""

    def __init__(self, context: TraceContext | None) -> None:
        self.context = context

    def end(self, error: str | None = None, attributes: Mapping[str, Attribute] = _NONE) -> None:
        """It is over; ``error`` is a word for what went wrong. From any thread."""


class _PublishedJob(Protocol):
    @property
    def published_at(self) -> datetime | None: ...


class _Grant(Protocol):
    @property
    def attempts(self) -> int: ...


class TracedJob(Protocol):
    """What a trace needs to know of a job in hand. Instants are microseconds of the clock, 0 where there is none.

    ``arrived_at``: its message came. ``asked_at``: the store was asked for the call that is granted.
    ``returned_at``: its last call has ended, and it waits again. ``is_copy``: a worker has published its message.
    """

    trace: TraceContext | None
    arrived_at: int
    asked_at: int
    returned_at: int
    is_copy: bool
    shop: str

    @property
    def job(self) -> _PublishedJob: ...
    @property
    def grant(self) -> _Grant | None: ...
    @property
    def job_id(self) -> str: ...


class Tracing:
    """Makes no spans. Any thread may use it; only `close` waits, so it is a context manager for a command."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def start(self) -> None:
        """Begin in this process. A thread that exports would not live in a child, so call it after the fork."""

    def close(self) -> None:
        """Export what there still is; blocks for a bounded time, whatever the collector does."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def published(self, shop: str, job_id: str, destination: str) -> Span:
        """A job is handed to RabbitMQ: the span ``publish``, in the caller's trace or in a new one."""
        del shop, job_id, destination
        return Span(None)

    def admitted(self, job: TracedJob) -> None:
        """This worker thread begins with the job: the spans ``wait`` and ``admit``. Its calls belong to its trace."""
        self._of_thread.trace = job.trace

    def call(self, url: str, shop: str) -> Span:
        """This thread calls Refer2 for the job that it has in hand: the span ``call``."""
        del url, shop
        return Span(getattr(self._of_thread, "trace", None))

    def result(self, job: TracedJob, destination: str, outcome: str) -> Span:
        """The job's result is published: the span ``result``."""
        del destination, outcome
        return Span(job.trace)


def worker_tracing(environment: Mapping[str, str], clock: Clock) -> Tracing:
    """What OpenTelemetry's own variables ask for. It is imported only if they ask for traces."""
    problem = None
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    asked = exporter == "otlp" or (not exporter and any(environment.get(name) for name in endpoints))
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return Tracing()
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if exporter and not asked:
        problem = "OTEL_TRACES_EXPORTER may be otlp or none"
    elif asked and protocol not in (None, "", "http/protobuf"):
        problem = "OTEL_EXPORTER_OTLP_PROTOCOL may be http/protobuf"
    elif asked and not all(map(_is_installed, ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"))):
        problem = "install referral-dispatch with the extra otel"
    if problem is not None:
        log.warning("traces_off", problem=problem)
    if problem is not None or not asked:
        return Tracing()
    from worker.telemetry.spans import ExportedTracing

    return ExportedTracing(environment, clock)


def caller_tracing(clock: Clock) -> Tracing:
    """The tracing of the program that publishes: by its own OpenTelemetry, whose context its jobs belong to."""
    # A span can only be active, and a provider only be set, where somebody has imported this.
    if "opentelemetry.trace" not in sys.modules:
        return Tracing()
    from worker.telemetry.spans import SpanTracing

    return SpanTracing(clock)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
